"""Plays a scenario of the corpus on the fake, through its public interface only.

The scenario's upstream steps become scripted replies, its requests go through an httpx client, and what the client got
and the journal tells becomes the result. Nothing here knows what a gateway does.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import httpx

from portkey_testing import FakeGateway, PortkeyTestFailure, fault, native, status
from portkey_testing.journal import Attempt, Call
from portkey_testing.matching import AttemptView
from portkey_testing.replies import Reply
from tests.conformance.results import Normaliser, Result, half_seconds, keeps_header, parse_events, parse_json
from tests.conformance.scenarios import Scenario, WireRequest, placeholders, requests_of, wire_request
from tests.live.provider import KEPT_HEADERS, UNSCRIPTED_STATUS
from tests.live.steps import Answer, JsonReply, Step, parse_script

REFUSED: Final = "http://localhost:9/v1"
PATIENCE_S: Final = 15.0


def run(scenario: Scenario) -> list[Result]:
    """The results of the scenario on the fake, one for each of its requests."""
    upstreams = Upstreams(scenario)
    fake = FakeGateway(edition="open-source")
    fake.allow("unused_replies", "refused_requests", "unoffered_tools", "invalid_tool_arguments")
    fake.always(upstreams.reply)
    urls = placeholders(scenario, upstreams.root, REFUSED)
    normaliser = Normaliser(urls)
    with httpx.Client(transport=fake.transport(), base_url="http://localhost:8787", timeout=PATIENCE_S) as client:
        if "repeat" in scenario:
            wire = wire_request(scenario["request"], urls)
            return [_repeated(fake, client, scenario, wire, upstreams)]
        results = []
        for request in requests_of(scenario):
            fake.clock.sleep(request.get("wait", 0.0))
            results.append(_result(fake, client, wire_request(request, urls), upstreams, normaliser))
        return results


class Upstreams:
    """The scripted providers of a scenario, played as the loopback server played them behind the real gateway.

    Every upstream has a path of its own; request number n to it takes step n, and the last step answers all others.
    """

    _BASE: Final = "http://localhost/u/"

    def __init__(self, scenario: Scenario) -> None:
        self._key = scenario["id"]
        self._script = parse_script(scenario.get("upstreams") or {}, strict=False)
        self._calls: Counter[str] = Counter()

    def root(self, name: str) -> str:
        return f"{self._BASE}{self._key}/{name}"

    def name(self, url: str) -> str | None:
        """The upstream of this scenario that a URL belongs to."""
        key, _, rest = url.removeprefix(self._BASE).partition("/")
        return rest.partition("/")[0] if url.startswith(self._BASE) and key == self._key else None

    def reply(self, attempt: AttemptView) -> Reply:
        assert attempt.request is not None
        url, body = attempt.request.url, attempt.request.body
        if url.startswith(REFUSED):
            return fault("refused")
        name = self.name(url)
        if name is None or name not in self._script:
            where = "/".join(url.removeprefix(self._BASE).split("/")[:2])
            error = {"error": {"message": f"stub: no script for {where}"}}
            return _said(JsonReply(status=UNSCRIPTED_STATUS, body=error).answer(body), 0.0)
        steps = self._script[name]
        self._calls[name] += 1
        step = steps[min(self._calls[name], len(steps)) - 1].chosen(body)
        return _answered_by(step, name, body)


def _answered_by(step: Step, name: str, body: Any) -> Reply:
    answer = step.answer(_read(body))
    if answer is None:
        return fault("closed_before_headers").delayed(step.sleep)
    return _said(answer, step.sleep).with_headers({"x-stub-upstream": name})


def _said(answer: Answer, delay: float) -> Reply:
    headers = dict(answer.headers)
    content_type = headers.pop("content-type", None)
    parts = [part.decode() for part in answer.parts]
    if answer.streamed:
        # The last piece, too, is followed by the gap.
        said: Reply = native(events=[*parts, ""], status=answer.status, content_type=content_type, gap=answer.gap)
        if answer.drop_after is not None and answer.drop_after < len(parts):
            said = said.cut(chunks=answer.drop_after)
    else:
        said = status(answer.status, "".join(parts), content_type=content_type)
    return said.with_headers(headers).delayed(delay)


def _result(
    fake: FakeGateway, client: httpx.Client, wire: WireRequest, upstreams: Upstreams, normaliser: Normaliser
) -> Result:
    started = fake.clock.now
    calls = len(fake.calls)
    result: Result
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
    result["attempts"] = _attempts(fake.calls[calls:], upstreams, normaliser)
    return result


def _answered(client: httpx.Client, wire: WireRequest, normaliser: Normaliser) -> Result:
    response = client.send(_request(client, wire), stream=True)
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


def _request(client: httpx.Client, wire: WireRequest) -> httpx.Request:
    headers = {name.encode(): value.encode() for name, value in wire.headers.items()}
    request = client.build_request(wire.method, wire.path, headers=headers, content=wire.body)
    for name in ("user-agent", "accept-encoding", "connection"):
        request.headers.pop(name, None)
    return request


def _repeated(
    fake: FakeGateway, client: httpx.Client, scenario: Scenario, wire: WireRequest, upstreams: Upstreams
) -> Result:
    statuses: Counter[str] = Counter()
    for _ in range(scenario["repeat"]):
        statuses[str(client.send(_request(client, wire)).status_code)] += 1
    attempts = [attempt for call in fake.calls for attempt in call.route.attempts]
    served = Counter(name for attempt in attempts if (name := upstreams.name(attempt.request.url)) is not None)
    tolerance = scenario.get("tolerance", 0.09)
    return {
        "statuses": dict(statuses),
        "shares_ok": all(
            abs(served[name] / served.total() - share) <= tolerance
            for name, share in scenario.get("expect_share", {}).items()
        ),
        "upstreams": sorted(served),
    }


def _attempts(calls: list[Call], upstreams: Upstreams, normaliser: Normaliser) -> list[dict[str, Any]]:
    noted = []
    before: float | None = None
    for attempt in (attempt for call in calls for attempt in call.route.attempts):
        name = upstreams.name(attempt.request.url)
        if name is not None:
            noted.append(_noted(attempt, name, upstreams.root(name), before, normaliser))
            before = attempt.started
    return noted


def _read(body: Any) -> Any:
    """A body as the loopback provider notes it: text that is no JSON is marked."""
    if not isinstance(body, str):
        return body
    is_json, value = parse_json(body)
    return value if is_json else {"<raw>": body[:500]} if body else None


def _noted(attempt: Attempt, name: str, root: str, before: float | None, normaliser: Normaliser) -> dict[str, Any]:
    headers = {"accept": "*/*", **attempt.request.headers}
    kept = {n: v for n, v in sorted(headers.items()) if n in KEPT_HEADERS or n.startswith("x-")}
    row: dict[str, Any] = {
        "upstream": name,
        "method": attempt.request.method,
        "path": attempt.request.url.removeprefix(root) or "/",
        "auth": headers.get("authorization") or headers.get("x-api-key"),
        "headers": {name: normaliser.text(value) for name, value in kept.items()},
        "body": normaliser.value(_read(attempt.request.body)),
    }
    if before is not None:
        row["gap"] = half_seconds(attempt.started - before)
    return row
