"""Which script answers which attempt, and why the others did not.

Two passes: the queues first, then what stands by (`always`); within each, the order in which the test declared them.
Conditions see the attempt as the provider would get it, in OpenAI's shape and after `override_params`.
"""

from __future__ import annotations

import inspect
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from types import FrameType
from typing import Any

from portkey_testing import _conversation as conversation
from portkey_testing.journal import UpstreamRequest
from portkey_testing.replies import Reply, as_reply
from portkey_testing.timeline import GatewayRequest


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt as conditions and reply functions see it.

    Attributes:
        provider: Provider of the target, as in the config.
        target: Path of the target, such as `config.targets[1]`.
        number: Which attempt at this target, from 1.
        params: The request body in OpenAI's shape, overrides applied.
        api_key: Key of the target.
        custom_host: Host of the target, where it is not the provider's own.
        virtual_key: Virtual key that named the target, where one did.
        client_request: What the application sent.
        request: What the gateway sends to the provider, in the provider's language; None on the application leg.
    """

    provider: str
    target: str
    number: int
    params: Mapping[str, Any]
    client_request: GatewayRequest
    api_key: str | None = None
    custom_host: str | None = None
    virtual_key: str | None = None
    request: UpstreamRequest | None = None

    @property
    def model(self) -> str | None:
        model = self.params.get("model")
        return model if isinstance(model, str) else None

    @property
    def messages(self) -> list[Mapping[str, Any]]:
        return conversation.messages_of(self.params)

    @property
    def stream(self) -> bool:
        return self.params.get("stream") is True

    @property
    def turn(self) -> int:
        return conversation.turn(self.messages)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first condition of a script that an attempt did not meet.

    Attributes:
        condition: Its name.
        expected: What the test declared.
        actual: What the attempt has.
    """

    condition: str
    expected: object
    actual: object

    def __str__(self) -> str:
        return f"{self.condition} is {self.actual!r}, the script wants {self.expected!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What an attempt must be like. None asks for nothing.

    Attributes:
        provider: Name of the provider.
        target: Path of the target.
        api_key: Key of the target.
        custom_host: Host of the target.
        virtual_key: Virtual key that named the target.
        model: Name of the model, `*` and `?` as in file names.
        message: Part of the last user text, or a compiled pattern that is found in it.
        turn: Which answer of the conversation it is, from 1.
        stream: Whether a stream is asked for.
        tool_result: Results of tools called in the last assistant message: name to a part of the result.
    """

    provider: str | None = None
    target: str | None = None
    api_key: str | None = None
    custom_host: str | None = None
    virtual_key: str | None = None
    model: str | None = None
    message: str | re.Pattern[str] | None = None
    turn: int | None = None
    stream: bool | None = None
    tool_result: tuple[tuple[str, str], ...] | None = None

    def mismatch(self, attempt: AttemptView) -> Mismatch | None:
        """The first condition that `attempt` does not meet."""
        for name in _EQUAL:
            expected, actual = getattr(self, name), getattr(attempt, name)
            if expected is not None and expected != actual:
                return Mismatch(name, expected, actual)
        if self.model is not None and not fnmatchcase(attempt.model or "", self.model):
            return Mismatch("model", self.model, attempt.model)
        if self.message is not None:
            said = conversation.last_user_text(attempt.messages)
            found = self.message in said if isinstance(self.message, str) else self.message.search(said)
            if not found:
                return Mismatch("message", self.message, said)
        if self.tool_result is not None:
            results = {e.name: e.result or "" for e in conversation.current_tool_exchanges(attempt.messages)}
            for name, part in self.tool_result:
                if name not in results or part not in results[name]:
                    return Mismatch("tool_result", {name: part}, results)
        return None

    def __str__(self) -> str:
        given = [f"{f.name}={value!r}" for f in fields(self) if (value := getattr(self, f.name)) is not None]
        return ", ".join(given) or "any attempt"


_EQUAL = ("provider", "target", "api_key", "custom_host", "virtual_key", "turn", "stream")


@dataclass(slots=True)
class Queued:
    """A reply in a queue.

    Attributes:
        reply: The reply.
        left: How many attempts it still answers.
        declared: File and line of the test that scripted it.
    """

    reply: Reply
    left: int
    declared: str


@dataclass(slots=True)
class Script:
    """What one handle has been told to answer."""

    conditions: Conditions
    queue: deque[Queued] = field(default_factory=deque)
    standby: Queued | None = None

    def head(self) -> Queued | None:
        """The next of the queue."""
        return self.queue[0] if self.queue else None

    def use(self, queued: Queued) -> None:
        """Count one use of a reply; one that stands by is never used up."""
        if queued is self.head():
            queued.left -= 1
            if not queued.left:
                self.queue.popleft()


@dataclass(frozen=True, slots=True)
class Match:
    """The script that answers an attempt, before it is used."""

    script: Script
    queued: Queued

    @property
    def reply(self) -> Reply:
        return self.queued.reply

    def use(self) -> None:
        self.script.use(self.queued)


class Scripts:
    """All scripts of one leg, in the order of their declaration."""

    def __init__(self) -> None:
        self._scripts: dict[Conditions, Script] = {}

    def script(self, conditions: Conditions) -> Script:
        """The script with exactly these conditions, made if it is not there."""
        return self._scripts.setdefault(conditions, Script(conditions))

    def find(self, attempt: AttemptView) -> Match | None:
        """What answers `attempt`; it stays in its queue until it is used."""
        matching = [script for script in self if script.conditions.mismatch(attempt) is None]
        for script in matching:
            if (queued := script.head()) is not None:
                return Match(script, queued)
        return next((Match(script, script.standby) for script in matching if script.standby), None)

    def unused(self) -> list[tuple[Conditions, Queued]]:
        """The queued replies that no attempt has used up."""
        return [(script.conditions, queued) for script in self for queued in script.queue]

    def __iter__(self) -> Iterator[Script]:
        return iter(self._scripts.values())

    def __len__(self) -> int:
        return len(self._scripts)


class Handle:
    """Where a test scripts replies for the attempts that meet some conditions."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def reply(self, *replies: object) -> Handle:
        """Queue replies; each answers one attempt, or as many as its `times` says.

        Raises:
            TypeError: something is no reply.
        """
        if not replies:
            raise TypeError("reply() takes at least one reply")
        declared = caller()
        for value in replies:
            reply = as_reply(value)
            self._script.queue.append(Queued(reply, reply.delivery.repeat, declared))
        return self

    def always(self, reply: object) -> Handle:
        """Answer whatever the queues leave over; it may stay unused. A later call replaces an earlier one.

        Raises:
            TypeError: it is no reply.
        """
        self._script.standby = Queued(as_reply(reply), 0, caller())
        return self

    def __repr__(self) -> str:
        return f"<scripts for {self._script.conditions}>"


def results_condition(value: Mapping[str, str] | None) -> tuple[tuple[str, str], ...] | None:
    """Tool results as a condition that can be compared and hashed."""
    return None if value is None else tuple((name, str(part)) for name, part in value.items())


def caller() -> str:
    """File and line of the nearest frame outside this package, for messages."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith("portkey_testing."):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown"
