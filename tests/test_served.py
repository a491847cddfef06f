"""What the served fake makes of rude clients, and of being stopped, over real sockets."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from portkey_testing import BrokenScript, FakeGateway, error, fault, text
from portkey_testing._cli.control import FakeDesk, RecordingDesk, with_control
from portkey_testing.journal import Journal
from portkey_testing.mounts._node_http import MAX_HEAD
from portkey_testing.mounts.asgi import Connections, GatewayApp, Receive, Scope, Send
from portkey_testing.mounts.server import ScaledClock, Server, running, serving
from portkey_testing.timeline import GatewayRequest, Timeline

BODY: Final = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Weather?"}]}).encode()
HEAD: Final = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-portkey-provider: openai\r\n"
CHAT: Final = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
LAST: Final = CHAT.replace(b"host: localhost", b"host: localhost\r\nconnection: close")
SCENARIO: Final = "portkey_scenario: 1\ndefault_provider: openai\nscripts:\n- always: Sunny\n"


@pytest.fixture
def fake() -> FakeGateway:
    """A fake that always has an answer."""
    fake = FakeGateway()
    fake.always("Sunny")
    return fake


@pytest.fixture
def server(fake: FakeGateway) -> Iterator[Server]:
    """It, on a port."""
    with fake.serve(time_scale=0) as running:
        yield running


def test_the_loops_of_the_process_stay_as_they_were(server: Server) -> None:
    """Whatever loop the server runs on, a test beside it gets the one that it would have got."""

    async def loop_of_a_test() -> str:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    with connected(server):
        assert "asyncio" == asyncio.run(loop_of_a_test())


@contextmanager
def connected(server: Server) -> Generator[socket.socket]:
    """A connection of a client that says what it likes."""
    host, _, port = server.root.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection


def said(connection: socket.socket) -> bytes:
    """Everything the server says until it closes the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass  # it closed with something unread, as it may
    return b"".join(parts)


# Requests that are none


@pytest.mark.parametrize(
    "request_",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # the first bytes of TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header: 1\r\n\r\n",
        HEAD + b"content-length: many\r\n\r\n",
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\nhello",
    ],
    ids=["words", "tls", "version", "header", "length", "two lengths", "chunk", "two framings"],
)
def test_what_is_no_request_is_refused(server: Server, request_: bytes) -> None:
    """It gets a 400 and its connection is closed; the next client is served as always."""
    with connected(server) as connection:
        connection.sendall(request_)
        answer = said(connection)
    with connected(server) as connection:
        connection.sendall(LAST)
        next_ = said(connection)

    assert b"400" == answer.split(b" ", 2)[1]
    assert b"Sunny" in next_


def test_endless_headers_are_refused(fake: FakeGateway, server: Server) -> None:
    """The memory of the test process is not theirs."""
    with connected(server) as connection:
        connection.sendall(HEAD + b"x-long: " + b"x" * (MAX_HEAD + 2**16))
        answer = said(connection)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert [] == fake.calls


def test_a_config_of_many_targets_fits_into_a_header(fake: FakeGateway, server: Server) -> None:
    """The hosted gateway names no limit, so what applications really send is not refused."""
    target = {"provider": "openai", "api_key": "k" * 100}
    config = json.dumps({"strategy": {"mode": "fallback"}, "targets": [target] * 500})

    answer = httpx.post(
        f"{server.url}/chat/completions", content=BODY, headers={"x-portkey-config": config}, trust_env=False
    )

    assert 200 == answer.status_code


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"not JSON", "application/json"), (b"", "application/json"), (b"\xff\xfe", "text/plain")],
    ids=["no JSON", "empty", "bytes"],
)
def test_a_body_that_is_no_json_is_the_gateways_to_refuse(
    fake: FakeGateway, server: Server, content: bytes, content_type: str
) -> None:
    """As in process, where it is compared with the real one; it is no failure of the server."""
    headers = {"x-portkey-provider": "openai", "content-type": content_type}

    served = httpx.post(f"{server.url}/chat/completions", content=content, headers=headers, trust_env=False)
    with httpx.Client(transport=fake.transport()) as client:
        in_process = client.post("https://api.portkey.ai/v1/chat/completions", content=content, headers=headers)

    assert (in_process.status_code, in_process.json()) == (served.status_code, served.json())


