"""The mount that catches every client of the process, and leaves everything else its way."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import ModuleType
from typing import Any

import anyio
import httpcore
import httpcore2
import httpx
import httpx2
import pytest
import respx
from respx.mocks import HTTPCoreMocker, HTTPXMocker

from portkey_testing import EscapedRequest, FakeGateway, text
from tests.contract.conftest import HEADERS, URL, Wire, chat

ELSEWHERE = "https://api.example.com/"

only_httpx = pytest.mark.parametrize("library", [httpx], ids=["httpx"])


def content(wire: Wire, **options: Any) -> str:
    """What a plain request of the wire is answered."""
    said: str = wire.send(**options).json["choices"][0]["message"]["content"]
    return said


# Which requests are the gateway's


@pytest.mark.parametrize("url", ["https://api.portkey.ai/v1", "http://localhost:8787/v1", "http://127.0.0.1:8787/v1"])
def test_the_usual_gateways_are_known_without_headers(fake: FakeGateway, plain: Wire, url: str) -> None:
    """A request to the hosted gateway or a local one is the gateway's, whatever headers it has."""
    fake.default_provider("openai")
    fake.reply("Sunny")

    with fake.mount():
        assert "Sunny" == content(plain, url=f"{url}/chat/completions", headers={})


def test_a_custom_base_url_is_known_by_portkeys_headers(fake: FakeGateway, plain: Wire) -> None:
    """Wherever a request with an x-portkey header goes, it goes to the gateway."""
    fake.reply("Sunny")

    with fake.mount():
        assert "Sunny" == content(plain, url="https://llm.corp.example:8443/v1/chat/completions")


def test_a_custom_base_url_can_be_declared(plain: Wire) -> None:
    """With `gateway_urls` the headers are not needed."""
    fake = FakeGateway(gateway_urls=["https://llm.corp.example/v1"])
    fake.default_provider("openai")
    fake.reply("Sunny")

    with fake.mount():
        assert "Sunny" == content(plain, url="https://llm.corp.example/v1/chat/completions", headers={})


def test_a_proxy_makes_no_difference(fake: FakeGateway, plain: Wire) -> None:
    """A client that goes through a proxy is caught before it gets there."""
    fake.reply("Sunny")

    with fake.mount():
        assert "Sunny" == content(plain, proxy="http://127.0.0.1:1")


