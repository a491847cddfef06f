"""The way of a request through its targets: strategies, retries, waits, draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from portkey_testing import FakeGateway, UnusedReplies, error, fault, native, status
from portkey_testing._draws import Draws
from portkey_testing._policy import Node, tree
from portkey_testing._routing import Draw, Landed, Try, Walk, walk
from tests.fake_support import SYNC, body

OPENAI = {"provider": "openai", "api_key": "K"}
LIMITED = error("rate_limited")
SLOW_DOWN = status(429, {"error": {"message": "slow down"}})
DOWN = error("server_error")


def _fake(*replies: Any) -> FakeGateway:
    fake = FakeGateway(edition="open-source")
    fake.reply(*replies)
    return fake


def _first(node: Node, draw: Draw) -> str:
    """The first target that is tried."""
    step = next(walk(node, {}, draw))
    assert isinstance(step, Try)
    return step.target.path


def _count(fake: FakeGateway, config: dict[str, Any]) -> tuple[int, str]:
    answer = SYNC.ask(fake, config=config)
    return answer.status, answer.headers["x-portkey-retry-attempt-count"]


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": " 20 seconds"}, 20.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "100", "retry-after": "20"}, 0.1),
        ({"retry-after-ms": "", "retry-after": "20"}, 20.0),
        ({"retry-after-ms": "soon", "retry-after": "20"}, 1.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 1.0),
        ({"retry-after": "0"}, 1.0),
        ({"retry-after": "-5"}, 0.0),
        ({}, 1.0),
    ],
    ids=str,
)
def test_a_provider_can_ask_for_a_wait(headers: dict[str, str], waited: float) -> None:
    """The whole number its first header begins with counts; with none the gateway backs off."""
    fake = _fake(SLOW_DOWN.with_headers(headers), "hi")

    SYNC.ask(fake, config={**OPENAI, "retry": {"attempts": 1, "use_retry_after_header": True}})

    assert waited == fake.clock.now
    assert waited == sum(wait.seconds for wait in fake.last.route.waits)


def test_the_gateway_does_not_wait_too_long() -> None:
    """From a minute on the 429 is the answer at once, and so is one that exceeds what is left of the minute."""
    retry = {"attempts": 3, "use_retry_after_header": True}
    at_once = _fake(SLOW_DOWN.with_headers({"retry-after": "60"}))
    in_sum = _fake(*[SLOW_DOWN.with_headers({"retry-after": "40"})] * 2)

    assert (429, "-1") == _count(at_once, {**OPENAI, "retry": retry})
    assert (429, "-1") == _count(in_sum, {**OPENAI, "retry": retry})
    assert (0.0, 40.0) == (at_once.clock.now, in_sum.clock.now)


@pytest.mark.parametrize(
    ("retry", "replies", "expected"),
    [
        ({"attempts": 2}, [DOWN, error("overloaded"), "hi"], (200, "2")),
        ({"attempts": 2}, [DOWN] * 3, (500, "-1")),
        ({"attempts": 2}, [DOWN, error("invalid_key")], (401, "1")),
        ({"attempts": 2, "on_status_codes": []}, [DOWN], (500, "0")),
        ({"attempts": 2, "on_status_codes": []}, [fault("refused")] * 3, (500, "2")),
        ({"attempts": 2}, [fault("refused")] * 3, (500, "-1")),
        ({"attempts": 1, "on_status_codes": [200]}, ["one", "two"], (200, "-1")),
        ({"attempts": 1, "use_retry_after_header": True}, [SLOW_DOWN] * 2, (500, "-1")),
        ({"attempts": 1, "use_retry_after_header": True, "on_status_codes": [500]}, [SLOW_DOWN], (429, "0")),
        ({"attempts": 1.5}, [DOWN] * 3, (500, "2")),
        ({"attempts": 0}, [DOWN], (500, "0")),
        ({"attempts": -1}, [DOWN], (500, "0")),
    ],
)
def test_how_retries_are_counted(retry: dict[str, Any], replies: list[Any], expected: tuple[int, str]) -> None:
    """The count is that of the target that answered, -1 where its retries were used up."""
    assert expected == _count(_fake(*replies), {**OPENAI, "retry": retry})


def test_retries_back_off() -> None:
    """One second, then twice as long each time."""
    fake = _fake(*[DOWN] * 4, "hi")

    SYNC.ask(fake, config={**OPENAI, "retry": {"attempts": 4}})

    assert [1.0, 2.0, 4.0, 8.0] == [wait.seconds for wait in fake.last.route.waits]
    assert [0.0, 1.0, 3.0, 7.0, 15.0] == [attempt.started for attempt in fake.last.route.attempts]


def test_ten_thousand_draws_match_the_weights() -> None:
    """Within two percent, whatever the weights add up to."""
    weights = {"config.targets[0]": 3, "config.targets[1]": 1, "config.targets[2]": 0, "config.targets[3]": 6}
    node = tree(
        {"strategy": {"mode": "loadbalance"}, "targets": [{**OPENAI, "weight": w} for w in weights.values()]}, {}
    )
    draw = partial(Draws(Random(7), None).draw, config="", context={}, now=0.0)

    drawn = Counter(_first(node, draw) for _ in range(10_000))

    for path, weight in weights.items():
        assert weight / 10 == pytest.approx(drawn[path] / 10_000, abs=0.02)
    assert 0 == drawn["config.targets[2]"]


def test_draws_come_from_the_seed() -> None:
    """Two fakes with one seed choose alike, and the draws of one do not touch the other."""
    config = {"strategy": {"mode": "loadbalance"}, "targets": [OPENAI, OPENAI]}

    def chosen(seed: int) -> list[str | None]:
        fake = FakeGateway(seed=seed, edition="open-source")
        fake.always("hi")
        for _ in range(20):
            SYNC.ask(fake, config=config)
        return [call.route.target for call in fake.calls]

    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)


def test_a_draw_can_be_forced() -> None:
    """For the next requests, one each; a path no group of the config has is waited for."""
    config = {"strategy": {"mode": "loadbalance"}, "targets": [{**OPENAI, "weight": 1}, {**OPENAI, "weight": 0.001}]}
    fake = FakeGateway(edition="open-source")
    fake.always("hi")
    fake.pick("config.targets[1]", "config.targets[1]")

    for _ in range(2):
        SYNC.ask(fake, config=config)

    assert ["config.targets[1]"] * 2 == [call.route.target for call in fake.calls]


def test_a_forced_draw_that_cannot_be_fails_the_test() -> None:
    """The real gateway never draws a target of weight 0, and a path no config has is a slip."""
    config = {"strategy": {"mode": "loadbalance"}, "targets": [OPENAI, {**OPENAI, "weight": 0}]}
    fake = FakeGateway(edition="open-source")
    fake.always("hi")
    fake.pick("config.targets[1]")

    SYNC.ask(fake, config=config)

    assert "config.targets[0]" == fake.last.route.target
    with pytest.raises(UnusedReplies, match=r"Targets that could be: config\.targets\[0\]; one of weight 0 cannot"):
        fake.verify()
    with pytest.raises(ValueError, match=r"not 'targets\[1\]'"):
        fake.pick("targets[1]")


def test_a_router_can_stand_inside_another() -> None:
    """The inner group's answer is one answer for the outer rule, and the path names every level."""
    inner = {"strategy": {"mode": "loadbalance"}, "targets": [OPENAI]}
    config = {
        "strategy": {"mode": "fallback", "on_status_codes": [429]},
        "targets": [inner, {"strategy": {"mode": "single"}, "targets": [inner]}],
    }
    fake = _fake(LIMITED, "hi")

    answer = SYNC.ask(fake, config=config)

    assert "config.targets[1].targets[0].targets[0]" == answer.headers["x-portkey-last-used-option-index"]
    assert "429: fallback on [429]" == fake.last.route.attempts[0].cause


