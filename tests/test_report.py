"""Explanations for people."""

from __future__ import annotations

from typing import Any

from portkey_testing import _report
from portkey_testing.matching import AttemptView, Handle, Scripts, conditions
from portkey_testing.timeline import GatewayRequest


def attempt(**params: Any) -> AttemptView:
    """One attempt at OpenAI."""
    request = GatewayRequest("POST", "http://gateway.test/v1/chat/completions", {})
    return AttemptView("openai", "config", 2, {"model": "gpt-4o", **params}, request)


def scripted(*wanted: dict[str, Any]) -> Scripts:
    """Scripts with these conditions, each with one reply."""
    scripts = Scripts()
    for conditions_ in wanted:
        Handle(scripts.script(conditions(**conditions_))).reply("hi")
    return scripts


def test_an_attempt_in_one_line() -> None:
    """Provider, target, number, model, kind and turn."""
    expected = "openai config #2: model 'gpt-4o', stream, turn 1"

    assert expected == _report.brief(attempt(stream=True))


def test_a_fake_without_scripts_says_so() -> None:
    """And how to make one."""
    said = _report.unscripted(attempt(), Scripts())

    assert said.endswith("Script it, for example: fake.provider('openai').reply(...). This fake has no scripts yet.")


def test_only_the_nearest_scripts_are_shown() -> None:
    """The rest is counted."""
    said = _report.unscripted(attempt(), scripted(*({"turn": number} for number in range(2, 10))))

    assert 5 == said.count("the script wants")
    assert "  and 3 more" in said


def test_long_messages_are_shortened() -> None:
    """A line is a line."""
    messages = [{"role": "user", "content": "word\n" * 500}, {"role": "assistant", "tool_calls": [{"id": "x" * 500}]}]

    said = _report.unscripted(attempt(messages=messages), Scripts())

    assert all(len(line) < 250 for line in said.splitlines())
    assert "    assistant: " in said


def test_a_conversation_that_goes_on_is_shown_to_its_end() -> None:
    """What came beyond what was wanted is told as well."""
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "tool_calls": None}]

    said = _report.unscripted(attempt(messages=messages), scripted({"messages": [{"role": "user"}]}))

    assert "= user: a" in said
    assert "+ assistant: b" in said


def test_unused_replies_are_counted() -> None:
    """One was, several were."""
    scripts = scripted({"turn": 1}, {"turn": 2})
    assert _report.unused(scripts.unused(), "rule").startswith("2 scripted replies were never used:")
    scripts = scripted({"turn": 1})

    said = _report.unused(scripts.unused(), "rule")

    assert said.startswith("1 scripted reply was never used:")
    assert "text('hi')  for turn=1, " in said
    assert said.endswith("loosen the rule with fake.allow('rule').")
