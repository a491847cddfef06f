"""A provider of our own on loopback, scripted step by step, for a real gateway to talk to.

One server plays any number of upstreams for any number of scripts at once; the path says which:

    http://127.0.0.1:PORT/u/KEY/UPSTREAM/whatever the gateway appends

so a gateway reaches upstream `openai` of script `demo` with `custom_host` set to `provider.url("demo", "openai")`.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, unquote

from tests.live.steps import Answer, JsonReply, Script, Step, parse_script

KEPT_HEADERS: Final = frozenset(
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
# not a status that any provider sends, so it cannot be taken for a scripted answer
UNSCRIPTED_STATUS: Final = 599
# so that the events before it are read as events, and not together with the end, by a gateway on a busy machine, too
DROP_GRACE_S: Final = 0.5

_ADDRESS: Final = re.compile(r"/u/(?P<key>[^/?]+)/(?P<upstream>[^/?]+)(?P<rest>.*)")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that reached an upstream.

    Attributes:
        upstream: Name of the upstream.
        number: Which request to this upstream it was, from 1.
        time: When it had arrived, in seconds of `time.monotonic()`.
        method: HTTP method.
        path: What follows the upstream's base URL, query included.
        auth: `authorization`, else `x-api-key`, else None.
        headers: Lower-case names to values: credentials, content type, provider headers and all of `x-*`.
        body: The parsed JSON; None without a body; `{"<raw>": text}` where it is not JSON.
    """

    upstream: str
    number: int
    time: float
    method: str
    path: str
    auth: str | None
    headers: Mapping[str, str]
    body: Any


class LoopbackProvider:
    """The scripted provider; serves between entering and leaving its context.

    Parameters:
        port: Port on 127.0.0.1; 0 takes any free one.
    """

    def __init__(self, *, port: int = 0) -> None:
        self._scripts: dict[str, dict[str, list[Step]]] = {}
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._server.open()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close()

    @property
    def port(self) -> int:
        return self._server.server_port

    def url(self, key: str, upstream: str) -> str:
        """Base URL of an upstream, without the `/v1` that a `custom_host` for it ends in."""
        return f"http://127.0.0.1:{self.port}/u/{quote(key, safe='')}/{quote(upstream, safe='')}"

    def load(self, key: str, script: Script) -> None:
        """Set the steps of every upstream of `key`, and forget what reached it before.

        Raises:
            StepError: a step that cannot be played.
        """
        steps = parse_script(script, key)
        with self._lock:
            self._scripts[key] = steps
            self._attempts[key] = []

    def attempts(self, key: str) -> list[Attempt]:
        """What reached the upstreams of `key` since it was loaded, in order of arrival."""
        with self._lock:
            return list(self._attempts[key])

    def _admit(
        self, key: str, upstream: str, *, method: str, path: str, headers: Mapping[str, str], body: Any
    ) -> Step | None:
        """Note an attempt and return the step whose turn it is, or None when nothing is scripted."""
        with self._lock:
            earlier = self._attempts[key]
            number = 1 + sum(attempt.upstream == upstream for attempt in earlier)
            attempt = Attempt(
                upstream=upstream,
                number=number,
                time=time.monotonic(),
                method=method,
                path=path,
                auth=headers.get("authorization") or headers.get("x-api-key"),
                headers=headers,
                body=body,
            )
            earlier.append(attempt)
            steps = self._scripts.get(key, {}).get(upstream)
        return steps[min(number, len(steps)) - 1].chosen(body) if steps else None

    def _wait(self, seconds: float) -> None:
        """Wait, but not beyond the end of the provider.

        Raises:
            ConnectionAbortedError: the provider is closing.
        """
        if seconds and self._closing.wait(seconds):
            raise ConnectionAbortedError("the provider is closing")


class _Server(ThreadingHTTPServer):
    """One thread per connection, all of them ended and joined when it closes."""

    daemon_threads = False
    # a load-balancing scenario sends hundreds of requests at once
    request_queue_size = 128

    def __init__(self, provider: LoopbackProvider, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler, bind_and_activate=False)
        self.provider = provider
        self._connections: set[socket.socket] = set()

    def open(self) -> None:
        try:
            self.server_bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def close(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):  # the peer was faster
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # a peer that hung up is what a request timeout of the gateway looks like from here; anything else is a defect
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # headers and events are small packets that must not wait for each other
    disable_nagle_algorithm = True

    @property
    def _provider(self) -> LoopbackProvider:
        assert isinstance(self.server, _Server)
        return self.server.provider

    def _serve(self) -> None:
        provider = self._provider
        address = _ADDRESS.fullmatch(self.path)
        body = _parsed(self._read_body())
        if address is None:
            self._write(_problem(404, f"expected /u/KEY/UPSTREAM/..., not {self.path}"))
            return
        key, upstream, rest = unquote(address["key"]), unquote(address["upstream"]), address["rest"]
        path = rest if rest.startswith("/") else f"/{rest}"
        step = provider._admit(key, upstream, method=self.command, path=path, headers=self._kept_headers(), body=body)
        if step is None:
            self._write(_problem(UNSCRIPTED_STATUS, f"no script for {key}/{upstream}"))
            return
        provider._wait(step.sleep)
        answer = step.answer(body)
        if answer is None:
            self.close_connection = True
        else:
            self._write(answer, {"x-stub-upstream": upstream})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: what arrived is in the list of attempts."""

    def _kept_headers(self) -> dict[str, str]:
        named = {name.lower(): value for name, value in self.headers.items()}
        return {name: value for name, value in named.items() if name in KEPT_HEADERS or name.startswith("x-")}

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = bytearray()
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return bytes(body)

    def _write(self, answer: Answer, headers: Mapping[str, str] | None = None) -> None:
        headers = {**(headers or {}), **answer.headers}
        if answer.streamed:
            self._write_stream(answer, {**headers, "transfer-encoding": "chunked"})
            return
        body = b"".join(answer.parts)
        # RFC 9110, 8.6: a 204 has no Content-Length
        framing = {} if answer.status == 204 else {"content-length": str(len(body))}
        self.wfile.write(_head(answer.status, headers | framing) + (b"" if self.command == "HEAD" else body))

    def _write_stream(self, answer: Answer, headers: Mapping[str, str]) -> None:
        self.wfile.write(_head(answer.status, headers))
        for number, part in enumerate(answer.parts):
            if number == answer.drop_after:
                self._provider._wait(DROP_GRACE_S)
                self.close_connection = True
                return
            if part:  # an empty chunk would end the body
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self._provider._wait(answer.gap)
        self.wfile.write(b"0\r\n\r\n")


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Scripted')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


def _parsed(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return {"<raw>": raw.decode("utf-8", "replace")}


def _problem(status: int, message: str) -> Answer:
    return JsonReply(status=status, body={"error": {"message": f"stub: {message}"}}).answer(None)
