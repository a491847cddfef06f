"""Recording from the fake: what goes live, what comes back, and what is kept."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import anyio
import httpcore
import httpx
import httpx2
import pytest

from portkey_client import APIConnectionError, AsyncPortkey, AuthenticationError, Portkey, PortkeyError
from portkey_testing import CassetteMiss, EscapedRequest, FakeGateway, NotRecorded, UnplayedInteractions
from portkey_testing.cassettes import CassetteError, load_cassette
from portkey_testing.mounts.live import rebased
from tests.recording_support import CHUNKS, TinyGateway, tiny_gateway

KEY: Final = "pk-live-3f8a9c2e71d04b56"


@pytest.fixture
def gateway() -> Iterator[TinyGateway]:
    """A gateway on loopback."""
    with tiny_gateway() as running:
        yield running


def ask(gateway: TinyGateway, text: str = "Hi", *, base_url: str | None = None) -> str | None:
    """Ask the gateway through a client of this library."""
    with Portkey(api_key=KEY, provider="openai", base_url=base_url or gateway.url, max_retries=0) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content


def _httpx(url: str, body: Mapping[str, Any], read: Callable[[], object]) -> list[bytes]:
    with httpx.Client() as client, client.stream("POST", url, json=body, headers=HEADERS) as response:
        return _pieces(response.iter_raw(), read)


def _httpx2(url: str, body: Mapping[str, Any], read: Callable[[], object]) -> list[bytes]:
    with httpx2.Client() as client, client.stream("POST", url, json=body, headers=HEADERS) as response:
        return _pieces(response.iter_raw(), read)


def _pieces(stream: Iterator[bytes], read: Callable[[], object]) -> list[bytes]:
    pieces = []
    for piece in stream:
        pieces.append(piece)
        read()
    return pieces


def _async_httpx(url: str, body: Mapping[str, Any], read: Callable[[], object]) -> list[bytes]:
    return anyio.run(_apieces, httpx.AsyncClient, url, body, read)


def _trio_httpx2(url: str, body: Mapping[str, Any], read: Callable[[], object]) -> list[bytes]:
    return anyio.run(_apieces, httpx2.AsyncClient, url, body, read, backend="trio")


async def _apieces(client_class: Any, url: str, body: Mapping[str, Any], read: Callable[[], object]) -> list[bytes]:
    pieces = []
    async with client_class() as client, client.stream("POST", url, json=body, headers=HEADERS) as response:
        async for piece in response.aiter_raw():
            pieces.append(piece)
            read()
    return pieces


HEADERS: Final = {"x-portkey-provider": "openai", "authorization": f"Bearer {KEY}"}
STYLES: Final = pytest.mark.parametrize("stream", [_httpx, _async_httpx, _httpx2, _trio_httpx2])
MESSAGES: Final = [{"role": "user", "content": "stream"}]
STREAM: Final = {"model": "gpt-4o", "stream": True, "messages": MESSAGES}


@STYLES
def test_a_stream_reaches_the_program_while_it_is_recorded(
    gateway: TinyGateway, tmp_path: Path, stream: Callable[..., list[bytes]]
) -> None:
    """The gateway sends each chunk once the one before was read, and the recording replays the same pieces."""
    fake, file, url = FakeGateway(), tmp_path / "x.yaml", f"{gateway.url}/chat/completions"

    with fake.mount(), fake.record(file):
        live = stream(url, STREAM, gateway.read.release)
    with fake.mount(), fake.replay(file):
        replayed = stream(url, STREAM, lambda: None)

    assert [*CHUNKS, b"data: [DONE]\n\n"] == live
    assert live == replayed
    assert 1 == len(gateway.requests)
    assert KEY not in file.read_text()


@pytest.mark.parametrize("mounted_first", [True, False])
def test_mounting_and_recording_may_start_in_any_order(
    gateway: TinyGateway, tmp_path: Path, *, mounted_first: bool
) -> None:
    """Either way the request goes live once, and everything is as before at the end."""
    before = vars(httpcore.ConnectionPool)["handle_request"]
    fake, file = FakeGateway(), tmp_path / "x.yaml"

    with contextlib.ExitStack() as stack:
        if mounted_first:
            stack.enter_context(fake.mount())
        stack.enter_context(fake.record(file))
        if not mounted_first:
            stack.enter_context(fake.mount())
        assert "answer 1" == ask(gateway)

    assert 1 == len(load_cassette(file).interactions)
    assert before is vars(httpcore.ConnectionPool)["handle_request"]
    assert "answer 2" == ask(gateway)
    assert 1 == len(load_cassette(file).interactions)


def test_another_gateway_may_be_named(gateway: TinyGateway, tmp_path: Path) -> None:
    """The requests go there with the client's own credentials, and replay for the client's own gateway."""
    fake, file = FakeGateway(), tmp_path / "x.yaml"

    with fake.mount(), fake.record(file, gateway.url):
        live = ask(gateway, base_url="https://api.portkey.ai/v1")
    with fake.mount(), fake.replay(file):
        replayed = ask(gateway, base_url="https://api.portkey.ai/v1")

    assert "answer 1" == live == replayed
    ((path, headers),) = gateway.requests
    assert ("/v1/chat/completions", KEY) == (path, headers["x-portkey-api-key"])
    assert gateway.url == f"http://{headers['host']}/v1"


@pytest.mark.parametrize(
    ("url", "gateway", "there"),
    [
        ("https://api.portkey.ai/v1/chat/completions", "http://h:1/v1", "http://h:1/v1/chat/completions"),
        ("https://api.portkey.ai/v1/chat/completions", "http://h:1", "http://h:1/v1/chat/completions"),
        ("https://corp/gw/v1/models?x=%2F", "http://h/other/v1/", "http://h/other/v1/models?x=%2F"),
        ("http://h/chat/completions", "http://h:1/v1", "http://h:1/v1/chat/completions"),
    ],
)
def test_only_what_is_below_the_version_is_kept(url: str, gateway: str, there: str) -> None:
    """The base URL is replaced whole, path and all; the query stays as it was spelt."""
    assert there == rebased(url, gateway)


@pytest.mark.parametrize(
    ("mode", "answers", "kept"),
    [
        ("none", ["answer 1", None], 1),
        ("once", ["answer 1", None], 1),
        ("new", ["answer 1", "answer 2"], 2),
        ("all", ["answer 2", "answer 3"], 2),
        ("rewrite", ["answer 2", "answer 3"], 2),
    ],
)
def test_the_mode_says_what_goes_live(
    gateway: TinyGateway, tmp_path: Path, mode: str, answers: list[str | None], kept: int
) -> None:
    """Of two requests the first was recorded before; None is a miss."""
    file = tmp_path / "x.yaml"
    with FakeGateway().record(file):
        ask(gateway, "known")
    fake, found = FakeGateway(), []

    with contextlib.ExitStack() as stack:
        stack.enter_context(fake.mounted())
        stack.enter_context(fake.record(file, mode=mode) if mode != "none" else fake.replay(file))
        for text in ("known", "unknown"):
            try:
                found.append(ask(gateway, text))
            except CassetteMiss:
                found.append(None)

    assert answers == found
    assert kept == len(load_cassette(file).interactions)


def test_what_is_not_asked_for_while_recording_is_no_failure(gateway: TinyGateway, tmp_path: Path) -> None:
    """`new` may add to a file of which the test plays a part; `once`, with that file, may not leave any."""
    file = tmp_path / "x.yaml"
    with FakeGateway().record(file):
        ask(gateway, "known")

    with FakeGateway().record(file, mode="new"):
        ask(gateway, "unknown")
    once = FakeGateway()
    with once.mounted(), once.record(file):
        ask(gateway, "unknown")

    with pytest.raises(UnplayedInteractions, match="1 of 2"):
        once.verify()


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    """The error names the one that was probably meant."""
    with pytest.raises(ValueError, match="Did you mean 'once'"), FakeGateway().record(tmp_path / "x.yaml", mode="onec"):
        pass


def test_the_journal_notes_live_calls(gateway: TinyGateway, tmp_path: Path) -> None:
    """Status, target and the real duration of a live call are there, and the error it ended in."""
    fake = FakeGateway()

    with fake.record(tmp_path / "x.yaml"):
        ask(gateway)
        with pytest.raises(AuthenticationError):
            ask(gateway, "refuse")
        with pytest.raises(APIConnectionError):
            ask(gateway, "drop")

    first, second, third = fake.calls
    assert (200, ["openai"], False) == (first.status, first.route.providers, first.broke_off)
    assert first.duration is not None
    assert first.duration > 0
    assert (401, True) == (second.status, second.duration is not None)
    assert (None, True) == (third.status, third.broke_off)


def test_errors_and_broken_connections_are_recorded_as_what_they_were(gateway: TinyGateway, tmp_path: Path) -> None:
    """A replay raises what the live gateway made the client raise, and the key it echoed is gone."""
    fake, file = FakeGateway(), tmp_path / "x.yaml"

    def failures() -> list[str]:
        found = []
        for text in ("refuse", "drop"):
            with pytest.raises(PortkeyError) as caught:
                ask(gateway, text)
            found.append(type(caught.value).__name__)
        return found

    with fake.mount(), fake.record(file):
        live = failures()
    with fake.mount(), fake.replay(file):
        replayed = failures()

    assert ["AuthenticationError", "APIConnectionError"] == live == replayed
    assert KEY not in file.read_text()


def test_a_client_that_hangs_up_early_is_recorded_as_that(gateway: TinyGateway, tmp_path: Path) -> None:
    """What it read is kept, and the end says who ended it."""
    fake, file = FakeGateway(), tmp_path / "x.yaml"

    with (
        fake.record(file),
        Portkey(api_key=KEY, provider="openai", base_url=gateway.url) as client,
        client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream,
    ):
        next(iter(stream))

    assert "ended: closed" in file.read_text()
    assert fake.last.closed_early


def test_parallel_calls_go_live_in_parallel(gateway: TinyGateway, tmp_path: Path) -> None:
    """A stream that waits for its reader keeps nobody waiting: threads and tasks are all recorded."""
    fake, file = FakeGateway(), tmp_path / "x.yaml"

    begun = anyio.Event()

    async def read(client: AsyncPortkey, chunks: list[str]) -> None:
        async for chunk in await client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
            chunks.append(chunk.choices[0].delta.content or "")
            begun.set()

    async def in_tasks(chunks: list[str]) -> None:
        async with (
            AsyncPortkey(api_key=KEY, provider="openai", base_url=gateway.url) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(read, client, chunks)
            await begun.wait()
            answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
            chunks.append(f"[{answer.choices[0].message.content}]")
            gateway.read.release(3)

    chunks: list[str] = []
    with fake.mount(), fake.record(file):
        thread = threading.Thread(target=ask, args=(gateway, "in a thread"))
        thread.start()
        anyio.run(in_tasks, chunks)
        thread.join()

    assert ["It is ", chunks[1], "raining", ""] == chunks
    assert chunks[1].startswith("[answer")
    assert 3 == len(load_cassette(file).interactions)


def test_other_traffic_is_not_recorded(gateway: TinyGateway, tmp_path: Path) -> None:
    """A request that is not the gateway's goes its way on this machine, and leaves no trace."""
    fake, file = FakeGateway(), tmp_path / "x.yaml"

    with fake.mount(), fake.record(file):
        httpx.post(
            f"{gateway.url}/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": ""}]}
        )

    assert not file.exists()
    assert [] == fake.calls