def test_a_group_that_chooses_nothing_is_passed_over() -> None:
    """Weights of 0 are no answer, so an outer fallback goes on."""
    nothing = {"strategy": {"mode": "loadbalance"}, "targets": [{**OPENAI, "weight": 0}]}

    answer = SYNC.ask(_fake("hi"), config={"strategy": {"mode": "fallback"}, "targets": [nothing, OPENAI]})

    assert "config.targets[1]" == answer.headers["x-portkey-last-used-option-index"]


@pytest.mark.parametrize("mode", ["fallback", "loadbalance"])
def test_a_config_that_leads_nowhere_hangs(mode: str) -> None:
    """The real gateway never answers, so the client's own timeout ends it."""
    with pytest.raises(httpx.ReadTimeout):
        SYNC.ask(_fake("hi"), config={"strategy": {"mode": mode}, "targets": []}, timeout=5.0)


def test_an_exception_of_the_gateway_ends_the_routing() -> None:
    """Broken JSON from a provider is a 500 without fallback or routing headers."""
    fake = _fake(native("{oops"))

    answer = SYNC.ask(fake, config={"strategy": {"mode": "fallback"}, "targets": [OPENAI, OPENAI]})

    assert (500, "Something went wrong") == (answer.status, answer.json["message"])
    assert ["true"] == [v for n, v in answer.headers.items() if n.startswith("x-portkey-")]
    assert 1 == len(fake.last.route.attempts)


