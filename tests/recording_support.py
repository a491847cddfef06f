"""A gateway so small that it needs no Node, for the tests that record one."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

PATIENCE_S: Final = 10.0
"""How long a stream waits for its reader before the test is taken to hang."""


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    data = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": [choice]}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


CHUNKS: Final = (_chunk({"role": "assistant", "content": "It is "}), _chunk({"content": "raining"}), _chunk({}, "stop"))


class TinyGateway:
    """Answers chat completions by their first message.

    `drop`: the connection breaks; `refuse`: 401; any other that asks for a stream: chunk by chunk, each after the first
    once `read` is released; anything else: how many requests there were so far.

    Attributes:
        url: Its base URL.
        requests: The headers and path of each request.
        read: Released by a reader of a stream for each further chunk.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.read = threading.Semaphore(0)


@contextmanager
def tiny_gateway() -> Generator[TinyGateway]:
    """One that runs until the block is left."""
    gateway = TinyGateway()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            named = {name.lower(): value for name, value in self.headers.items()}
            gateway.requests.append((self.path, named))
            body = json.loads(self.rfile.read(int(named.get("content-length", 0))))
            text = body["messages"][0]["content"]
            if text == "drop":
                self.close_connection = True
            elif text == "refuse":
                self._json(401, {"error": {"message": f"wrong key {named.get('x-portkey-api-key', '')}"}})
            elif body.get("stream"):
                self._stream()
            else:
                message = {"role": "assistant", "content": f"answer {len(gateway.requests)}"}
                choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
                completion = {"id": "c1", "object": "chat.completion", "created": 1, "model": body["model"]}
                self._json(200, {**completion, "choices": choices})

        def _json(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.send_header("connection", "close")  # for applications that do not close their clients
            self.send_header("x-portkey-last-used-option-index", "config")
            self.send_header("x-portkey-provider", "openai")
            self.end_headers()
            self.wfile.write(data)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            for number, data in enumerate((*CHUNKS, b"data: [DONE]\n\n")):
                if number and not gateway.read.acquire(timeout=PATIENCE_S):
                    break
                self.wfile.write(data)
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gateway.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
