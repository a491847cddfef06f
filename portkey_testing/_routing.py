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
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from portkey_testing import _conditional_routing, _javascript
from portkey_testing._policy import Group, Node, Target

RETRY_AFTER_BUDGET: Final = 60.0
"""Seconds the gateway spends in all on waits a provider asked for."""

RETRY_AFTER: Final[Mapping[str, float]] = {"retry-after-ms": 1000.0, "x-ms-retry-after-ms": 1000.0, "retry-after": 1.0}
"""The headers that ask for a wait, in the order in which they are looked for, and their units to a second."""


class NoTargets(Exception):
    """A single strategy over nothing, which the gateway trips over; the text is its runtime's."""


class Outcome(Protocol):
    """What one attempt came to, as far as routing looks at it.

    Attributes:
        status: Status that retries look at: the provider's, or the gateway's own for a timeout.
        final_status: Status once the gateway has read the answer and guardrails have seen it; 500 where it could not.
        broken: There was no answer: the connection was refused or dropped.
        denied: A guardrail denied the request, so the provider was not called.
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
    def denied(self) -> bool: ...
    @property
    def exception(self) -> bool: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


OutcomeT = TypeVar("OutcomeT", bound=Outcome)


class Try(NamedTuple):
    """Call a target, for the `number`th time."""

    target: Target
    number: int


class Pause(NamedTuple):
    """Wait some seconds before the next attempt."""

    seconds: float
    cause: str


class MoveOn(NamedTuple):
    """The last attempt does not end the request."""

    cause: str


Step: TypeAlias = Try | Pause | MoveOn


class Landed(NamedTuple, Generic[OutcomeT]):
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
        BrokenRequestError: a target on the way is not what it should be.
    """
    return _attempts(node) if isinstance(node, Target) else _grouped(node, context, draw)


def _grouped(group: Group, context: Mapping[str, Any], draw: Draw) -> Walk[OutcomeT]:
    match group.mode:
        case "fallback":
            return (yield from _fallback(group, context, draw))
        case "loadbalance":
            chosen = balanced(group, draw(group))
            return None if chosen is None else (yield from walk(chosen, context, draw))
        case "conditional":
            return (yield from walk(_conditional(group, context), context, draw))
        case _:
            if not group.targets:
                raise NoTargets("Cannot read properties of undefined (reading 'originalIndex')")
            return (yield from walk(group.targets[0], context, draw))


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
    status = outcome.final_status
    if 200 <= status < 300 if group.codes is None else status not in group.codes:
        return None
    # A gateway behind this one may say so of itself, and this one takes that for its own word.
    if outcome.exception or outcome.headers.get("x-portkey-gateway-exception") == "true":
        return None
    return f"{status}: fallback on {'any non-2xx' if group.codes is None else list(group.codes)}"


def balanced(group: Group, drawn: float) -> Node | None:
    """The target that a number from 0 up to, not including, 1 stands for; None if all weights are 0."""
    total = sum(child.weight for child in group.targets)
    rest = drawn * total
    for child in group.targets:
        if rest < child.weight:
            return child
        rest -= child.weight
    return None


def _conditional(group: Group, context: Mapping[str, Any]) -> Node:
    name = _conditional_routing.choose(group.conditions, group.default, context)
    for child in group.targets:
        if child.name == name:
            return child
    raise _conditional_routing.RouterError(f"Invalid target name found in the query router: {name}")


def _attempts(target: Target) -> Walk[OutcomeT]:
    """Call one target as often as its retries allow, and again where the answer itself, once read, asks for it."""
    retry = target.retry
    retries = 0
    while True:
        called: _Called[OutcomeT] = yield from _calls(target, retries)
        outcome = called.outcome
        if outcome.denied:
            return Landed(target, outcome, 0)
        retries += called.retries
        listed = outcome.final_status in retry.codes and not outcome.exception
        if called.gave_up or not listed or retries >= retry.attempts:
            used_up = called.gave_up or (listed and 0 < retries == retry.attempts)
            return Landed(target, outcome, -1 if used_up else retries)
        retries += 1
        yield MoveOn(f"{outcome.final_status}: retry {retries} of {retry.attempts:g}")


class _Called(NamedTuple, Generic[OutcomeT]):
    """What the calls of one round came to.

    Attributes:
        outcome: The last answer.
        retries: Calls after the first.
        gave_up: The provider asked for a longer wait than the gateway grants.
    """

    outcome: OutcomeT
    retries: int
    gave_up: bool = False


def _calls(target: Target, before: int) -> Generator[Step, OutcomeT, _Called[OutcomeT]]:
    """Call one target until its status is no reason to call it again, or the retries are used up."""
    retry = target.retry
    retries = 0
    budget = RETRY_AFTER_BUDGET
    backs_off = True
    while True:
        outcome = yield Try(target, before + retries + 1)
        if not (outcome.status in retry.codes or outcome.broken) or outcome.denied:
            return _Called(outcome, retries)
        used_up = retries >= retry.attempts
        wait = 2.0**retries if backs_off else 0.0
        cause = f"back-off before retry {retries + 1}"
        asked = _retry_after(outcome.headers) if retry.use_retry_after and outcome.status == 429 else None
        if asked:
            if asked >= RETRY_AFTER_BUDGET or asked > budget:
                return _Called(outcome, retries, gave_up=True)
            budget -= asked
            backs_off = False
            wait = max(asked, 0.0)
            cause = f"as long as the provider asked, before retry {retries + 1}"
            if used_up and wait:
                # The gateway waits before it finds that no retry is left.
                yield Pause(wait, "as long as the provider asked, although no retry is left")
        if used_up:
            return _Called(outcome, retries)
        yield MoveOn(f"{outcome.status}: retry {retries + 1} of {retry.attempts:g}")
        if wait:
            yield Pause(wait, cause)
        retries += 1


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asks to wait: the whole number the first of its headers begins with, so no dates."""
    for name, unit in RETRY_AFTER.items():
        if headers.get(name):
            asked = _javascript.integer(headers[name])
            return asked / unit if asked else None
    return None
