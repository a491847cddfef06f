"""Plays a scenario of the corpus on the fake, through its public interface only.

The scenario's upstream steps become scripted replies, its requests go through an httpx client, and what the client got
and the journal tells becomes the result. Nothing here knows what a gateway does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import httpx

from portkey_testing import FakeGateway, PortkeyTestFailure, fault, native, status
from portkey_testing.journal import Attempt, Call, Wait
from portkey_testing.matching import AttemptView
from portkey_testing.replies import Reply
from tests.conformance.results import Normaliser, Result, half_seconds, keeps_header, parse_events, parse_json
from tests.conformance.scenarios import Scenario, WireRequest, placeholders, requests_of, wire_request
from tests.live.steps import Step, parse_script

REFUSED: Final = "http://localhost:9/v1"
PATIENCE_S: Final = 15.0

# what the scripted provider behind the real gateway noted of each request
_NOTED: Final = frozenset(
    (
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "authorization",
        "content-type",
        "openai-beta",
        "openai-organization",
        "openai-project",
    )
)


def run(scenario: Scenario) -> list[Result]:
    """The results of the scenario on the fake, one for each of its requests."""
    fake = FakeGateway(edition="open-source")
    fake.allow("unused_replies", "refused_requests", "unoffered_tools", "invalid_tool_arguments")
    fake.when(custom_host=REFUSED).always(fault("refused"))
    script = parse_script(scenario.get("upstreams") or {})
    for name, steps in script.items():
        for url in (f"{_root(name)}/v1", _root(name)):
            _load(fake, url, name, steps)
    urls = placeholders(scenario, _root, REFUSED)
    normaliser = Normaliser(urls)
    with httpx.Client(transport=fake.transport(), base_url="http://localhost:8787", timeout=PATIENCE_S) as client:
        if "repeat" in scenario:
            wire = wire_request(scenario["request"], urls)
            return [_repeated(fake, client, scenario, wire, list(script))]
        results = []
        for request in requests_of(scenario):
            fake.clock.sleep(request.get("wait", 0.0))
            results.append(_result(fake, client, wire_request(request, urls), normaliser))
        return results


def _load(fake: FakeGateway, url: str, name: str, steps: list[Step]) -> None:
    handle = fake.when(custom_host=url)
    *first, last = [_speaks(step, name) for step in steps]
    if first:
        handle.reply(*first)
    handle.always(last)


def _root(name: str) -> str:
    return f"http://localhost/u/{name}"


def _speaks(step: Step, name: str) -> Callable[[AttemptView], Reply]:
    def reply(attempt: AttemptView) -> Reply:
        body = attempt.request.body if attempt.request is not None else {}
        chosen = step.chosen(body)
        answer = chosen.answer(body)
        if answer is None:
            return fault("closed_before_headers")
        headers = {"x-stub-upstream": name, **answer.headers}
        content_type = headers.pop("content-type", None)
        if answer.streamed:
            # The last piece, too, is followed by the gap.
            events = [*(part.decode() for part in answer.parts), ""]
            said: Reply = native(events=events, status=answer.status, content_type=content_type, gap=answer.gap)
            if answer.drop_after is not None:
                said = said.cut(chunks=answer.drop_after)
        else:
            said = status(answer.status, b"".join(answer.parts).decode(), content_type=content_type)
        return said.with_headers(headers).delayed(chosen.sleep)

    return reply


def _result(fake: FakeGateway, client: httpx.Client, wire: WireRequest, normaliser: Normaliser) -> Result:
    started = fake.clock.now
    calls = len(fake.calls)
    try:
        result = _answered(client, wire, normaliser)
    except httpx.TimeoutException:
        result = {"client_error": "no answer"}
    except httpx.TransportError as error:
        result = {"client_error": type(error).__name__}
    except PortkeyTestFailure as failure:
        result = {"client_error": f"{type(failure).__name__}: {failure}"}
    if "client_error" not in result:
        result["elapsed"] = half_seconds(fake.clock.now - started)
    result["attempts"] = _attempts(fake.calls[calls:], normaliser)
    return result


def _answered(client: httpx.Client, wire: WireRequest, normaliser: Normaliser) -> Result:
    request = client.build_request(wire.method, wire.path, headers=dict(wire.headers), content=wire.body)
    for name in ("user-agent", "accept-encoding", "connection"):
        del request.headers[name]
    response = client.send(request, stream=True)
    ended = "clean"
    parts: list[bytes] = []
    try:
        parts.extend(response.iter_bytes())
    except httpx.TimeoutException:
        ended = "never"
    except httpx.TransportError:
        ended = "aborted"
    text = b"".join(parts).decode("utf-8", "replace")
    headers = {name: value for name, value in response.headers.items() if keeps_header(name)}
    result: Result = {"status": response.status_code, "headers": normaliser.value(headers)}
    if headers.get("content-type", "").startswith("text/event-stream"):
        return {**result, "sse": normaliser.value(parse_events(text)), "stream_end": ended}
    is_json, value = parse_json(text)
    return {**result, "body": normaliser.value(value)} if is_json else {**result, "text": normaliser.text(text)}


def _repeated(
    fake: FakeGateway, client: httpx.Client, scenario: Scenario, wire: WireRequest, upstreams: list[str]
) -> Result:
    statuses: Counter[str] = Counter()
    for _ in range(scenario["repeat"]):
        response = client.request(wire.method, wire.path, headers=dict(wire.headers), content=wire.body)
        statuses[str(response.status_code)] += 1
    served = Counter(_upstream(attempt) for call in fake.calls for attempt in call.route.attempts)
    tolerance = scenario.get("tolerance", 0.09)
    return {
        "statuses": dict(statuses),
        "shares_ok": all(
            abs(served[name] / served.total() - share) <= tolerance
            for name, share in scenario.get("expect_share", {}).items()
        ),
        "upstreams": sorted(name for name in upstreams if served[name]),
    }


def _attempts(calls: list[Call], normaliser: Normaliser) -> list[dict[str, Any]]:
    noted = []
    before: float | None = None
    for call in calls:
        for step in call.route.steps:
            if isinstance(step, Wait) or step.request.url.startswith(REFUSED):
                continue
            noted.append(_noted(step, before, normaliser))
            before = step.started
    return noted


def _noted(attempt: Attempt, before: float | None, normaliser: Normaliser) -> dict[str, Any]:
    headers = {"accept": "*/*", **attempt.request.headers}
    kept = {n: v for n, v in sorted(headers.items()) if n in _NOTED or n.startswith("x-")}
    row: dict[str, Any] = {
        "upstream": _upstream(attempt),
        "method": attempt.request.method,
        "path": attempt.request.url.removeprefix(_root(_upstream(attempt))),
        "auth": headers.get("authorization") or headers.get("x-api-key"),
        "headers": {name: normaliser.text(value) for name, value in kept.items()},
        "body": normaliser.value(attempt.request.body),
    }
    if before is not None:
        row["gap"] = half_seconds(attempt.started - before)
    return row


def _upstream(attempt: Attempt) -> str:
    path = attempt.request.url.removeprefix(_root(""))
    return path.split("/")[0]
