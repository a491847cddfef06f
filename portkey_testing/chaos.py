"""Failures by chance, from the seed; and one test for every failure there is."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING, Final, Literal

from portkey_testing import faults
from portkey_testing._reply import is_number
from portkey_testing.replies import Reply, error, error_catalogue, fault

if TYPE_CHECKING:
    import pytest

Leg = Literal["provider", "application"]
LEGS: Final[tuple[Leg, ...]] = ("provider", "application")

PROVIDER_ERRORS: Final = (
    "invalid_key",
    "model_not_found",
    "rate_limited",
    "rate_limited_tokens",
    "quota_exceeded",
    "context_length",
    "content_filter",
    "overloaded",
    "server_error",
    "bad_request",
    "request_too_large",
    "timeout",
)
"""The errors that every provider has some words for."""

GATEWAY_ERRORS: Final = ("config_not_json", "provider_unreachable", "request_timeout", "guardrail_deny")
"""What the gateway itself says, in place of an answer."""

PASSING: Final = (
    "rate_limited",
    "overloaded",
    "server_error",
    "timeout",
    "refused",
    "reset_before_headers",
    "closed_before_headers",
)
"""What chaos chooses from: failures that pass, so an application that tries again should get over them."""


class Chaos:
    """Strikes at random.

    Args:
        rate: The share of attempts that are struck, from 0 to 1.
        names: The failures it chooses from.
        leg: Where it strikes.
        seed: What the choice is drawn from.
        number: Which chaos of its fake it is, from 1: each has draws of its own.
    """

    def __init__(self, rate: float, names: Iterable[str], leg: Leg, seed: int, *, number: int = 1) -> None:
        self.rate = rate
        self.names = tuple(names)
        self.leg = leg
        self.seed = seed
        self._replies = tuple(failure(name) for name in self.names)
        self._random = Random(f"{seed}-chaos-{number}-{leg}")
        self.struck = 0

    def strike(self) -> Reply | None:
        """The failure in place of the next answer, or None if it is spared."""
        if self._random.random() >= self.rate:
            return None
        self.struck += 1
        return self._random.choice(self._replies)

    def __str__(self) -> str:
        return f"chaos(rate={self.rate!r}, faults={list(self.names)!r}, leg={self.leg!r})"

    @property
    def reproduce(self) -> str:
        """The line that brings the same failures again."""
        return (
            f"{self} struck {self.struck} times; the same again with: pytest --portkey-seed={self.seed}, or "
            f"FakeGateway(seed={self.seed})"
        )


def strike(chaos: Iterable[Chaos], leg: Leg) -> Reply | None:
    """What chance puts in place of an answer on that leg; None if it is spared."""
    for each in chaos:
        if each.leg == leg and (struck := each.strike()) is not None:
            return struck
    return None


def make_chaos(*, rate: float, names: Iterable[str] | None, leg: str, seed: int, number: int = 1) -> Chaos:
    """Chaos as a test asks for it, see `Chaos`.

    Raises:
        ValueError: the rate is no share, the leg is none, or there is no failure of a name.
    """
    if not is_number(rate) or not 0 <= rate <= 1:
        raise ValueError(f"chaos(rate=...) is a share from 0 to 1, not {rate!r}")
    if isinstance(names, str):
        raise TypeError(f"chaos(faults=...) takes names in a list, not the string {names!r}")
    chosen = PASSING if names is None else tuple(names)
    if not chosen:
        raise ValueError("chaos(faults=...) takes at least one name")
    return Chaos(rate, chosen, _leg(leg), seed, number=number)


def failure(name: str) -> Reply:
    """The failure of that name: a provider error, a wire fault or a damage.

    Raises:
        ValueError: there is none.
    """
    if name in faults.CATALOGUE or name in faults.DAMAGES:
        return fault(name)
    known = {known for entries in error_catalogue().values() for known in entries}
    if name not in known:
        raise faults.unknown("failure", name, [*PROVIDER_ERRORS, *faults.CATALOGUE, *faults.DAMAGES])
    return error(name)


def failures(leg: Leg = "provider", *, stream: bool = False) -> dict[str, Reply]:
    """Every failure of the catalogue that can strike there, by name, in a fixed order."""
    names: list[str] = list(PROVIDER_ERRORS if leg == "provider" else GATEWAY_ERRORS)
    names += [name for name, wire in faults.CATALOGUE.items() if wire.raises is not None]
    names += [name for name, damage in faults.DAMAGES.items() if stream or damage.part != "stream"]
    return {name: failure(name) for name in names}


def fault_matrix(leg: str = "provider", *, stream: bool = False, argument: str = "fault") -> pytest.MarkDecorator:
    """Run a test once for every failure of the catalogue; it gets the reply to script as its argument.

    Args:
        leg: `provider` or `application`: where the test will script it.
        stream: The test asks for streams, so that failures of streams apply.
        argument: Name of the test's argument.

    Raises:
        ValueError: the leg is none.
    """
    import pytest

    found = failures(_leg(leg), stream=stream)
    return pytest.mark.parametrize(argument, [pytest.param(reply, id=name) for name, reply in found.items()])


def _leg(leg: str) -> Leg:
    for known in LEGS:
        if leg == known:
            return known
    raise ValueError(f"leg is 'provider' or 'application', not {leg!r}")
