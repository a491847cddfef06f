"""Failures by chance, and one test for every failure."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from portkey_testing import FakeGateway, fault_matrix, text
from portkey_testing.chaos import failures
from portkey_testing.replies import STOCK, Reply
from tests.fake_support import SYNC, Answer, body


def outcomes(seed: int, *more: dict[str, Any], **options: Any) -> list[object]:
    """The statuses of thirty calls, or what they raised; `more` is the chaos that was asked for before."""
    fake = FakeGateway(seed=seed)
    fake.always("fine")
    for each in (*more, options):
        fake.chaos(**each)
    found: list[object] = []
    for _ in range(30):
        try:
            found.append(SYNC.ask(fake).status)
        except httpx.HTTPError as raised:
            found.append(type(raised).__name__)
    return found


@pytest.mark.parametrize("leg", ["provider", "application"])
def test_chaos_comes_from_the_seed(leg: str) -> None:
    """The same seed brings the same failures, another one others."""
    assert outcomes(1, rate=0.5, leg=leg) == outcomes(1, rate=0.5, leg=leg)
    assert outcomes(1, rate=0.5, leg=leg) != outcomes(2, rate=0.5, leg=leg)


@pytest.mark.parametrize(("leg", "attempts"), [("provider", 1), ("application", 0)])
def test_chaos_strikes_on_its_leg(leg: str, attempts: int) -> None:
    """In place of a provider, which the gateway has asked, or on the way to the gateway, which asks nobody."""
    fake = FakeGateway()
    fake.always("fine")
    fake.chaos(rate=1.0, faults=["overloaded"], leg=leg)

    assert 503 == SYNC.ask(fake).status
    assert attempts == len(fake.last.route.attempts)


def test_each_chaos_has_draws_of_its_own() -> None:
    """Two on one leg do not strike in step."""
    assert outcomes(1, rate=0.5) != outcomes(1, {"rate": 0.0}, rate=0.5)


@pytest.mark.parametrize(("rate", "fine"), [(0.0, 30), (1.0, 0)])
def test_the_rate_is_a_share(rate: float, fine: int) -> None:
    """Nothing fails at 0, everything at 1."""
    assert fine == outcomes(0, rate=rate).count(200)


def test_chaos_uses_up_no_script() -> None:
    """The reply that was not given is still to come."""
    fake = FakeGateway()
    fake.reply("still here")
    fake.chaos(rate=1.0, faults=["overloaded"])
    assert 503 == SYNC.ask(fake).status

    assert fake.leftovers is not None
    assert "still here" in fake.leftovers


def test_a_run_says_how_to_bring_it_again() -> None:
    """One line, with the seed."""
    fake = FakeGateway(seed=42)
    fake.always("fine")
    fake.chaos(rate=1.0, faults=["overloaded"])
    SYNC.ask(fake)

    line = fake.journal.splitlines()[0]

    assert "struck 1 times" in line
    assert "pytest --portkey-seed=42" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 2}, "from 0 to 1"),
        ({"rate": 0.5, "faults": []}, "at least one"),
        ({"rate": 0.5, "faults": ["overlaoded"]}, "Did you mean 'overloaded'?"),
        ({"rate": 0.5, "leg": "left"}, "'provider' or 'application'"),
    ],
)
def test_chaos_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    """Where it is asked for."""
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        FakeGateway().chaos(**options)


def seen(answer: Answer) -> tuple[object, ...]:
    """What an application can tell an answer by."""
    return answer.status, sorted(answer.headers.items()), answer.content, type(answer.error)


@fault_matrix()
def test_every_failure_of_a_provider_is_answered(fault: Reply) -> None:
    """Through the gateway each is an answer, and another one than that of a provider that is well."""
    fake, well = FakeGateway(), FakeGateway()
    fake.provider("openai").reply(fault)
    well.reply(text(STOCK))
    config = {"provider": "openai", "api_key": "K", "request_timeout": 1000}

    assert seen(SYNC.ask(well, config=config)) != seen(SYNC.ask(fake, config=config))
    fake.verify()


@fault_matrix("application", stream=True, argument="trouble")
def test_every_failure_on_the_way_is_seen(trouble: Reply) -> None:
    """The application sees an exception, another status, or a stream that is not as it should be."""
    fake, well = FakeGateway(), FakeGateway()
    fake.gateway.reply(trouble)
    well.gateway.reply(text(STOCK))

    try:
        answer = SYNC.ask(fake, body(stream=True), timeout=5.0)
    except httpx.HTTPError:
        return
    assert seen(SYNC.ask(well, body(stream=True))) != seen(answer)
    fake.verify()


def test_the_names_of_the_matrix_are_stable() -> None:
    """Failures are named as tests write them, errors first; streams have more."""
    names = list(failures())

    assert "invalid_key" == names[0]
    assert {"refused", "stall", "truncated_json"} <= set(names)
    assert "missing_done" not in names
    assert "missing_done" in failures("application", stream=True)
    assert len(names) == len(set(names))
    with pytest.raises(ValueError, match="'provider' or 'application'"):
        fault_matrix("both")
