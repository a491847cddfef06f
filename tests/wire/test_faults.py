"""Every fault of `faults.yaml` on a real socket, sync and async: the right error or the answer, in time."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import ssl
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import httpx2
import pytest
import yaml

import portkey_client as p
from tests.client_support import MESSAGES
from tests.wire.scripts import SCRIPTS, answering, redirect, whole
from tests.wire.server import CERTIFICATES, Server

PATIENCE: Final = 0.2
"""Seconds that the client gives a server where only a timeout can end the call."""
SOON: Final = 5.0
"""Seconds in which every call is to be over, on a machine with other things to do."""
TEXT: Final = "It is raining"

FAULTS: Final = yaml.safe_load((Path(__file__).parent / "faults.yaml").read_text())
ROWS: Final = [(fault, mode) for fault in FAULTS for mode in fault["modes"]]


WITH_HTTPX2: Final = {
    "connect-refused", "reset-after-request", "headers-endless", "garbage-status-line", "stall-mid-stream", "gzip-ok",
    "chunk-cut-mid-data-fin", "redirect-cross-origin-307", "tls-wrong-host", "stop-reading-request", "pool-timeout",
    "keepalive-closed-on-second-request", "response-splitting-extra-answer", "break-early", "error-500-reset-body",
}  # fmt: skip
"""One for each way that a call can end."""


@dataclass
class Outcome:
    """What became of the calls.

    Attributes:
        text: All that was answered.
        error: What was raised.
        active: Connections still in use in the end.
    """

    text: str = ""
    error: Exception | None = None
    active: int = 0


def active(http: Any) -> int:
    """How many connections of a client are in use; httpx has no public way to tell."""
    connections = http._transport._pool.connections
    return sum(not connection.is_idle() and not connection.is_closed() for connection in connections)


def messages(mode: str) -> list[dict[str, str]]:
    """What is asked."""
    return [{"role": "user", "content": "a" * (8 << 20)}] if mode == "bigbody" else MESSAGES


def run_sync(mode: str, url: str, timeout: float, library: Any, options: dict[str, Any]) -> Outcome:
    """The calls of a mode with the sync client."""
    outcome = Outcome()
    with library.Client(**options) as http:
        client = p.Portkey(api_key="PK", base_url=url, http_client=http, timeout=timeout)
        create = client.chat.completions.create
        try:
            if mode == "stream":
                for chunk in create(messages=MESSAGES, stream=True):
                    outcome.text += chunk.choices[0].delta.content or ""
            elif mode == "break":
                for chunk in create(messages=MESSAGES, stream=True):
                    outcome.text += chunk.choices[0].delta.content or ""
                    break
            elif mode == "pool":
                with create(messages=MESSAGES, stream=True):
                    create(messages=MESSAGES)
            else:
                for _ in range(2 if mode == "two" else 1):
                    outcome.text += create(messages=messages(mode)).choices[0].message.content or ""
        except Exception as error:  # noqa: BLE001  # whatever it is, it is compared
            outcome.error = error
        outcome.active = active(http)
    return outcome


def run_async(mode: str, url: str, timeout: float, library: Any, options: dict[str, Any]) -> Outcome:
    """The calls of a mode with the async client."""
    outcome = Outcome()

    async def calls(http: Any) -> None:
        client = p.AsyncPortkey(api_key="PK", base_url=url, http_client=http, timeout=timeout)
        create = client.chat.completions.create
        if mode == "stream":
            async for chunk in await create(messages=MESSAGES, stream=True):
                outcome.text += chunk.choices[0].delta.content or ""
        elif mode == "break":
            async for chunk in await create(messages=MESSAGES, stream=True):
                outcome.text += chunk.choices[0].delta.content or ""
                break
            for _ in range(10):  # the loop hangs up in its next rounds
                await asyncio.sleep(0)
        elif mode == "pool":
            async with await create(messages=MESSAGES, stream=True):
                await create(messages=MESSAGES)
        else:
            for _ in range(2 if mode == "two" else 1):
                outcome.text += (await create(messages=messages(mode))).choices[0].message.content or ""

    async def run() -> None:
        async with library.AsyncClient(**options) as http:
            try:
                await calls(http)
            except Exception as error:  # noqa: BLE001  # as above
                outcome.error = error
            outcome.active = active(http)

    asyncio.run(run())
    return outcome


def named(value: Any) -> str:
    """A fault or a mode, in the id of a test."""
    return str(value["id"] if isinstance(value, dict) else value)


sides = pytest.mark.parametrize("run", [run_sync, run_async], ids=["sync", "async"])


@contextlib.contextmanager
def serving(fault: str) -> Generator[tuple[str, list[bytes]]]:
    """A server with this fault: its URL, and the heads of the requests it and any other server have read."""
    certificates = {"tls-wrong-host": "wrong-host.pem", "tls-expired": "expired.pem"}
    certificate = None
    if fault.startswith("tls-") and fault not in ("tls-to-plain-port", "tls-handshake-stall"):
        certificate = certificates.get(fault, "trusted.pem")
    with contextlib.ExitStack() as stack:
        script = SCRIPTS.get(fault)
        elsewhere = None
        if fault == "redirect-cross-origin-307":
            elsewhere = Server(answering(whole()))
            stack.callback(elsewhere.close)
            script = answering(redirect(b"307 Temporary Redirect", elsewhere.url.encode()))
        if script is None:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
            host = "gateway.test" if fault == "dns-failure" else "127.0.0.1"
            yield f"http://{host}:{port}/v1", []
            return
        server = Server(script, certificate=certificate)
        stack.callback(server.close)
        url = server.url
        if fault in ("tls-to-plain-port", "tls-handshake-stall"):
            url = url.replace("http:", "https:")
        yield url, server.requests
        if elsewhere is not None:
            server.requests.extend(elsewhere.requests)


def http_options(fault: str, mode: str, library: Any) -> dict[str, Any]:
    """What the HTTP client is made with."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if fault != "tls-untrusted-ca":
        trusting.load_verify_locations(CERTIFICATES / "ca.pem")
    return {"verify": trusting, "limits": library.Limits(max_connections=1 if mode == "pool" else 10)}


