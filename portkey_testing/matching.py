"""Which script answers which attempt, and why the others did not.

Two passes: the queues first, then what stands by (`always`); within each, the order in which the test declared them.
Conditions see the attempt as the provider would get it, in OpenAI's shape and after `override_params`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from portkey_testing._attempt import AttemptView
from portkey_testing._stack import caller
from portkey_testing._wanted import (
    ABSENT,
    Check,
    Conditions,
    Expected,
    Frozen,
    Mismatch,
    asked,
    conditions,
    name_of,
)
from portkey_testing.failures import BrokenScript
from portkey_testing.replies import Computed, Reply, ReplyLike, as_reply

__all__ = [
    "ABSENT",
    "AttemptView",
    "Check",
    "Conditions",
    "Expected",
    "Frozen",
    "Handle",
    "Match",
    "Mismatch",
    "Queued",
    "Script",
    "Scripts",
    "conditions",
]


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


class Script:
    """What one handle has been told to answer.

    Attributes:
        conditions: What an attempt must be like.
        declared: File and line of the test where it was first named.
        queue: The replies still to come.
        standby: What it answers when the queues are used up.
        answered: How many attempts it has answered.
        part: What the last user text must hold, where that is asked for: most scripts are told apart by it alone, so it
            is looked at before anything else.
        has_checks: There are other conditions than that one.
        retired: Why nothing can be scripted any more; empty while it can.
    """

    __slots__ = ("_checks", "answered", "conditions", "declared", "has_checks", "part", "queue", "retired", "standby")

    def __init__(self, conditions: Conditions, declared: str) -> None:
        self.conditions = conditions
        self.declared = declared
        self.queue: deque[Queued] = deque()
        self.standby: Queued | None = None
        self.answered = 0
        self.part = conditions.message if isinstance(conditions.message, str) else None
        self._checks = tuple(
            (check.actual, check.holds) for check in conditions.checks() if check.name != "message" or self.part is None
        )
        self.has_checks = bool(self._checks)
        self.retired = ""

    def matches(self, attempt: AttemptView) -> bool:
        """Whether an attempt meets all conditions but `part`."""
        for actual, holds in self._checks:  # noqa: SIM110  # a generator for each script takes longer than its checks
            if not holds(actual(attempt)):
                return False
        return True

    def use(self, queued: Queued) -> None:
        """Count one use of a reply; one that stands by is never used up."""
        self.answered += 1
        if self.queue and queued is self.queue[0]:
            queued.left -= 1
            if not queued.left:
                self.queue.popleft()


class Match(NamedTuple):
    """The script that answers an attempt, before it is used."""

    script: Script
    queued: Queued

    @property
    def reply(self) -> Reply:
        return self.queued.reply

    def use(self) -> None:
        self.script.use(self.queued)

    def said(self, attempt: AttemptView) -> Reply:
        """The reply, or what its function says; functions are asked until one gives a reply that says something.

        Raises:
            BrokenScript: a function raised or gave no reply; it has had its turn.
        """
        reply = self.reply
        while isinstance(reply, Computed):
            try:
                reply = _given(reply.function, attempt)
            except BrokenScript:
                self.use()
                raise
        return reply


def _given(function: Callable[[AttemptView], object], attempt: AttemptView) -> Reply:
    said = asked(function, attempt)
    try:
        return as_reply(said)
    except (TypeError, ValueError) as error:
        raise BrokenScript(f"{name_of(function)} gave no reply: {error}") from error


class Scripts:
    """All scripts of one leg, in the order of their declaration."""

    def __init__(self) -> None:
        self._scripts: dict[Conditions, Script] = {}
        # Another thread may add scripts while this one looks for one: a list that only grows can be walked meanwhile.
        self._ordered: list[Script] = []
        self._retired = ""

    def script(self, conditions: Conditions) -> Script:
        """The script with exactly these conditions, made if it is not there."""
        script = self._scripts.get(conditions)
        if script is None:
            script = self._scripts.setdefault(conditions, Script(conditions, caller()))
            script.retired = self._retired
            self._ordered.append(script)
        return script

    def retire(self, why: str) -> None:
        """Take no more replies, for a reason that whoever scripts one is told."""
        self._retired = why
        for script in self:
            script.retired = why

    def find(self, attempt: AttemptView) -> Match | None:
        """What answers `attempt`; it stays in its queue until it is used."""
        standby: Match | None = None
        said: str | None = None
        for script in self._ordered:
            if script.part is not None:
                if said is None:
                    said = attempt.message
                if script.part not in said:
                    continue
            queued = script.queue[0] if script.queue else None
            if queued is None and (standby is not None or script.standby is None):
                continue
            if script.has_checks and not script.matches(attempt):
                continue
            if queued is not None:
                return Match(script, queued)
            if script.standby is not None:
                standby = Match(script, script.standby)
        return standby

    def unused(self) -> list[tuple[Conditions, Queued]]:
        """The queued replies that no attempt has used up."""
        return [(script.conditions, queued) for script in self for queued in script.queue]

    def __iter__(self) -> Iterator[Script]:
        return iter(self._ordered)

    def __len__(self) -> int:
        return len(self._ordered)


class Handle:
    """Where a test scripts replies for the attempts that meet some conditions."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def reply(self, *replies: ReplyLike) -> Handle:
        """Queue replies; each answers one attempt, or as many as its `times` says.

        Raises:
            TypeError: something is no reply.
            RuntimeError: the test that the fake belongs to is over.
        """
        self._check_not_retired()
        if not replies:
            raise TypeError("reply() takes at least one reply")
        declared = caller()
        for value in replies:
            reply = as_reply(value)
            self._script.queue.append(Queued(reply, reply.delivery.repeat, declared))
        return self

    def always(self, reply: ReplyLike) -> Handle:
        """Answer whatever the queues leave over; it may stay unused. A later call replaces an earlier one.

        Raises:
            TypeError: it is no reply.
            RuntimeError: the test that the fake belongs to is over.
        """
        self._check_not_retired()
        self._script.standby = Queued(as_reply(reply), 0, caller())
        return self

    def declare(self, replies: Sequence[Reply], standby: Reply | None, declared: str) -> None:
        """Script what a file says, at its line."""
        self._check_not_retired()
        script = self._script
        if not script.queue and script.standby is None:
            script.declared = declared
        script.queue.extend(Queued(reply, reply.delivery.repeat, declared) for reply in replies)
        if standby is not None:
            script.standby = Queued(standby, 0, declared)

    def __repr__(self) -> str:
        return f"<scripts for {self._script.conditions}>"

    def _check_not_retired(self) -> None:
        if self._script.retired:
            raise RuntimeError(self._script.retired)
