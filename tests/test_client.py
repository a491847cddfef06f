"""The clients: their arguments, where requests go, what they share, and how they are closed."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import gzip
import json
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import httpx2
import pytest

import portkey_client as p
from portkey_client._http import shared_context
from tests.client_support import MESSAGES, SIDES, URL, Gateway, Side, SyncSide, chunk, completion, sse

sides = pytest.mark.parametrize("side", SIDES, ids=["sync", "async"])
both = pytest.mark.parametrize("cls", [p.Portkey, p.AsyncPortkey])


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of whoever runs the tests do not count."""
    for name in ("PORTKEY_API_KEY", "PORTKEY_PROXY", "PORTKEY_BASE_URL", "PORTKEY_GATEWAY_URL"):
        monkeypatch.delenv(name, raising=False)


@both
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"api_key": 123}, ["api_key=", "a str", "int"]),
        ({"base_url": "nope"}, ["base_url=", "http or https URL", "'nope'"]),
        ({"base_url": "ftp://x/v1"}, ["base_url=", "'ftp://x/v1'"]),
        ({"base_url": "http://x/v1?a=b"}, ["base_url=", "without a query", "'http://x/v1?a=b'"]),
        ({"base_url": "http://[::1"}, ["base_url=", "'http://[::1'"]),
        ({"base_url": 3}, ["base_url=", "int 3"]),
        ({"timeout": "x"}, ["timeout=", "a number of seconds above 0", "str 'x'"]),
        ({"timeout": 0}, ["timeout=", "above 0", "int 0"]),
        ({"timeout": True}, ["timeout=", "bool"]),
        ({"max_retries": -1}, ["max_retries=", "int -1"]),
        ({"config": 3}, ["config=", "a mapping or a str", "int"]),
        ({"trace_id": "\n"}, ["trace_id=", "x-portkey-trace-id"]),
        ({"http_client": "x"}, ["http_client=", "httpx.", "builtins.str"]),
    ],
)
def test_a_wrong_argument_is_named(cls: Any, arguments: dict[str, Any], words: list[str]) -> None:
    """The error says which argument, what was expected and what came."""
    with pytest.raises(p.ConfigurationError) as caught:
        cls(**{"api_key": "PK", **arguments})

    assert [] == [word for word in words if word not in str(caught.value)]


def test_each_client_wants_its_own_kind_of_http_client() -> None:
    """A sync client cannot await, an async one must not block."""
    wrong: Any = httpx.AsyncClient()
    with pytest.raises(p.ConfigurationError, match=r"must be an httpx\.Client or an httpx2\.Client, got httpx\.Async"):
        p.Portkey(api_key="PK", http_client=wrong)
    wrong = httpx2.AsyncClient()
    with pytest.raises(p.ConfigurationError, match=r"got httpx2\.AsyncClient"):
        p.Portkey(api_key="PK", http_client=wrong)
    wrong = httpx.Client()
    with pytest.raises(p.ConfigurationError, match=r"must be an httpx\.AsyncClient or an .* got httpx\.Client"):
        p.AsyncPortkey(api_key="PK", http_client=wrong)


