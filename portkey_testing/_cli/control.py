"""The served fake's back door for test runners in other languages: read the journal, start over, load a script.

    GET  /__portkey__/journal   the calls, as JSON; as text for `accept: text/plain`
    POST /__portkey__/reset     forget all calls and scripts, and load the scenario of the command line again
    POST /__portkey__/script    script what the body says, a scenario in YAML

Nothing here names a file. Web pages are kept out: a request of another page says so itself (`origin`,
`sec-fetch-site`), and one of a page whose name was made to mean this machine (DNS rebinding) by its `host`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from portkey_testing.cassettes import CassetteError
from portkey_testing.failures import UnscriptedRequest
from portkey_testing.gateway import FakeGateway
from portkey_testing.journal import Attempt, Call, Guardrails, Journal, Wait
from portkey_testing.mounts.asgi import (
    App,
    BodyTooLargeError,
    Receive,
    Scope,
    Send,
    read_body,
    send_json,
    send_whole,
)
from portkey_testing.scenario import ScenarioError, load_text
from portkey_testing.timeline import GatewayRequest, Timeline

PREFIX: Final = "/__portkey__/"
MAX_SCRIPT: Final = 2**20
"""Bytes of a script that are read."""

MAX_DEPTH: Final = 100
"""How deep lists and mappings of a script may lie in each other."""

_HOW_TO_SCRIPT: Final = f"""\
Without Python, in the scenario file or with a POST to {PREFIX}script:
    portkey_scenario: 1
    scripts:
    - when: {{provider: openai}}
      reply: [Sunny]"""

_ACTIONS: Final = {"journal": "GET", "reset": "POST", "script": "POST"}
_LOCAL_ENDINGS: Final = (".localhost", ".internal", ".local", ".test")
"""Of names that nobody can buy (RFC 6761, RFC 6762 and ICANN's reservation of `.internal`)."""


class Desk(Protocol):
    """What is behind the door."""

    @property
    def calls(self) -> Sequence[Call]:
        """The calls so far."""
        ...

    @property
    def journal(self) -> str:
        """They, for people."""
        ...

    def reset(self) -> None:
        """Forget them, and start over.

        Raises:
            ScenarioError: the scenario of the command line is none any more; then nothing is forgotten.
            CassetteError: the same of a cassette.
        """
        ...

    def load(self, text: str) -> None:
        """Script what a scenario says.

        Raises:
            ScenarioError: it is none, or one that must not be loaded here.
        """
        ...


class FakeDesk:
    """A fake, and how to make a new one. A `Responder`.

    Args:
        prepare: Scripts a new fake; what it enters is left when that fake goes.
    """

    def __init__(self, prepare: Callable[[FakeGateway, ExitStack], None]) -> None:
        self._prepare = prepare
        self._stack = ExitStack()
        self._fake = FakeGateway()
        self.reset()

    @property
    def calls(self) -> Sequence[Call]:
        return self._fake.calls

    @property
    def journal(self) -> str:
        return self._fake.journal

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        try:
            return self._fake.respond(request, now)
        except UnscriptedRequest as failure:
            raise UnscriptedRequest(f"{failure}\n{_HOW_TO_SCRIPT}") from None

    def reset(self) -> None:
        fake, stack = FakeGateway(), ExitStack()
        with stack:
            self._prepare(fake, stack)
            stack = stack.pop_all()
        # Left as after a failure: nobody asks any more what the old one still waited for.
        with suppress(_StartedOverError), self._stack:
            raise _StartedOverError
        self._fake, self._stack = fake, stack

    def load(self, text: str) -> None:
        _judge(text)
        load_text(self._fake, text, Path("script.yaml"))


class _StartedOverError(Exception):
    """The fake is replaced by a new one."""


class RecordingDesk:
    """A recording: its calls can be read, and forgotten; the cassette keeps what it has."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def calls(self) -> Sequence[Call]:
        return self._journal.calls

    @property
    def journal(self) -> str:
        return str(self._journal)

    def reset(self) -> None:
        self._journal.calls.clear()

    def load(self, text: str) -> None:
        raise ScenarioError("nothing is scripted here: requests go to the gateway that is recorded")


def _judge(text: str) -> None:
    """Refuse a script that names files, or is a bomb: one that is small, and not small any more when it is read.

    Raises:
        ScenarioError: it is such a script.
    """
    try:
        problem = _bomb(text) or _file(text)
    except (yaml.YAMLError, UnicodeEncodeError):
        return  # loading it will say so, with the place
    if problem is not None:
        raise ScenarioError(f"a script that is posted {problem}")


def _bomb(text: str) -> str | None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            return "has no aliases (*name): write it out"
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return f"is at most {MAX_DEPTH} levels deep"
    return None


def _file(text: str) -> str | None:
    names = _names_files(yaml.load(text, Loader=yaml.CSafeLoader))
    return "names no files, so it has no reply `recorded`" if names else None


def _names_files(value: Any) -> bool:
    if isinstance(value, dict):
        return "recorded" in value or any(map(_names_files, value.values()))
    return isinstance(value, list) and any(map(_names_files, value))


def with_control(app: App, desk: Desk) -> App:
    """An application with the back door beside it."""

    async def controlled(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        action = scope["path"].removeprefix(PREFIX)
        if (stranger := _stranger(headers)) is not None:
            await _tell(send, 403, f"this is not for web pages, and {stranger}")
        elif action not in _ACTIONS:
            await _tell(send, 404, (__doc__ or "").split("\n\n")[1])
        elif scope["method"] != _ACTIONS[action]:
            allowed = _ACTIONS[action]
            await _tell(send, 405, f"{action} takes {allowed}", ((b"allow", allowed.encode()),))
        else:
            await _act(desk, action, headers, receive, send)

    return controlled


def _stranger(headers: Mapping[bytes, bytes]) -> str | None:
    """What shows that a web page asks; None if nothing does."""
    if b"origin" in headers:
        return "the request has an `origin`"
    if headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}:
        return "the request comes from another site"
    name = headers.get(b"host", b"").decode("latin-1").lower()
    name = name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() else name
    name = name.removeprefix("[").removesuffix("]").removesuffix(".")
    if "." not in name or name.endswith(_LOCAL_ENDINGS) or _is_address(name):
        return None  # the first of these also lets through other containers, by their names
    return f"{name!r} may be the name of one: ask by address, or as localhost"


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def _act(desk: Desk, action: str, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> None:
    try:
        match action:
            case "journal" if headers.get(b"accept", b"").startswith(b"text/plain"):
                await _tell(send, 200, desk.journal)
            case "journal":
                await send_json(send, 200, {"calls": [told(call) for call in desk.calls]})
            case "reset":
                desk.reset()
                await send_json(send, 200, {"reset": True})
            case _:
                if (body := await read_body(receive, MAX_SCRIPT)) is not None:
                    desk.load(body.decode())
                    await send_json(send, 200, {"loaded": True})
    except BodyTooLargeError:
        await _tell(send, 413, f"a script has {MAX_SCRIPT} bytes at most", ((b"connection", b"close"),))
    except (ScenarioError, CassetteError, UnicodeDecodeError) as error:
        await send_json(send, 400, {"error": str(error)})


async def _tell(send: Send, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    await send_whole(send, status, b"text/plain; charset=utf-8", text.encode(), headers)


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