@STYLES
def test_the_gateway_may_be_off_this_machine(
    gateway: TinyGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: Callable[..., list[bytes]]
) -> None:
    """The guard lets a recording's requests out, and those of nobody else."""
    look_up, port = socket.getaddrinfo, int(gateway.url.split(":")[2].removesuffix("/v1"))

    def pretended(host: Any, *args: Any, **kwargs: Any) -> Any:
        return look_up("127.0.0.1" if host in {"gateway.example", b"gateway.example"} else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", pretended)
    fake, url = FakeGateway(), f"http://gateway.example:{port}/v1/chat/completions"

    with fake.mounted(), fake.record(tmp_path / "x.yaml"):
        pieces = stream(url, STREAM, gateway.read.release)
        with pytest.raises(EscapedRequest):
            httpx.get(f"http://gateway.example:{port}/elsewhere")

    assert len(CHUNKS) + 1 == len(pieces)


def test_a_client_of_the_fake_itself_cannot_be_recorded(gateway: TinyGateway, tmp_path: Path) -> None:
    """A client with the fake's transport never reaches the network: it is told how to be recorded."""
    fake = FakeGateway()

    with (
        fake.record(tmp_path / "x.yaml"),
        httpx.Client(transport=fake.transport()) as client,
        pytest.raises(NotRecorded, match="portkey-testing record"),
    ):
        client.post(f"{gateway.url}/chat/completions", json={})


def test_a_recording_that_cannot_be_written_is_an_error_at_the_end(gateway: TinyGateway, tmp_path: Path) -> None:
    """The program gets its answer; the block ends with what kept the file from being written."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(CassetteError, match="file"), FakeGateway().record(tmp_path / "file" / "x.yaml"):
        assert "answer 1" == ask(gateway)