@both
def test_where_requests_go(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument, else PORTKEY_PROXY, else Portkey's gateway if there is a key, else the local one."""
    assert "http://localhost:8787/v1" == cls().base_url
    assert p.PORTKEY_GATEWAY_URL == p.PORTKEY_BASE_URL == cls(api_key="PK").base_url
    monkeypatch.setenv("PORTKEY_BASE_URL", "http://not-read.test")
    monkeypatch.setenv("PORTKEY_API_KEY", "from-env")
    assert (p.PORTKEY_GATEWAY_URL, "from-env") == (cls().base_url, cls().api_key)
    monkeypatch.setenv("PORTKEY_PROXY", "http://proxy.test/v1/")
    assert "http://proxy.test/v1" == cls(api_key="PK").base_url
    assert "http://mine.test" == cls(base_url="http://mine.test/").base_url
    assert "http://mine.test" == cls(base_url=httpx.URL("http://mine.test")).base_url
    monkeypatch.setenv("PORTKEY_PROXY", "nonsense")
    with pytest.raises(p.ConfigurationError, match="the variable PORTKEY_PROXY must be"):
        cls()


@both
def test_portkeys_own_gateway_needs_a_key(cls: Any) -> None:
    """Without one every call would fail; any other gateway may do without."""
    with pytest.raises(p.ConfigurationError, match="api_key= is needed"):
        cls(base_url=p.PORTKEY_GATEWAY_URL)
    assert "x-portkey-api-key" not in cls(base_url=URL).headers


@both
@pytest.mark.parametrize(
    ("keyword", "hint"),
    [
        ("max_retry", "max_retries"),
        ("timeouts", "timeout"),
        ("default_headers", "extra_headers"),
        ("virtualkey", "virtual_key"),
    ],
)
def test_a_keyword_that_looks_like_a_typo_warns_at_the_callers_line(cls: Any, keyword: str, hint: str) -> None:
    """It is sent as a header, as portkey_ai does, but not without a word."""
    with pytest.warns(UserWarning, match=hint) as caught:
        client = cls(api_key="PK", **{keyword: "5"})

    assert __file__ == caught[0].filename
    assert "5" == client.headers["x-portkey-" + keyword.replace("_", "-")]


@both
def test_other_unknown_keywords_are_headers(cls: Any) -> None:
    """The gateway learns new headers faster than its clients."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "x" == cls(api_key="PK", brand_new_thing="x").headers["x-portkey-brand-new-thing"]


@both
def test_options_can_be_read_as_attributes(cls: Any) -> None:
    """Those that were given, those that were not, and nothing else."""
    client = cls(api_key="PK", trace_id="t", config={"provider": "openai"})

    assert ("PK", "t", None, False) == (
        client.api_key, client.trace_id, client.virtual_key, client.strict_open_ai_compliance,
    )  # fmt: skip
    assert {"provider": "openai"} == client.config
    with pytest.raises(AttributeError, match="has no attribute 'tracee_id'"):
        client.tracee_id  # noqa: B018  # reading is the point
    assert "PK" not in repr(client)


@both
@pytest.mark.parametrize("name", ["embeddings", "prompts", "post", "openai_client"])
def test_what_only_portkey_ai_has_is_said_to_be_elsewhere(cls: Any, name: str) -> None:
    """Whoever migrates reads what to do in place of a bare AttributeError."""
    with pytest.raises(AttributeError, match=f"has no attribute '{name}': portkey_client has chat completions only"):
        getattr(cls(api_key="PK"), name)


@sides
def test_a_copy_changes_what_it_is_told_and_shares_the_rest(side: Side) -> None:
    """Options are replaced, set to False or unset; connections are shared."""
    gateway = Gateway(*[completion()] * 2)
    client = side.client(gateway, debug=True, trace_id="t", brand_new="x", timeout=3, max_retries=0)

    twin: Any = client.with_options(debug=False, trace_id=None, virtual_key="vk", timeout=None)

    assert type(client) is type(twin)
    assert {
        **client.headers, "x-portkey-debug": "false", "x-portkey-virtual-key": "vk", "x-portkey-trace-id": None,
    } == {**twin.headers, "x-portkey-trace-id": None}  # fmt: skip
    assert "x-portkey-trace-id" not in twin.headers
    assert (None, 0, URL) == (twin.timeout, twin.max_retries.max_retries, twin.base_url)
    side.create(client)
    side.create(twin)
    assert ["true", "false"] == [request.headers["x-portkey-debug"] for request in gateway.requests]


@both
def test_copy_takes_an_undeclared_keyword_again(cls: Any) -> None:
    """What one constructor takes, a copy takes, also twice."""
    client = cls(api_key="PK", Authorization="a", brand_new="x")

    assert "Bearer b" == client.copy(Authorization="b", brand_new="y").headers["authorization"]


@sides
def test_a_users_http_client_keeps_its_own(side: Side) -> None:
    """Its headers, parameters, cookies and credentials go along; where both name a header, the client's wins."""
    gateway = Gateway(completion())
    kind = httpx.Client if isinstance(side, SyncSide) else httpx.AsyncClient
    http = kind(
        transport=httpx.MockTransport(gateway),
        headers={"X-Team": "blue", "User-Agent": "mine", "x-portkey-trace-id": "theirs"},
        params={"team": "blue"},
        cookies={"session": "s1"},
        auth=("user", "pass"),
    )

    side.create(side.client(gateway, http_client=http, trace_id="ours"), extra_query={"q": "1"})

    request = gateway.requests[0]
    assert ("blue", "ours", "session=s1") == (
        request.headers["x-team"], request.headers["x-portkey-trace-id"], request.headers["cookie"],
    )  # fmt: skip
    assert {"team": "blue", "q": "1"} == dict(request.url.params)
    assert request.headers["authorization"].startswith("Basic ")
    assert request.headers["user-agent"].startswith("portkey-client/")
    assert 1 == len(request.headers.get_list("x-portkey-trace-id"))


@sides
def test_a_users_http_client_sets_the_timeout_if_it_has_one(side: Side) -> None:
    """A timeout that somebody chose for httpx holds; httpx's own five seconds do not."""
    kind = httpx.Client if isinstance(side, SyncSide) else httpx.AsyncClient

    assert httpx.Timeout(7) == side.client(Gateway(), http_client=kind(timeout=7)).timeout
    assert httpx.Timeout(600, connect=5) == side.client(Gateway(), http_client=kind()).timeout
    assert 9 == side.client(Gateway(), http_client=kind(timeout=7), timeout=9).timeout


def httpx2_client(side: Side, reply: Callable[[Any], Any], **options: Any) -> Any:
    """A client of httpx2 whose requests are answered here."""
    kind = httpx2.Client if isinstance(side, SyncSide) else httpx2.AsyncClient
    return kind(transport=httpx2.MockTransport(reply), **options)


@sides
def test_a_client_of_httpx2_keeps_its_own_too(side: Side) -> None:
    """What it has for every request goes along, and answers and streams are read as from httpx."""
    requests: list[Any] = []

    def reply(request: Any) -> Any:
        requests.append(request)
        if b'"stream":true' in request.content:
            events = sse(chunk("It is"), chunk(" raining"), chunk(finish="stop"))
            return httpx2.Response(200, content=events, headers={"content-type": "text/event-stream"})
        packed = gzip.compress(json.dumps(completion()).encode())
        return httpx2.Response(
            200, content=packed, headers={"content-type": "application/json", "content-encoding": "gzip"}
        )

    http = httpx2_client(
        side,
        reply,
        headers={"X-Team": "blue"},
        params={"team": "blue"},
        cookies={"session": "s1"},
        auth=("user", "pass"),
    )
    client = side.client(Gateway(), http_client=http, trace_id="ours")

    assert "It is raining" == side.create(client, extra_query={"q": "1"}).choices[0].message.content
    assert "It is raining" == side.read(client).partial.choices[0].message.content
    for request in requests:
        assert ("blue", "ours", "session=s1") == tuple(
            request.headers[name] for name in ("x-team", "x-portkey-trace-id", "cookie")
        )
        assert request.headers["authorization"].startswith("Basic ")
        assert "blue" == request.url.params["team"]
    assert "1" == requests[0].url.params["q"]


@sides
def test_an_exception_of_httpx2_is_the_same_error(side: Side) -> None:
    """The class says what happened, the cause in which library."""
    raised = httpx2.ConnectTimeout("slow")

    def reply(_: Any) -> Any:
        raise raised

    with pytest.raises(p.APITimeoutError, match="connect timeout, 7 s") as caught:
        side.create(side.client(Gateway(), http_client=httpx2_client(side, reply, timeout=7), max_retries=0))

    assert isinstance(caught.value.__cause__, httpx.ConnectTimeout)
    assert raised is caught.value.__cause__.__cause__


def test_a_closed_client_of_httpx2_is_closed() -> None:
    """It is its owner's to close, and calls say so then."""
    http = httpx2.Client()
    client = p.Portkey(api_key="PK", http_client=http)
    http.close()

    with pytest.raises(p.ConfigurationError, match="or its connections have"):
        client.chat.completions.create(messages=MESSAGES)


def test_closing_closes_the_connections() -> None:
    """A closed client refuses calls, and closing again does no harm; a user's http_client stays open."""
    with p.Portkey(api_key="PK", base_url=URL) as client:
        assert not client.is_closed()
    client.close()
    assert client.is_closed()
    with pytest.raises(p.ConfigurationError, match="this Portkey has been closed"):
        client.chat.completions.create(messages=MESSAGES)

    http = httpx.Client()
    with p.Portkey(api_key="PK", http_client=http) as client:
        pass
    assert not http.is_closed
    client = p.Portkey(api_key="PK", http_client=http)
    http.close()
    with pytest.raises(p.ConfigurationError, match="or its connections have"):
        client.chat.completions.create(messages=MESSAGES)


@sides
def test_a_client_closed_during_a_call_says_so(side: Side) -> None:
    """Not httpx's own RuntimeError, before a request and before a retry."""

    def client(step: str) -> Any:
        if side is SIDES[0]:
            return p.Portkey(api_key="PK", base_url=URL, http_client=Closing(step))
        return p.AsyncPortkey(api_key="PK", base_url=URL, http_client=AsyncClosing(step))

    class Closing(httpx.Client):
        def __init__(self, step: str) -> None:
            super().__init__(transport=httpx.MockTransport(self.answer))
            self.step = step

        def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
            if self.step == "before the request":
                self.close()
            return super().send(request, **options)

        def answer(self, request: httpx.Request) -> httpx.Response:
            self.close()
            return httpx.Response(503, headers={"retry-after-ms": "1"})

    class AsyncClosing(httpx.AsyncClient):
        def __init__(self, step: str) -> None:
            super().__init__(transport=httpx.MockTransport(self.answer))
            self.step = step

        async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
            if self.step == "before the request":
                await self.aclose()
            return await super().send(request, **options)

        async def answer(self, request: httpx.Request) -> httpx.Response:
            await self.aclose()
            return httpx.Response(503, headers={"retry-after-ms": "1"})

    for step in ("before the request", "before the retry"):
        with pytest.raises(p.ConfigurationError, match="was closed while this call was under way"):
            side.create(client(step))


def test_a_copy_of_a_closed_client_is_closed_too() -> None:
    """Copies share the connections, so they go with them."""
    client = p.Portkey(api_key="PK", base_url=URL)
    twin = client.copy(debug=True)
    client.close()

    with pytest.raises(p.ConfigurationError, match="or its connections have"):
        twin.chat.completions.create(messages=MESSAGES)


def test_closing_an_async_client_closes_the_connections() -> None:
    """The same with `async with`."""

    async def run() -> None:
        async with p.AsyncPortkey(api_key="PK", base_url=URL) as client:
            assert not client.is_closed()
        await client.close()
        with pytest.raises(p.ConfigurationError, match="this AsyncPortkey has been closed"):
            await client.chat.completions.create(messages=MESSAGES)

    asyncio.run(run())


class Handler(BaseHTTPRequestHandler):
    """Answers every call on a connection that stays open."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = httpx.Response(200, json=completion()).content
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # a loop that ends leaves its connections behind
def test_one_async_client_serves_several_event_loops() -> None:
    """Each loop gets connections of its own, so a client may outlive `asyncio.run`; real sockets show it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    client = p.AsyncPortkey(api_key="PK", base_url=f"http://127.0.0.1:{server.server_port}/v1")

    async def run(client: p.AsyncPortkey) -> str | None:
        await client.chat.completions.create(messages=MESSAGES)
        answer = await client.chat.completions.create(messages=MESSAGES)
        return answer.choices[0].message.content

    try:
        assert ["It is raining"] * 2 == [asyncio.run(run(client)), asyncio.run(run(client))]
    finally:
        server.shutdown()
        server.server_close()
        del client
        gc.collect()


def test_threads_share_one_client() -> None:
    """Nothing on the client changes while it is used."""
    gateway = Gateway(*[completion()] * 40)
    client = SyncSide().client(gateway)

    def work() -> None:
        for _ in range(10):
            SyncSide().create(client)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 40 == len(gateway.requests)


@pytest.mark.parametrize(
    ("reply", "params"),
    [
        (completion(), {}),
        (sse(chunk("It is raining", finish="stop")), {"stream": True}),
        (sse(chunk("It is"), done=False), {"stream": True}),
        (httpx.Response(429, json={"error": {"message": "slow down"}}), {}),
        (httpx.Response(200, content=b"<html>"), {}),
        (httpx.ConnectError("refused"), {"max_retries": 0}),
    ],
    ids=["answer", "stream", "cut stream", "status", "no answer", "connection"],
)
def test_a_call_that_is_over_leaves_nothing_to_the_garbage_collector(reply: Any, params: dict[str, Any]) -> None:
    """Requests, bodies and errors go when the last of them is let go of, not when the collector comes by."""

    def call() -> None:
        with contextlib.suppress(p.APIError):
            SyncSide().create(client, **params) if "stream" not in params else SyncSide().read(client, **params)

    gateway = Gateway(copy.deepcopy(reply), reply)
    client = SyncSide().client(gateway)
    call()  # what is made once is made
    gc.collect()
    gc.disable()
    try:
        call()
        gateway.requests.clear()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        # Other threads of the test run may leave something, too.
        left = [type(each) for each in gc.garbage if type(each).__module__.startswith(("httpx", "portkey_client"))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()

    assert [] == left


def test_clients_share_one_tls_context_that_loads_when_needed() -> None:
    """Making a client loads no certificates; the first connection does, once."""
    context = shared_context()
    assert context is shared_context()
    assert (ssl.CERT_REQUIRED, True) == (context.verify_mode, context.check_hostname)

    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="x.test")

    assert context.get_ca_certs()


def test_importing_builds_no_models_and_few_modules() -> None:
    """An import that nobody waits for: no validators built, nothing of OpenAI's, no pytest."""
    program = (
        "import sys, portkey_client as p\n"
        "from portkey_client.types import ChatCompletions\n"
        "assert not ChatCompletions.__pydantic_complete__\n"
        "assert not {'openai', 'pytest', 'respx', 'yaml', 'portkey_testing'} & set(sys.modules)\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