def either(expected: Any) -> list[Any]:
    """What may be, as a list."""
    return expected if isinstance(expected, list) else [expected]


def fail_to_resolve(*_: Any, **__: Any) -> Any:
    """In the place of `getaddrinfo`."""
    raise socket.gaierror(-2, "Name or service not known")


def check(run: Callable[..., Outcome], fault: dict[str, Any], mode: str, library: Any) -> None:
    """The right class, in time, with the text that came, sent again only by the rule, and no connection in use."""
    with serving(fault["id"]) as (url, requests):
        began = time.monotonic()
        timeout = PATIENCE if fault.get("waits") else 30
        outcome = run(mode, url, timeout, library, http_options(fault["id"], mode, library))
        took = time.monotonic() - began

    assert (None if outcome.error is None else type(outcome.error).__name__) in either(fault.get("raises")), outcome
    assert fault.get("says", "") in str(outcome.error)
    if outcome.error is None:
        assert {"two": TEXT * 2, "break": "It is"}.get(mode, TEXT) == outcome.text
    if "keeps" in fault:
        assert isinstance(outcome.error, p.APIError)
        assert outcome.error.partial is not None
        assert fault["keeps"] == outcome.error.partial.choices[0].message.content == outcome.text
    if isinstance(outcome.error, p.APIError):
        assert outcome.error.attempts in either(fault.get("tries", fault["sent"]))
        copied = pickle.loads(pickle.dumps(outcome.error))  # noqa: S301  # our own
        assert (type(outcome.error), str(outcome.error)) == (type(copied), str(copied))
        assert outcome.error.partial == copied.partial
    assert len(requests) in either(fault["sent"])
    assert 0 == outcome.active
    assert took < SOON


@pytest.fixture(autouse=True)
def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr("portkey_client._retry.FIRST_DELAY_SECONDS", 0.0)


@sides
@pytest.mark.parametrize(("fault", "mode"), ROWS, ids=named)
def test_a_fault_is_one_typed_error_or_does_no_harm(
    run: Callable[..., Outcome], fault: dict[str, Any], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the server does, the call ends as the table says."""
    if fault["id"] == "dns-failure":
        monkeypatch.setattr(socket, "getaddrinfo", fail_to_resolve)

    check(run, fault, mode, httpx)


@sides
@pytest.mark.parametrize(("fault", "mode"), [row for row in ROWS if row[0]["id"] in WITH_HTTPX2], ids=named)
def test_a_fault_means_the_same_with_httpx2(run: Callable[..., Outcome], fault: dict[str, Any], mode: str) -> None:
    """A client of httpx2 as `http_client=` has exceptions and connections of its own."""
    check(run, fault, mode, httpx2)


def test_all_of_the_faults_are_there() -> None:
    """133 ways to go wrong, each with a script unless it needs none."""
    without = {"connect-refused", "dns-failure", "redirect-cross-origin-307"}

    assert 133 == len(ROWS)
    assert {fault["id"] for fault in FAULTS} == SCRIPTS.keys() | without
