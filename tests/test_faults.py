"""Failures on both legs: broken connections, damaged answers, provider errors."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from portkey_testing import DishonestReply, FakeGateway, HangingRequest, error, fault, native, text
from portkey_testing.faults import CATALOGUE, DAMAGES
from portkey_testing.replies import error_catalogue
from tests.fake_support import SYNC, Side, body, sides

ERRORS = yaml.load(
    (Path(__file__).parent / "data" / "provider_errors.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)["providers"]
NAMES = {"mistral": "mistral-ai"}
BEFORE_BODY = [name for name, wire in CATALOGUE.items() if wire.phase != "body"]
IN_BODY = [name for name, wire in CATALOGUE.items() if wire.phase == "body" and wire.raises]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FIRST_CHUNK = b"5\r\nhello\r\n"


def failed(side: Side, name: str, **fields: Any) -> Exception:
    """What a client sees when the way to the gateway has that fault."""
    fake = FakeGateway()
    fake.gateway.reply(fault(name))
    try:
        answer = side.ask(fake, body(**fields), timeout=5.0)
    except httpx.HTTPError as raised:
        return raised
    assert answer.error is not None
    return answer.error


# The application leg: what a real socket raises


@sides
@pytest.mark.parametrize("name", BEFORE_BODY)
def test_a_fault_before_the_body_raises_its_exception(side: Side, name: str) -> None:
    """The class is the one that real sockets give."""
    wire = CATALOGUE[name]

    raised = failed(side, name)

    assert wire.raises == type(raised).__name__
    words = wire.message if side.backend is None or wire.async_message is None else wire.async_message
    assert words == str(raised)
    assert isinstance(raised.request, httpx.Request)  # type: ignore[attr-defined]  # httpx gives it to every one


@sides
@pytest.mark.parametrize("name", IN_BODY)
@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_in_the_body_comes_after_the_first_bytes(side: Side, name: str, stream: bool) -> None:
    """A part of the answer arrives, then the exception."""
    fake = FakeGateway()
    fake.gateway.reply(fault(name))

    answer = side.ask(fake, body(stream=stream), timeout=5.0)

    assert answer.content
    assert CATALOGUE[name].raises == type(answer.error).__name__


@pytest.mark.parametrize("name", ["refused", "dns", "tls", "tls_plain_port", "reset_before_headers"])
def test_the_operating_systems_exception_is_behind(name: str) -> None:
    """Who tells TLS from DNS by the cause finds it where httpx leaves it."""
    made = CATALOGUE[name].cause
    assert made is not None

    raised = failed(SYNC, name)

    assert raised.__cause__ is None
    assert type(made()) is type(raised.__context__)


@pytest.mark.parametrize(
    ("name", "phase"), [("connect_timeout", "connect"), ("stall_request", "write"), ("stall", "read")]
)
def test_silence_without_a_timeout_fails_the_test(name: str, phase: str) -> None:
    """A client without a timeout would wait for ever."""
    fake = FakeGateway()
    fake.gateway.reply(fault(name))

    with pytest.raises(HangingRequest, match=f"no {phase} timeout"):
        SYNC.ask(fake, timeout=None)
    with pytest.raises(HangingRequest):
        fake.verify()


@contextmanager
def server(behave: Callable[[socket.socket], None]) -> Generator[str]:
    """A server on this machine that treats its connections badly."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                while True:
                    behave(listening.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def reset(connection: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def after(sent: bytes, end: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """Read the request, send something, then end the connection."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65_536)
        if sent:
            connection.sendall(sent)
        end(connection)

    return behave


REAL: dict[str, Callable[[socket.socket], None]] = {
    "reset_before_headers": after(b"", reset),
    "closed_before_headers": after(b"", socket.socket.close),
    "closed_within_headers": after(HEAD[:30], socket.socket.close),
    "not_http": after(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", socket.socket.close),
    "dropped": after(HEAD + FIRST_CHUNK, socket.socket.close),
    "bad_chunk": after(HEAD + FIRST_CHUNK + b"xyz\r\n", socket.socket.close),
}


@pytest.mark.parametrize("name", sorted(REAL))
def test_the_catalogue_agrees_with_real_sockets(name: str) -> None:
    """Class and text are what httpx raises against a socket on this machine."""
    with server(REAL[name]) as url, httpx.Client(timeout=5.0) as client, pytest.raises(httpx.HTTPError) as caught:
        client.post(url)

    assert (CATALOGUE[name].raises, CATALOGUE[name].message) == (type(caught.value).__name__, str(caught.value))


def test_the_catalogue_agrees_with_a_port_where_nobody_listens() -> None:
    """The commonest failure of all."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"

    with httpx.Client() as client, pytest.raises(httpx.HTTPError) as caught:
        client.post(url)

    assert (CATALOGUE["refused"].raises, CATALOGUE["refused"].message) == (
        type(caught.value).__name__,
        str(caught.value),
    )


# Damages


@pytest.mark.parametrize("leg", ["application", "provider"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_every_damage_can_strike_both_legs(name: str, stream: bool, leg: str) -> None:
    """What comes is never the whole answer as it should be; a damage of streams says so to a plain request."""
    fake = FakeGateway()
    (fake.gateway if leg == "application" else fake).reply(text("It is raining cats").damaged(name))
    request = body(stream=stream)

    if DAMAGES[name].part == "stream" and not stream:
        with pytest.raises(DishonestReply, match="needs a stream"):
            SYNC.ask(fake, request)
        return
    answer = SYNC.ask(fake, request)

    whole = FakeGateway()
    whole.reply("It is raining cats")
    sound = SYNC.ask(whole, request)
    differs = (answer.status, answer.content, answer.headers.get("content-type"), answer.error) != (
        sound.status,
        sound.content,
        sound.headers.get("content-type"),
        None,
    )
    assert differs


def damaged(name: str, **fields: Any) -> Any:
    """An answer to the application with that damage."""
    fake = FakeGateway()
    fake.gateway.reply(text("It is raining cats").damaged(name))
    return SYNC.ask(fake, body(**fields))


def test_damaged_bodies_are_what_their_names_say() -> None:
    """One assertion for each damage of a plain answer."""
    with pytest.raises(json.JSONDecodeError):
        _ = damaged("truncated_json").json
    with pytest.raises(json.JSONDecodeError):
        _ = damaged("broken_json").json
    page = damaged("html_page")
    assert (502, "text/html") == (page.status, page.headers["content-type"])
    assert (200, "text/html") == (damaged("html_with_200").status, damaged("html_with_200").headers["content-type"])
    assert "text/plain" == damaged("wrong_content_type").headers["content-type"]
    assert b"" == damaged("empty_body").content
    assert "server_error" == damaged("error_with_200").json["error"]["type"]
    assert isinstance(damaged("bad_encoding").error, httpx.DecodingError)
    short = damaged("wrong_length")
    assert isinstance(short.error, httpx.RemoteProtocolError)
    found = re.search(r"received (\d+) bytes, expected (\d+)", str(short.error))
    assert found is not None
    assert (len(short.content), 2 * len(short.content)) == (int(found.group(1)), int(found.group(2)))


def test_damaged_streams_are_what_their_names_say() -> None:
    """One assertion for each damage of a stream."""
    said = [c["choices"][0]["delta"].get("content") for c in damaged("duplicate_chunk", stream=True).chunks]
    assert ["", "It", "It", " is", " raining", " cats", None] == said
    said = [c["choices"][0]["delta"].get("content") for c in damaged("out_of_order_chunks", stream=True).chunks]
    assert ["", " is", "It", " raining", " cats", None] == said
    assert "[DONE]" not in damaged("missing_done", stream=True).events
    assert "stop" == damaged("missing_done", stream=True).chunks[-1]["choices"][0]["finish_reason"]
    assert damaged("missing_finish", stream=True).chunks[-1]["choices"][0]["finish_reason"] is None
    with pytest.raises(json.JSONDecodeError):
        _ = damaged("malformed_event", stream=True).chunks
    assert "server_error" == json.loads(damaged("error_event", stream=True).events[-1])["error"]["type"]


def test_the_gateway_reads_a_damaged_answer_of_a_provider() -> None:
    """Broken JSON from a provider is the gateway's 500, not the application's broken JSON."""
    fake = FakeGateway()
    fake.reply(fault("truncated_json"))

    answer = SYNC.ask(fake)

    assert (500, "Something went wrong") == (answer.status, answer.json["message"])


@sides
@pytest.mark.parametrize("name", BEFORE_BODY)
def test_on_the_provider_leg_the_gateway_meets_the_fault(side: Side, name: str) -> None:
    """A provider that cannot be reached is the gateway's error, and another target's turn."""
    fake = FakeGateway()
    fake.provider("openai").reply(fault(name))
    fake.provider("groq").reply("from Groq")
    first = {"provider": "openai", "api_key": "A", "request_timeout": 3000}
    second = {"provider": "groq", "api_key": "B"}

    answer = side.ask(fake, config={"strategy": {"mode": "fallback"}, "targets": [first, second]})

    assert "from Groq" == answer.said
    assert (408 if CATALOGUE[name].waits else 500) == fake.last.route.attempts[0].status


def test_a_fault_that_comes_after_the_timeout_is_a_timeout() -> None:
    """The gateway has given up by then, and asks again only where its retries list a timeout."""
    fake = FakeGateway()
    fake.reply(fault("closed_before_headers").delayed(2.0))
    target = {"provider": "openai", "api_key": "A", "request_timeout": 500, "retry": {"attempts": 3}}

    assert (408, 0.5) == (SYNC.ask(fake, config=target).status, fake.clock.now)


def test_an_error_whose_body_breaks_off_is_no_answer() -> None:
    """The gateway reads the body of an error at once, so it is another target's turn as with any broken connection."""
    fake = FakeGateway()
    fake.provider("openai").reply(native(status=503, events=["data: {", "}"]).cut(chunks=1))
    fake.provider("groq").reply("from Groq")
    targets = [{"provider": "openai", "api_key": "A"}, {"provider": "groq", "api_key": "B"}]

    answer = SYNC.ask(fake, config={"strategy": {"mode": "fallback"}, "targets": targets})

    first = fake.last.route.attempts[0]
    assert ("from Groq", 500, "connection dropped") == (answer.said, first.status, first.failure)


@pytest.mark.parametrize("name", IN_BODY)
def test_a_provider_that_dies_mid_stream_ends_the_stream_silently(name: str) -> None:
    """The gateway closes its own stream as if it were over; only the finish reason is missing."""
    fake = FakeGateway()
    fake.reply(text("It is raining cats").cut(chunks=2, fault=name))

    answer = SYNC.ask(fake, body(stream=True), timeout=5.0)

    assert ("It is", None) == (answer.said, answer.error)
    assert "[DONE]" not in answer.events


# Provider errors


@pytest.mark.parametrize(
    ("provider", "entry"),
    [
        pytest.param(NAMES.get(provider, provider), entry, id=f"{provider}-{entry['id']}")
        for provider, entries in ERRORS.items()
        for entry in entries
        if provider != "portkey-gateway"
    ],
)
def test_every_recorded_error_has_a_name(provider: str, entry: dict[str, Any]) -> None:
    """Its status is the provider's."""
    name = entry["id"].replace("-", "_")

    assert entry["status"] == error_catalogue()[provider][name]["status"]
    assert f"error({name!r})" == str(error(name))


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("invalid_key", 401, "invalid_api_key"),
        ("model_not_found", 404, "model_not_found"),
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("rate_limited_tokens", 429, "rate_limit_exceeded"),
        ("quota_exceeded", 429, "insufficient_quota"),
        ("context_length", 400, "context_length_exceeded"),
        ("content_filter", 400, "content_policy_violation"),
        ("overloaded", 503, None),
        ("server_error", 500, None),
        ("bad_request", 400, None),
    ],
)
def test_the_catalogues_common_names_at_openai(name: str, status: int, code: str | None) -> None:
    """Each comes through the gateway with OpenAI's status and code."""
    fake = FakeGateway()
    fake.reply(error(name))

    answer = SYNC.ask(fake)

    assert (status, code) == (answer.status, answer.json["error"]["code"])
    assert answer.json["error"]["message"].startswith("openai error: ")


@pytest.mark.parametrize("provider", ["anthropic", "groq", "mistral-ai", "cohere", "together-ai", "azure-openai"])
def test_common_names_are_said_in_each_providers_words(provider: str) -> None:
    """The same script serves whichever provider is asked."""
    statuses = {name: error_catalogue()[provider][name]["status"] for name in ("rate_limited", "invalid_key")}

    assert {"rate_limited": 429, "invalid_key": 401} == statuses


def test_a_rate_limit_tells_how_long_to_wait() -> None:
    """Headers and message agree, in seconds and milliseconds."""
    fake = FakeGateway()
    fake.reply(error("rate_limited", retry_after=7))

    answer = SYNC.ask(fake)

    assert ("7", "7000", "7s") == tuple(
        answer.headers[name] for name in ("retry-after", "retry-after-ms", "x-ratelimit-reset-requests")
    )
    assert "try again in 7s" in answer.json["error"]["message"]


def test_an_error_no_provider_of_that_name_has_is_dishonest() -> None:
    """Flex capacity is Groq's."""
    fake = FakeGateway()
    fake.reply(error("flex_capacity_498"))

    with pytest.raises(DishonestReply, match="openai has no error called 'flex_capacity_498'"):
        SYNC.ask(fake)


def test_the_gateways_own_errors_come_on_the_application_leg() -> None:
    """Nothing is routed, and no prefix is put in front."""
    fake = FakeGateway()
    fake.gateway.reply(error("provider_unreachable"), error("overloaded", message="Busy"))

    unreachable, busy = SYNC.ask_all(fake, [body(), body()])

    assert (503, "fetch failed") == (unreachable.status, unreachable.text)
    assert (503, "Busy") == (busy.status, busy.json["error"]["message"])
    assert not any(name.startswith("x-portkey") for name in unreachable.headers)
    assert [] == fake.last.route.attempts


def test_an_overload_may_come_inside_a_stream() -> None:
    """Anthropic reports it after its 200, and the gateway makes a finish reason of it."""
    fake = FakeGateway()
    fake.reply(error("overloaded_in_stream"))

    answer = SYNC.ask(fake, body(model="claude-x", max_tokens=5, stream=True), provider="anthropic")

    assert "overloaded_error" == answer.chunks[-1]["choices"][0]["finish_reason"]


def test_the_catalogue_is_whole() -> None:
    """Every fault that raises has a class in httpx, and every one that waits has a timeout to wait for."""
    raised = {name: getattr(httpx, wire.raises) for name, wire in CATALOGUE.items() if wire.raises is not None}
    waiting = {name for name, wire in CATALOGUE.items() if wire.waits}

    assert {"end"} == CATALOGUE.keys() - raised.keys()
    assert {True} == {issubclass(kind, httpx.TransportError) for kind in raised.values()}
    assert waiting == {name for name, kind in raised.items() if issubclass(kind, httpx.TimeoutException)}