class Outcome:
    """An answer that ends the routing."""

    status = final_status = 200
    broken = denied = exception = False
    headers: Mapping[str, str] = MappingProxyType({})


def test_the_walk_is_a_generator() -> None:
    """It yields what to do and is told what came of it, so it can be followed without a gateway."""
    walking: Walk[Outcome] = walk(tree({**OPENAI, "retry": {"attempts": 1}}, {}), {}, lambda _: 0.0)

    step = next(walking)
    assert isinstance(step, Try)
    assert 1 == step.number
    with pytest.raises(StopIteration) as stop:
        walking.send(Outcome())
    assert isinstance(stop.value.value, Landed)
    assert 0 == stop.value.value.retries


def test_the_error_of_the_last_target_is_the_answer() -> None:
    """With its own status, body and headers."""
    fake = _fake(error("server_error"), error("rate_limited", retry_after=7))

    answer = SYNC.ask(fake, config={"strategy": {"mode": "fallback"}, "targets": [OPENAI, OPENAI]})

    assert (429, "7") == (answer.status, answer.headers["retry-after"])
    assert "config.targets[1]" == answer.headers["x-portkey-last-used-option-index"]


def test_a_target_is_read_when_it_is_come_to() -> None:
    """One that the gateway trips over does no harm behind a target that answers, and ends a request that reaches it."""
    broken = {**OPENAI, "input_mutators": "no list"}
    behind = {"strategy": {"mode": "fallback"}, "targets": [OPENAI, broken]}
    before = {"strategy": {"mode": "fallback"}, "targets": [broken, OPENAI]}
    fake = FakeGateway(edition="open-source")
    fake.always("hello")

    assert 200 == SYNC.ask(fake, config=behind).status
    assert 500 == SYNC.ask(fake, config=before).status
    assert {"status": "failure", "message": "Something went wrong"} == fake.last.response


def test_answers_that_fail_alike_are_read_each_at_its_own_time() -> None:
    """A message with the status of an error is a completion to the gateway, and tells when that was made."""
    said = {"content": [{"type": "text", "text": "Sunny"}], "usage": {"input_tokens": 1, "output_tokens": 1}}
    fake = FakeGateway(edition="open-source")
    fake.reply(status(400, said).delayed(10), status(400, said))

    first, second = SYNC.ask_all(fake, [body(), body()], provider="anthropic")

    assert [400, 400] == [first.status, second.status]
    assert 10 == second.json["created"] - first.json["created"]
