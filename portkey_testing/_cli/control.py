"""The served fake's back door for test runners in other languages: read the journal, start over, load a script.

    GET  /__portkey__/journal   the calls, as JSON; as text for `accept: text/plain`
    POST /__portkey__/reset     forget all calls and scripts, and load the scenario of the command line again
    POST /__portkey__/script    script what the body says, a scenario in YAML

Nothing here names a file, and a request of a web page (it has an `origin`) is refused.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import yaml

from portkey_testing.gateway import FakeGateway
from portkey_testing.journal import Attempt, Call, Guardrails, Wait
from portkey_testing.mounts.asgi import App, Receive, Scope, Send
from portkey_testing.scenario import ScenarioError
from portkey_testing.timeline import GatewayRequest, Timeline

PREFIX: Final = "/__portkey__/"
MAX_SCRIPT: Final = 2**20
"""Bytes of a script that are read."""


class Desk:
    """The fake behind the door, and how to make a new one. A `Responder`.

    Args:
        prepare: Scripts a new fake; what it enters is left when that fake goes.
    """

    def __init__(self, prepare: Callable[[FakeGateway, ExitStack], None]) -> None:
        self._prepare = prepare
        self._stack = ExitStack()
        self.fake = FakeGateway()
        self.reset()

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        return self.fake.respond(request, now)

    def reset(self) -> None:
        """Put a new fake in the place of the old one."""
        self._stack.close()
        fake = FakeGateway()
        self._prepare(fake, self._stack)
        self.fake = fake

    def load(self, text: str) -> None:
        """Script what a scenario says.

        Raises:
            ScenarioError: it is none, or names a file.
        """
        if _names_files(text):
            raise ScenarioError("a script that is posted names no files, so it has no reply `recorded`")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "script.yaml"
            path.write_text(text, encoding="utf-8")
            self.fake.load(path)


def _names_files(text: str) -> bool:
    """Whether a scenario has a reply `recorded`, in whatever spelling of YAML."""
    try:
        pending, seen = [yaml.safe_load(text)], set[int]()
    except yaml.YAMLError:
        return False  # loading it will say so, with the place
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            if "recorded" in value:
                return True
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return False


def with_control(app: App, desk: Desk) -> App:
    """An application with the back door beside it."""

    async def controlled(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if b"origin" in headers:
            await _answer(send, 403, "this is not for web pages")
            return
        match scope["method"], scope["path"].removeprefix(PREFIX):
            case "GET", "journal" if headers.get(b"accept", b"").startswith(b"text/plain"):
                await _answer(send, 200, desk.fake.journal)
            case "GET", "journal":
                await _answer(send, 200, {"calls": [told(call) for call in desk.fake.calls]})
            case "POST", "reset":
                desk.reset()
                await _answer(send, 200, {"reset": True})
            case "POST", "script":
                await _load(desk, receive, send)
            case _:
                await _answer(send, 404, (__doc__ or "").split("\n\n")[1])

    return controlled


async def _load(desk: Desk, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more and len(body) <= MAX_SCRIPT:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if len(body) > MAX_SCRIPT:
        await _answer(send, 413, f"a script has {MAX_SCRIPT} bytes at most")
        return
    try:
        desk.load(body.decode())
    except (ScenarioError, UnicodeDecodeError) as error:
        await _answer(send, 400, {"error": str(error)})
    else:
        await _answer(send, 200, {"loaded": True})


async def _answer(send: Send, status: int, content: str | dict[str, Any]) -> None:
    is_text = isinstance(content, str)
    data = content.encode() if isinstance(content, str) else json.dumps(content, ensure_ascii=False).encode()
    kind = b"text/plain; charset=utf-8" if is_text else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def told(call: Call) -> dict[str, Any]:
    """A call of the journal for programs. Times are in seconds."""
    return {
        "number": call.number,
        "request": {
            "method": call.request.method,
            "path": call.request.path,
            "model": call.request.model,
            "stream": call.request.stream,
            "body": call.request.body,
        },
        "started": call.started,
        "duration": call.duration,
        "status": call.status,
        "error": None if call.error is None else f"{type(call.error).__name__}: {call.error}",
        "chunks": call.chunks,
        "closed_early": call.closed_early,
        "broke_off": call.broke_off,
        "target": call.route.target,
        "cache": call.route.cache,
        "steps": list(_steps(call)),
    }


def _steps(call: Call) -> Iterator[dict[str, Any]]:
    for step in call.route.steps:
        match step:
            case Attempt():
                names = ("provider", "target", "number", "status", "failure", "cause", "reply", "started", "duration")
                yield {"step": "attempt", **{name: getattr(step, name) for name in names}}
            case Wait():
                yield {"step": "wait", "seconds": step.seconds, "cause": step.cause, "started": step.started}
            case Guardrails():
                yield {"step": "guardrails", "stage": step.stage, "failed": step.failed, "denied": step.denied}