def test_old_http_is_answered(server: Server) -> None:
    """A client of HTTP/1.0, as load balancers' probes are, gets its answer and the end of the connection."""
    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\nhost: localhost\r\n\r\n")
        answer = said(connection)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"AI Gateway says hey!")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "TRACE"])
def test_other_methods_do_no_harm(server: Server, method: str) -> None:
    """Each gets some answer of the gateway's, and no web page is let in."""
    answer = httpx.request(method, server.root, headers={"origin": "https://evil.example"}, trust_env=False)

    assert (200 if method == "HEAD" else 404) == answer.status_code
    assert "access-control-allow-origin" not in answer.headers


def test_a_client_that_leaves_in_the_middle_of_its_request_has_not_called(fake: FakeGateway, server: Server) -> None:
    """Half a request is none."""
    with connected(server) as connection:
        connection.sendall(CHAT[:-5])
    with connected(server) as connection:
        connection.sendall(LAST)
        said(connection)

    assert 1 == len(fake.calls)


def test_many_connections_at_once(fake: FakeGateway, server: Server) -> None:
    """64 clients that wait for each other before they send are all answered."""
    together = threading.Barrier(64)

    def ask(_: int) -> bytes:
        with connected(server) as connection:
            together.wait(timeout=30)
            connection.sendall(LAST)
            return said(connection)

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(ask, range(64)))

    assert [True] * 64 == [b"Sunny" in answer for answer in answers]
    assert list(range(1, 65)) == [call.number for call in fake.calls]


def test_requests_may_follow_each_other_at_once(fake: FakeGateway, server: Server) -> None:
    """Pipelined requests are answered in order."""
    with connected(server) as connection:
        connection.sendall(CHAT + CHAT + LAST)
        answer = said(connection)

    assert 3 == answer.count(b"HTTP/1.1 200 ") == answer.count(b"Sunny")


@pytest.mark.parametrize(
    "reply", [text("Sunny"), fault("reset_before_headers"), fault("closed_before_headers")], ids=str
)
def test_a_client_that_gave_up_waiting_is_no_failure(fake: FakeGateway, reply: Any) -> None:
    """Whoever hangs up before a slow answer, or a slow break, is left alone, and nothing fails because of that."""
    fake.gateway.reply(reply.delayed(1.0))
    with fake.serve(time_scale=0.1) as server, connected(server) as connection:
        connection.sendall(CHAT)

    assert 1 == len(fake.calls)


def test_nothing_waits_for_an_acknowledgement() -> None:
    """Nagle's algorithm is off, or each piece of a stream would wait 40 ms for the one before."""
    seen: list[int] = []

    def make_app(connections: Any) -> Any:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            connection = connections.protocols[tuple(scope["client"])].transport.get_extra_info("socket")
            seen.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})

        return app

    with running(make_app, host="127.0.0.1", port=0) as server:
        httpx.get(server.root, trust_env=False)

    assert [True] == [bool(value) for value in seen]


def test_an_address_of_six_is_written_as_urls_want_it() -> None:
    """With brackets."""
    assert "http://[::1]:8787/v1" == Server("::1", 8787).url


# The end


def test_stopping_does_not_wait_for_the_slow(fake: FakeGateway) -> None:
    """Clients that never finish their headers or their body are let go."""
    with ExitStack() as clients:
        with fake.serve(time_scale=0) as server:
            slow = [clients.enter_context(connected(server)) for _ in range(3)]
            slow[0].sendall(HEAD)
            slow[1].sendall(CHAT[:-5])
            with connected(server) as quick:  # after it has been answered, the others have been read
                quick.sendall(LAST)
                said(quick)

        assert [b""] * 3 == [said(connection) for connection in slow]


def test_stopping_breaks_off_a_stream_that_goes_on(fake: FakeGateway) -> None:
    """The client sees that it is not complete, and the journal that it was closed."""
    fake.when(stream=True).reply(text("It is raining cats and dogs").streamed(by="word", ttft=0, tps=0.01))
    streaming = BODY[:-1] + b', "stream": true}'

    with ExitStack() as clients:
        with fake.serve() as server:
            client = clients.enter_context(httpx.Client(trust_env=False))
            stream = clients.enter_context(
                client.stream(
                    "POST",
                    f"{server.url}/chat/completions",
                    content=streaming,
                    headers={"x-portkey-provider": "openai"},
                )
            )
            pieces = stream.iter_bytes()
            assert b"data: " in next(pieces)

        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)

    assert fake.last.closed_early


