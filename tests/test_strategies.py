"""Hypothesis draws what a provider may do, and shrinks to the smallest script that breaks an application."""

from __future__ import annotations

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from portkey_testing import FakeGateway, refusal, strategies, text
from portkey_testing.chaos import Leg
from portkey_testing.replies import Answer, Reply
from tests.fake_support import SYNC, TOOLS, body


@settings(max_examples=30, deadline=None)
@given(answer=strategies.answers(tools={"get_weather": st.just({"city": "Oslo"})}))
def test_every_answer_can_be_given(answer: Answer) -> None:
    """Plain and streamed, it says the same."""
    fake = FakeGateway()
    fake.reply(answer.times(2))

    plain, streamed = SYNC.ask_all(fake, [body(tools=TOOLS), body(tools=TOOLS, stream=True)])

    assert (plain.said or "") == streamed.said == answer.text
    fake.verify()


@settings(max_examples=30, deadline=None)
@given(answer=strategies.streamed_answers())
def test_every_pace_delivers_the_text(answer: Answer) -> None:
    """However the bytes are cut."""
    fake = FakeGateway()
    fake.reply(answer)

    assert answer.text == SYNC.ask(fake, body(stream=True)).said


@settings(max_examples=30, deadline=None)
@given(script=strategies.scripts(stream=True, max_size=3))
def test_every_script_can_be_played(script: list[Reply]) -> None:
    """A client gets an answer, whole or broken off by an exception of its library, and nothing is left over."""
    fake = FakeGateway()
    fake.reply(*script)
    target = {"provider": "openai", "api_key": "K", "request_timeout": 1000}

    for _ in script:
        SYNC.ask(fake, body(stream=True), config=target)  # which raises whatever else there is

    assert fake.leftovers is None
    fake.verify()


@pytest.mark.parametrize("leg", ["provider", "application"])
def test_failures_are_those_of_the_catalogue(leg: Leg) -> None:
    """Each can be drawn."""
    drawn = find(strategies.failing(leg), lambda reply: "refused" in str(reply))

    assert "fault('refused')" == str(drawn)


def test_the_smallest_script_is_found() -> None:
    """An application that cannot take a second answer is broken by two answers that say nothing."""
    smallest = find(strategies.scripts(), lambda script: len(script) >= 2)

    assert 2 == len(smallest)
    assert {text(""), refusal("")} >= set(smallest)