def test_a_proxy_of_the_environment_makes_no_difference(
    fake: FakeGateway, plain: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for HTTPS_PROXY."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    fake.reply("Sunny")

    with fake.mount():
        assert "Sunny" == content(plain)


# Which clients


def test_a_client_made_before_the_mount_is_caught(fake: FakeGateway, library: ModuleType) -> None:
    """Applications make their clients when they are imported."""
    fake.reply("Sunny", text("Sunny").streamed(by="word"))

    with library.Client() as client:
        with fake.mount():
            assert 200 == client.post(URL, json=chat(), headers=HEADERS).status_code
            assert "[DONE]" in client.post(URL, json=chat(stream=True), headers=HEADERS).text
        assert 2 == len(fake.calls)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_an_async_client_made_before_the_mount_is_caught(fake: FakeGateway, library: ModuleType, loop: str) -> None:
    """The same on an event loop."""
    fake.reply("Sunny")

    async def main() -> None:
        async with library.AsyncClient() as client:
            with fake.mount():
                assert 200 == (await client.post(URL, json=chat(), headers=HEADERS)).status_code

    anyio.run(main, backend=loop)


def test_a_body_that_is_streamed_to_the_gateway_arrives(fake: FakeGateway, library: ModuleType) -> None:
    """The fake reads what a client sends piece by piece."""
    fake.reply("Sunny")

    with fake.mount(), library.Client() as client:
        pieces = (piece for piece in (b'{"model": "gpt-4o", ', b'"messages": [{"role": "user", "content": "Hi"}]}'))
        client.post(URL, content=pieces, headers={**HEADERS, "content-type": "application/json"})

    assert "Hi" == fake.last.request.messages[0]["content"]


@only_httpx
def test_who_looks_on_at_a_transport_sees_the_request(
    fake: FakeGateway, plain: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that has patched httpx's transports, as OpenTelemetry does, is not passed by."""
    seen: list[str] = []
    send, asend = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    def handle_request(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return send(transport, request)

    async def handle_async_request(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return await asend(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle_request)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle_async_request)
    fake.reply("Sunny")

    with fake.mount():
        assert "Sunny" == content(plain)
    assert ["api.portkey.ai"] == seen


def test_a_transport_of_the_users_own_is_caught(fake: FakeGateway) -> None:
    """It need not be httpx's: what goes through a pool of httpcore is caught there."""
    fake.default_provider("openai")
    fake.reply("Sunny")

    with fake.mount(), httpcore.ConnectionPool() as pool:
        written = json.dumps(chat()).encode()
        response = pool.request("POST", URL, headers={"content-type": "application/json"}, content=written)

    assert "Sunny" == json.loads(response.content)["choices"][0]["message"]["content"]


# Mounting and unmounting


def _patched() -> tuple[object, ...]:
    """Everything a mount replaces."""
    return (
        httpcore.ConnectionPool.handle_request,
        httpcore.AsyncConnectionPool.handle_async_request,
        httpcore2.ConnectionPool.handle_request,
        httpcore2.AsyncConnectionPool.handle_async_request,
        httpx.HTTPTransport.handle_request,
        httpx.AsyncHTTPTransport.handle_async_request,
        httpx.Client._transport_for_url,
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
        tuple(HTTPCoreMocker.routers),
        tuple(HTTPXMocker.routers),
    )


def test_unmounting_leaves_things_as_they_were() -> None:
    """Once, again, nested, and after an exception."""
    before = _patched()

    for _ in range(2):
        with FakeGateway().mount():
            assert before != _patched()
            with FakeGateway().mount():
                assert before != _patched()
        assert before == _patched()
    with pytest.raises(ZeroDivisionError), FakeGateway().mount():
        _ = 1 / 0
    assert before == _patched()


def test_the_innermost_mount_answers(plain: Wire) -> None:
    """A fake within a fake answers until it is gone, then the outer one does again."""
    outer, inner = FakeGateway(), FakeGateway()
    outer.always("outer")
    inner.always("inner")

    with outer.mount():
        assert "outer" == content(plain)
        with inner.mount():
            assert "inner" == content(plain)
        assert "outer" == content(plain)


def test_mounts_may_end_in_any_order(plain: Wire) -> None:
    """The first of two may end first."""
    before = _patched()
    first, second = FakeGateway(), FakeGateway()
    second.always("second")

    with ExitStack() as late:
        with ExitStack() as early:
            early.enter_context(first.mount())
            late.enter_context(second.mount())
        assert "second" == content(plain)
    assert before == _patched()


def test_the_same_fake_may_be_mounted_again(plain: Wire) -> None:
    """It goes on where it was."""
    fake = FakeGateway()
    fake.reply("one", "two")

    with fake.mounted():
        assert "one" == content(plain)
    with fake.mount():
        assert "two" == content(plain)


def test_an_exception_in_the_block_is_not_replaced() -> None:
    """Unused replies are not what a test that failed for another reason wants to hear of."""
    fake = FakeGateway()
    fake.reply("never")

    with pytest.raises(ZeroDivisionError), fake.mount():
        _ = 1 / 0


# Other traffic


def test_traffic_on_this_machine_goes_its_way(fake: FakeGateway, plain: Wire, server: str) -> None:
    """A service the test started answers as always, and the journal knows nothing of it."""
    with fake.mount():
        assert b"local" == plain.send(method="GET", url=server, headers={}).body
    assert [] == fake.calls


def test_a_request_that_would_leave_the_machine_fails_at_its_line(fake: FakeGateway, plain: Wire) -> None:
    """The failure names the request and the line it comes from, is raised there, and told again at the end."""
    with fake.mounted(), pytest.raises(EscapedRequest, match=f"GET {ELSEWHERE}") as caught:
        plain.send(method="GET", url=ELSEWHERE, headers={})

    assert "conftest.py:" in str(caught.value)
    with pytest.raises(EscapedRequest):
        fake.verify()


@pytest.fixture
def named_server(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same service under a name that might be anywhere."""
    real = socket.getaddrinfo

    def resolved(_host: object, *rest: Any, **options: Any) -> Any:
        return real("127.0.0.1", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return server.replace("127.0.0.1", "api.example.com")


def test_a_host_may_be_allowed_by_name(plain: Wire, named_server: str) -> None:
    """An allowed host is reached."""
    fake = FakeGateway(allow_hosts=["*.example.com"])

    with fake.mount():
        assert b"local" == plain.send(method="GET", url=named_server, headers={}).body


def test_a_host_that_is_not_allowed_is_not_reached(plain: Wire, named_server: str) -> None:
    """The pattern has to match."""
    with FakeGateway(allow_hosts=["*.example.org"]).mounted(), pytest.raises(EscapedRequest):
        plain.send(method="GET", url=named_server, headers={})


def test_the_guard_may_be_switched_off_by_name(fake: FakeGateway, plain: Wire, named_server: str) -> None:
    """Like every other rule."""
    fake.allow("escaped_requests")

    with fake.mount():
        assert b"local" == plain.send(method="GET", url=named_server, headers={}).body


# Beside a user's respx


def _theirs(using: str) -> respx.MockRouter:
    """A router of the user's, for another service."""
    router = respx.mock(using=using, assert_all_called=False)
    router.get(ELSEWHERE).respond(text="theirs")
    return router


Enter = Callable[[ExitStack, AbstractContextManager[Any], AbstractContextManager[Any]], None]


def _ours_first(stack: ExitStack, ours: AbstractContextManager[Any], theirs: AbstractContextManager[Any]) -> None:
    stack.enter_context(ours)
    stack.enter_context(theirs)


def _theirs_first(stack: ExitStack, ours: AbstractContextManager[Any], theirs: AbstractContextManager[Any]) -> None:
    stack.enter_context(theirs)
    stack.enter_context(ours)


orders = pytest.mark.parametrize("enter", [_ours_first, _theirs_first])
usings = pytest.mark.parametrize("using", ["httpcore", "httpx"])


@orders
@usings
@only_httpx
def test_a_users_respx_answers_beside_ours(fake: FakeGateway, plain: Wire, using: str, enter: Enter) -> None:
    """Theirs answers their service and ours the gateway, whichever started first and wherever theirs patches."""
    before = _patched()
    fake.reply("ours")

    with ExitStack() as stack:
        enter(stack, fake.mount(), _theirs(using))
        assert b"theirs" == plain.send(method="GET", url=ELSEWHERE, headers={}).body
        assert "ours" == content(plain)
    assert before == _patched()


@orders
@usings
@only_httpx
def test_what_neither_knows_is_what_respx_makes_of_it(fake: FakeGateway, plain: Wire, using: str, enter: Enter) -> None:
    """A request that a user's respx does not mock fails as it would without us."""
    with ExitStack() as stack:
        enter(stack, fake.mount(), _theirs(using))
        with pytest.raises(respx.models.AllMockedAssertionError, match="not mocked"):
            plain.send(method="GET", url="https://api.example.org/", headers={})


@usings
@only_httpx
def test_ours_goes_on_when_theirs_ends(fake: FakeGateway, plain: Wire, using: str) -> None:
    """And the other way round."""
    before = _patched()
    fake.reply("ours")

    with ExitStack() as late, ExitStack() as early:
        early.enter_context(_theirs(using))
        late.enter_context(fake.mount())
        early.close()
        assert "ours" == content(plain)
    with ExitStack() as late, ExitStack() as early:
        early.enter_context(FakeGateway().mount())
        late.enter_context(_theirs(using))
        early.close()
        assert b"theirs" == plain.send(method="GET", url=ELSEWHERE, headers={}).body
    assert before == _patched()


@usings
@only_httpx
def test_a_users_pass_through_stays_on_the_machine(fake: FakeGateway, plain: Wire, using: str, server: str) -> None:
    """A route that respx passes through reaches a service on this machine."""
    with fake.mount(), _theirs(using) as theirs:
        theirs.get(server).pass_through()
        assert b"local" == plain.send(method="GET", url=server, headers={}).body


@orders
@pytest.mark.parametrize("library", [httpx2], ids=["httpx2"])
def test_httpx2_is_answered_beside_a_users_respx(fake: FakeGateway, plain: Wire, enter: Enter) -> None:
    """A user's respx, which does not know httpx2, changes nothing for it."""
    fake.reply("ours")

    with ExitStack() as stack:
        enter(stack, fake.mount(), _theirs("httpcore"))
        assert "ours" == content(plain)