def test_an_answer_on_its_way_is_finished(fake: FakeGateway) -> None:
    """A server that is stopped while it answers says what it has to say, if that takes less than a second."""
    fake.reply(text("late").delayed(0.2))

    with ExitStack() as stack:
        with fake.serve() as server:
            connection = stack.enter_context(connected(server))
            connection.sendall(CHAT)
            while not fake.calls:  # until it has arrived
                pass

        assert b"late" in said(connection)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_the_command_stops_in_order_while_a_stream_is_open(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end it with status 0, and the client sees that the stream is not complete."""
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(SCENARIO.replace("Sunny", "{text: It is raining, streamed: {by: word, tps: 0.01}}"))
    command = [sys.executable, "-m", "portkey_testing.cli", "serve", str(scenario)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, ExitStack() as clients:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        client = clients.enter_context(httpx.Client(trust_env=False))
        content = BODY[:-1] + b', "stream": true}'
        stream = clients.enter_context(client.stream("POST", f"{url}/chat/completions", content=content))
        pieces = stream.iter_bytes()
        first = next(pieces)
        process.send_signal(number)
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)

    assert b"data: " in first
    assert 0 == process.returncode


def test_a_failure_of_the_scripts_own_code_is_not_swallowed() -> None:
    """The client is told what was raised and not to try again, and leaving the block raises it."""
    fake = FakeGateway()
    fake.always(lambda _: 1 / 0)

    with ExitStack() as block:
        server = block.enter_context(fake.serve())
        answer = httpx.post(
            f"{server.url}/chat/completions",
            content=BODY,
            headers={"x-portkey-provider": "openai"},
            trust_env=False,
        )
        with pytest.raises(BrokenScript, match=r"test_served.py:.* raised ZeroDivisionError"):
            block.close()

    assert (400, "false") == (answer.status_code, answer.headers["x-should-retry"])
    assert "ZeroDivisionError: division by zero" in answer.json()["error"]["message"]


class Broken:
    """A responder with a defect of its own."""

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        return 1 / 0  # type: ignore[return-value]  # the defect


def test_a_failure_of_the_fake_itself_is_not_swallowed() -> None:
    """The client is told what was raised and not to try again, and leaving the block raises it."""
    with ExitStack() as block:
        server = block.enter_context(serving(Broken(), host="127.0.0.1", port=0, time_scale=0))
        answer = httpx.post(f"{server.url}/chat/completions", content=BODY, trust_env=False)
        with pytest.raises(ExceptionGroup, match="the served application failed") as caught:
            block.close()

    assert (500, "false") == (answer.status_code, answer.headers["x-should-retry"])
    assert "ZeroDivisionError: division by zero" in answer.json()["error"]["message"]
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


# The back door


@contextmanager
def door(desk: FakeDesk | RecordingDesk) -> Generator[httpx.Client]:
    """A client in front of a back door."""

    def make_app(connections: Connections) -> Any:
        return with_control(GatewayApp(FakeGateway(), ScaledClock(0), connections), desk)

    with (
        running(make_app, host="127.0.0.1", port=0) as server,
        httpx.Client(base_url=f"{server.root}/__portkey__/", trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def desk(tmp_path: Path) -> FakeDesk:
    """A fake with a scenario that can be written anew."""
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(SCENARIO)
    return FakeDesk(lambda fake, _: fake.load(scenario))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example"},
        {"host": "evil.example:80"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example."},
    ],
    ids=str,
)
@pytest.mark.parametrize(("method", "action"), [("GET", "journal"), ("POST", "reset"), ("POST", "script")])
def test_a_web_page_is_kept_out(desk: FakeDesk, headers: dict[str, str], method: str, action: str) -> None:
    """Neither one that says where it comes from, nor one whose name was made to mean this machine."""
    with door(desk) as client:
        answer = client.request(method, action, headers=headers, content=SCENARIO)

    assert 403 == answer.status_code
    assert "not for web pages" in answer.text


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8787",
        "127.0.0.1:1",
        "[::1]:8787",
        "10.0.0.7",
        "fake:8787",
        "host.docker.internal:8787",
        "fake.default.svc.cluster.local",
    ],
)
def test_test_runners_are_let_in(desk: FakeDesk, host: str) -> None:
    """By address, from this machine, from containers and clusters; and a person with a browser."""
    with door(desk) as client:
        answer = client.get("journal", headers={"host": host, "sec-fetch-site": "none"})

    assert {"calls": []} == answer.json()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("a: &a [1]\nb: [*a, *a]", "no aliases"),
        ("[" * 200 + "]" * 200, "100 levels deep"),
        (SCENARIO + "- reply: [{recorded: {cassette: ../../etc/passwd}}]", "names no files"),
        ("portkey_scenario: 1\nscripts: {", "this is no YAML"),
        ("portkey_scenario: 1\nelse: 1", "script.yaml:2: else: no field here is called 'else'"),
        ("!!python/object/apply:os.system [date]", "script.yaml:1: this is no YAML"),
    ],
    ids=["aliases", "depth", "files", "no YAML", "field", "objects"],
)
def test_a_bad_script_is_refused_with_the_reason(desk: FakeDesk, script: str, said: str) -> None:
    """And what was scripted before stays."""
    with door(desk) as client:
        answer = client.post("script", content=script)

    assert 400 == answer.status_code
    assert said in answer.json()["error"]


@pytest.mark.parametrize("path", ["../v1", "%2e%2e/etc/passwd", "script/../../x", "journal/"])
def test_there_is_nothing_else_behind_the_door(desk: FakeDesk, path: str) -> None:
    """No path leads to a file."""
    with door(desk) as client:
        answer = client.send(httpx.Request("GET", str(client.base_url) + path))

    assert 404 == answer.status_code


@pytest.mark.parametrize(("method", "action"), [("GET", "reset"), ("POST", "journal"), ("HEAD", "journal")])
def test_the_wrong_method_is_told_the_right_one(desk: FakeDesk, method: str, action: str) -> None:
    """With the header that HTTP has for it."""
    with door(desk) as client:
        answer = client.request(method, action)

    assert (405, "POST" if action == "reset" else "GET") == (answer.status_code, answer.headers["allow"])


def test_a_reset_that_cannot_be_done_changes_nothing(desk: FakeDesk, tmp_path: Path) -> None:
    """A scenario that was broken in the meantime is told, and the old one goes on."""
    (tmp_path / "scenario.yaml").write_text("portkey_scenario: 7")
    before = desk.calls

    with door(desk) as client:
        answer = client.post("reset")

    assert 400 == answer.status_code
    assert "expected the version of the format, 1, not 7" in answer.json()["error"]
    assert before is desk.calls


def test_a_reset_forgets_what_a_cassette_still_waited_for(tmp_path: Path) -> None:
    """Nobody asks for the interactions that were not played."""
    cassette = Path(__file__).parents[1] / "cassettes" / "agent" / "error.yaml"

    def prepare(fake: FakeGateway, stack: ExitStack) -> None:
        stack.enter_context(fake.replay(cassette))

    with door(FakeDesk(prepare)) as client:
        assert {"reset": True} == client.post("reset").json()


def test_a_recording_can_be_read_and_forgotten_but_not_scripted() -> None:
    """With --record the journal is there for test runners as well."""
    journal = Journal()
    journal.open(GatewayRequest("POST", "http://gateway/v1/chat/completions", {}, BODY), 0.0)

    with door(RecordingDesk(journal)) as client:
        before = client.get("journal").json()["calls"]
        refused = client.post("script", content=SCENARIO)
        client.post("reset")
        after = client.get("journal").json()["calls"]

    assert (["gpt-4o"], []) == ([call["request"]["model"] for call in before], after)
    assert "nothing is scripted here" in refused.json()["error"]


# What only a port can show of time


def test_time_on_a_port_is_that_of_the_script(fake: FakeGateway) -> None:
    """The journal tells latency and waits as they were scripted, and a scale makes them shorter for real."""
    fake.reply(error("rate_limited"), text("Sunny").delayed(2))
    config = {"provider": "openai", "api_key": "k", "retry": {"attempts": 1}}

    with fake.serve(time_scale=0.01) as server:
        answer = httpx.post(
            f"{server.url}/chat/completions",
            content=BODY,
            headers={"x-portkey-config": json.dumps(config)},
            trust_env=False,
        )

    assert 200 == answer.status_code
    first, second = fake.last.route.attempts
    (wait,) = fake.last.route.waits
    assert first.started + first.duration + wait.seconds == pytest.approx(second.started)
    assert 2.0 == second.duration
    # Real time has passed, too; timers may be early by a little, hence not all of it.
    assert fake.last.duration is not None
    assert wait.seconds < fake.last.duration
