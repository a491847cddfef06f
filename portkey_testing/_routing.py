"""The way of a request through its targets: one generator, without I/O and without a clock.

It yields what the gateway does next and is sent what came of it:

    Try       call a target; the answer is an `Outcome`
    Pause     wait
    MoveOn    the last answer was not good enough, for this reason

and returns where the request landed. Behaviour copied from Portkey's open-source gateway 1.15.2 (its
`tryTargetsRecursively` and `retryHandler`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from portkey_testing import _conditions
from portkey_testing._policy import Group, Node, Target

RETRY_AFTER_BUDGET: Final = 60.0
"""Seconds the gateway spends in all on waits a provider asked for."""


class NoTargets(Exception):
    """A single strategy over nothing, which the gateway trips over."""


class Outcome(Protocol):
    """What one attempt came to, as far as routing looks at it.

    Attributes:
        status: Status that retries look at: the provider's, or the gateway's own for a timeout.
        final_status: Status once the gateway has read the answer; 500 where it could not.
        broken: There was no answer: the connection was refused or dropped.
        exception: The gateway itself failed on it, which ends all routing.
        headers: The provider's response headers, names in lower case.
    """

    @property
    def status(self) -> int: ...
    @property
    def final_status(self) -> int: ...
    @property
    def broken(self) -> bool: ...
    @property
    def exception(self) -> bool: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


OutcomeT = TypeVar("OutcomeT", bound=Outcome)


@dataclass(frozen=True, slots=True)
class Try:
    """Call a target, for the `number`th time."""

    target: Target
    number: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait some seconds before the next attempt."""

    seconds: float
    cause: str


@dataclass(frozen=True, slots=True)
class MoveOn:
    """The last attempt does not end the request."""

    cause: str


Step: TypeAlias = Try | Pause | MoveOn


@dataclass(frozen=True, slots=True)
class Landed(Generic[OutcomeT]):
    """Where the request ended.

    Attributes:
        target: The target that answered.
        outcome: Its answer.
        retries: The value of `x-portkey-retry-attempt-count`: retries made, or -1 when they were used up.
    """

    target: Target
    outcome: OutcomeT
    retries: int


Draw: TypeAlias = Callable[[Group], float]
"""A number from 0 up to, not including, 1 for the next choice of a load-balanced group."""

Walk: TypeAlias = Generator[Step, OutcomeT, Landed[OutcomeT] | None]


def walk(node: Node, context: Mapping[str, Any], draw: Draw) -> Walk[OutcomeT]:
    """Follow `node` to an answer; None if the config leads to no target, where the real gateway never answers.

    Raises:
        RouterError: conditional routing leads nowhere.
        NoTargets: a single strategy has no target.
    """
    if isinstance(node, Target):
        return (yield from _attempts(node))
    match node.mode:
        case "fallback":
            return (yield from _fallback(node, context, draw))
        case "loadbalance":
            chosen = _balanced(node, draw)
            return None if chosen is None else (yield from walk(chosen, context, draw))
        case "conditional":
            return (yield from walk(_conditional(node, context), context, draw))
        case _:
            if not node.targets:
                raise NoTargets
            return (yield from walk(node.targets[0], context, draw))


def _fallback(group: Group, context: Mapping[str, Any], draw: Draw) -> Walk[OutcomeT]:
    landed: Landed[OutcomeT] | None = None
    for position, child in enumerate(group.targets, 1):
        landed = yield from walk(child, context, draw)
        if landed is not None:
            cause = _falls_back(landed.outcome, group)
            if cause is None:
                return landed
            if position < len(group.targets):
                yield MoveOn(cause)
    return landed


def _falls_back(outcome: Outcome, group: Group) -> str | None:
    """Why the group goes on after this answer; None if it stops."""
    if outcome.exception:
        return None
    status = outcome.final_status
    if group.codes is None:
        return None if 200 <= status < 300 else f"{status}: fallback on any non-2xx"
    return f"{status}: fallback on {list(group.codes)}" if status in group.codes else None


def _balanced(group: Group, draw: Draw) -> Node | None:
    total = sum(child.weight for child in group.targets)
    rest = draw(group) * total
    for child in group.targets:
        if rest < child.weight:
            return child
        rest -= child.weight
    return None


def _conditional(group: Group, context: Mapping[str, Any]) -> Node:
    name = _conditions.choose(group.conditions, group.default, context)
    for child in group.targets:
        if child.name == name:
            return child
    raise _conditions.RouterError(f"Invalid target name found in the query router: {name}")


def _attempts(target: Target) -> Walk[OutcomeT]:
    """Call one target as often as its retries allow."""
    retry = target.retry
    retries = 0
    budget = RETRY_AFTER_BUDGET
    backs_off = True
    while True:
        outcome = yield Try(target, retries + 1)
        listed = outcome.status in retry.codes
        if not (listed or outcome.broken):
            return Landed(target, outcome, retries)
        used_up = retries >= retry.attempts
        wait = 2.0**retries if backs_off else 0.0
        cause = f"back-off before retry {retries + 1}"
        asked = _retry_after(outcome.headers) if retry.use_retry_after and outcome.status == 429 else None
        if asked:
            if asked >= RETRY_AFTER_BUDGET or asked > budget:
                return Landed(target, outcome, -1)
            budget -= asked
            backs_off = False
            wait = asked
            cause = f"as long as the provider asked, before retry {retries + 1}"
            if used_up:
                # The gateway waits before it finds that no retry is left.
                yield Pause(asked, "as long as the provider asked, although no retry is left")
        if used_up:
            return Landed(target, outcome, -1 if listed and 0 < retries == retry.attempts else retries)
        yield MoveOn(f"{outcome.status}: retry {retries + 1} of {retry.attempts:g}")
        if wait:
            yield Pause(wait, cause)
        retries += 1


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asks to wait; only numbers count, not dates."""
    for name, unit in (("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("retry-after", 1.0)):
        if name in headers:
            digits = headers[name].strip()
            return int(digits) / unit if digits.isdecimal() else None
    return None
