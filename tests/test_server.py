"""The fake on a real port, and as an ASGI application."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from portkey_client import (
    APIConnectionError,
    APITimeoutError,
    AsyncPortkey,
    BadRequestError,
    IncompleteStreamError,
    Portkey,
    StreamConnectionError,
    StreamTimeoutError,
)
from portkey_testing import FakeGateway, UnscriptedRequest, fault, text, tool_call
from portkey_testing.mounts.asgi import GatewayApp
from portkey_testing.mounts.server import ScaledClock, Server

CONFIG = {"provider": "openai", "api_key": "key"}
MESSAGES = [{"role": "user", "content": "Weather in Oslo?"}]


@pytest.fixture
def fake() -> FakeGateway:
    """A fake of its own for each test."""
    return FakeGateway()


@pytest.fixture
def server(fake: FakeGateway) -> Iterator[Server]:
    """It, on a port, without waiting."""
    with fake.serve(time_scale=0) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Portkey]:
    """A client that tries once and is not patient."""
    with Portkey(api_key="key", base_url=server.url, config=CONFIG, max_retries=0, timeout=0.5) as made:
        yield made


def test_a_scripted_answer_is_served(fake: FakeGateway, client: Portkey) -> None:
    """A client on a socket gets what a client in process gets, headers included."""
    fake.provider("openai").reply("Sunny")

    answer = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert answer.choices[0].message.content == "Sunny"
    assert (answer.gateway.provider, answer.gateway.target) == ("openai", "config")


def test_a_stream_is_served_piece_by_piece(fake: FakeGateway, client: Portkey) -> None:
    """The chunks of a stream arrive as they were cut."""
    fake.provider("openai").reply(text("It is raining").streamed(by="word", ttft=1, tps=1))

    chunks = list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))

    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert pieces == ["It", " is", " raining"]
    assert not fake.last.closed_early


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], indirect=True)
async def test_an_async_client_is_served(fake: FakeGateway, server: Server) -> None:
    """Asynchronous clients on asyncio and trio reach it."""
    fake.provider("openai").reply("Sunny")

    async with AsyncPortkey(api_key="key", base_url=server.url, config=CONFIG) as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert answer.choices[0].message.content == "Sunny"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("reset_before_headers", APIConnectionError),
        ("closed_before_headers", APIConnectionError),
        ("stall_before_headers", APITimeoutError),
    ],
)
def test_faults_before_the_answer_are_real(
    fake: FakeGateway, client: Portkey, name: str, error: type[Exception]
) -> None:
    """A broken connection is one, on the socket."""
    fake.gateway.reply(fault(name))

    with pytest.raises(error):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("reset", StreamConnectionError),
        ("dropped", StreamConnectionError),
        ("stall", StreamTimeoutError),
        ("end", IncompleteStreamError),
    ],
)
def test_faults_within_a_stream_are_real(fake: FakeGateway, client: Portkey, name: str, error: type[Exception]) -> None:
    """A stream breaks where the script says, and the client keeps what came."""
    fake.gateway.reply(text("It is raining").cut(chunks=2, fault=name))

    with pytest.raises(error) as caught:
        list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))

    assert isinstance(caught.value, IncompleteStreamError)
    assert caught.value.partial.choices[0].message.content == "It is"


def test_an_unscripted_request_is_explained_and_not_to_be_retried(fake: FakeGateway) -> None:
    """Where no exception can travel, the explanation does, and leaving the block raises."""
    with pytest.raises(UnscriptedRequest), fake.serve(time_scale=0) as server:
        _ask_in_vain(server)


def _ask_in_vain(server: Server) -> None:
    with (
        Portkey(api_key="key", base_url=server.url, config=CONFIG) as client,
        pytest.raises(BadRequestError, match="no script answers openai config") as caught,
    ):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.attempts == 1


@pytest.mark.anyio
async def test_a_body_that_is_too_large_is_refused(fake: FakeGateway) -> None:
    """A request cannot fill the memory of the test process."""
    app = GatewayApp(fake, ScaledClock(0), max_body=10)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
        response = await client.post("http://gateway/v1/chat/completions", content=b"x" * 11)

    assert response.status_code == 413
    assert fake.calls == []


def test_a_port_in_use_is_named(fake: FakeGateway) -> None:
    """Two servers cannot have one port, and the second says so."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}.*Take another port"),
            fake.serve(port=port),
        ):
            pass


def test_the_environment_points_sdks_at_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is given `env` reaches the server without further options."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)

    client = Portkey(config=CONFIG)

    assert str(client.base_url).rstrip("/") == server.url


def test_the_port_is_free_again(fake: FakeGateway) -> None:
    """Leaving the block stops the server."""
    with fake.serve() as server:
        port = int(server.root.rsplit(":", 1)[1])
    with fake.serve(port=port) as again:
        assert again.url == server.url


def test_a_negative_time_scale_is_refused() -> None:
    """Time does not run backwards."""
    with pytest.raises(ValueError, match="time_scale"):
        ScaledClock(-1)


@pytest.mark.anyio
async def test_the_application_runs_without_a_server(fake: FakeGateway) -> None:
    """The same application answers through httpx's ASGI transport."""
    fake.provider("openai").reply(tool_call("get_weather", location="Oslo"))
    transport = httpx.ASGITransport(app=GatewayApp(fake, ScaledClock(0)))

    async with AsyncPortkey(api_key="key", config=CONFIG, http_client=httpx.AsyncClient(transport=transport)) as client:
        tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
        answer = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, tools=tools)

    assert answer.choices[0].message.tool_calls is not None
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"location":"Oslo"}'


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """asyncio, unless a test says otherwise; the application itself needs it."""
    backend: str = getattr(request, "param", "asyncio")
    return backend
