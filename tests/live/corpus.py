"""Playing the scenarios of the corpus over HTTP: against the real gateway, or whatever else serves a base URL."""

from __future__ import annotations

import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final

import httpx

from tests.conformance.results import Normaliser, Result, half_seconds, keeps_header, parse_events, parse_json
from tests.conformance.scenarios import Scenario, WireRequest, placeholders, requests_of, wire_request
from tests.live.provider import Attempt, LoopbackProvider

PATIENCE_S: Final = 15.0
PARALLEL_REPEATS: Final = 20
# an answer can be complete a moment before the provider has noted the attempt that a hung-up gateway left behind
SETTLE_S: Final = 0.05


def play(
    scenario: Scenario, base_url: str, provider: LoopbackProvider, *, patience: float = PATIENCE_S
) -> list[Result]:
    """The results of a scenario, one for each of its requests.

    Parameters:
        base_url: Root URL of the gateway, without `/v1`.
        provider: Where the gateway finds the upstreams; the scenario's steps are loaded there under its id.
        patience: Seconds after which a request is given up.
    """
    key = scenario["id"]
    provider.load(key, scenario.get("upstreams") or {})
    with closing(_refusing_socket()) as reserved, _client(base_url) as client:
        refused = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
        urls = placeholders(scenario, lambda name: provider.url(key, name), refused)
        normaliser = Normaliser(urls)

        def send(request: Mapping[str, Any]) -> Result:
            return _send(client, wire_request(request, urls), normaliser, patience)

        if "repeat" in scenario:
            return [_repeated(scenario, send, provider)]
        return list(_results(scenario, send, provider, normaliser))


def play_all(
    scenarios: Iterable[Scenario], base_url: str, provider: LoopbackProvider, *, jobs: int = 8
) -> Iterator[tuple[Scenario, list[Result]]]:
    """Every scenario with its results, several at a time; those that send hundreds of requests last and alone."""
    every = list(scenarios)
    together = [scenario for scenario in every if "repeat" not in scenario]
    alone = [scenario for scenario in every if "repeat" in scenario]
    with ThreadPoolExecutor(jobs) as pool:
        yield from zip(together, pool.map(lambda each: play(each, base_url, provider), together), strict=True)
    for scenario in alone:
        yield scenario, play(scenario, base_url, provider)


def warm_up(base_url: str, provider: LoopbackProvider) -> None:
    """Send a few requests first: compiling and opening sockets would count as the gateway's time otherwise."""
    for kind in ("openai", "anthropic"):
        target = {"provider": kind, "api_key": "key", "custom_host": "{{host:w}}"}
        request = {"config": target, "body": {"model": "m", "messages": []}}
        play({"id": "warm-up", "upstreams": {"w": [{"kind": kind}]}, "requests": [request] * 5}, base_url, provider)


def _results(
    scenario: Scenario, send: Callable[[Mapping[str, Any]], Result], provider: LoopbackProvider, normaliser: Normaliser
) -> Iterator[Result]:
    seen = 0
    for request in requests_of(scenario):
        time.sleep(request.get("wait", 0.0))
        result = send(request)
        time.sleep(SETTLE_S)
        attempts = provider.attempts(scenario["id"])
        yield {**result, "attempts": list(_attempts(attempts[seen:], normaliser))}
        seen = len(attempts)


def _repeated(scenario: Scenario, send: Callable[[Mapping[str, Any]], Result], provider: LoopbackProvider) -> Result:
    with ThreadPoolExecutor(PARALLEL_REPEATS) as pool:
        results = list(pool.map(send, requests_of(scenario) * scenario["repeat"]))
    calls = Counter(attempt.upstream for attempt in provider.attempts(scenario["id"]))
    tolerance = scenario.get("tolerance", 0.09)
    return {
        "statuses": dict(Counter(str(result.get("status", 0)) for result in results)),
        "shares_ok": all(
            abs(calls[name] / calls.total() - share) <= tolerance
            for name, share in scenario.get("expect_share", {}).items()
        ),
        "upstreams": sorted(calls),
    }


def _client(base_url: str) -> httpx.Client:
    return httpx.Client(
        base_url=base_url,
        # what the recorded requests carried; a default of httpx would reach the provider on proxied routes
        headers={"accept": "*/*", "accept-encoding": "gzip, deflate"},
        limits=httpx.Limits(max_keepalive_connections=0),
        # loopback without TLS: no certificates to load, which takes longer than many a scenario, and no proxy to honour
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        trust_env=False,
    )


def _send(client: httpx.Client, wire: WireRequest, normaliser: Normaliser, patience: float) -> Result:
    started = time.monotonic()
    headers = {name.encode(): value.encode() for name, value in wire.headers.items()}
    request = client.build_request(wire.method, wire.path, headers=headers, content=wire.body, timeout=patience)
    del request.headers["user-agent"]
    try:
        response = client.send(request, stream=True)
    except httpx.TimeoutException:
        return {"client_error": "no answer"}
    except httpx.TransportError as error:
        return {"client_error": type(error).__name__}
    with closing(response):
        content, end = _read(response, started + patience)
    return {
        "status": response.status_code,
        "headers": normaliser.value(_kept(response.headers)),
        **_content(content, end, response.headers.get("content-type", ""), normaliser),
        "elapsed": half_seconds(time.monotonic() - started),
    }


def _read(response: httpx.Response, deadline: float) -> tuple[str, str]:
    """The body, and how it ended: clean, aborted or never."""
    received = bytearray()
    try:
        for chunk in response.iter_bytes():
            received += chunk
            if time.monotonic() > deadline:
                return received.decode("utf-8", "replace"), "never"
        end = "clean"
    except httpx.TimeoutException:
        end = "never"
    except httpx.TransportError:
        end = "aborted"
    return received.decode("utf-8", "replace"), end


def _content(text: str, end: str, content_type: str, normaliser: Normaliser) -> Result:
    if content_type.startswith("text/event-stream"):
        return {"sse": normaliser.value(parse_events(text)), "stream_end": end}
    is_json, value = parse_json(text)
    content = {"body": normaliser.value(value)} if is_json else {"text": normaliser.text(text)}
    return content if end == "clean" else {**content, "stream_end": end}


def _kept(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): headers[name] for name in headers if keeps_header(name)}


def _attempts(attempts: Iterable[Attempt], normaliser: Normaliser) -> Iterator[dict[str, Any]]:
    before: float | None = None
    for attempt in attempts:
        gap: Mapping[str, float] = {} if before is None else {"gap": half_seconds(attempt.time - before)}
        before = attempt.time
        yield {
            "upstream": attempt.upstream,
            "method": attempt.method,
            "path": attempt.path,
            "auth": attempt.auth,
            "headers": {name: normaliser.text(value) for name, value in sorted(attempt.headers.items())},
            "body": normaliser.value(attempt.body),
            **gap,
        }


def _refusing_socket() -> socket.socket:
    """A port that is taken, so that nobody else gets it, but on which nothing listens."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    return reserved
