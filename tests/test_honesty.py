"""Replies no provider could have given to the request they answer."""

from __future__ import annotations

from typing import Any

import pytest

from portkey_testing import DishonestReply, FakeGateway, tool_call
from tests.fake_support import TOOLS, Side, body, sides


@sides
def test_a_tool_that_was_not_offered_fails_the_test_at_once(side: Side) -> None:
    """With the tools that were, and the rule to loosen; and again at the end, where it may have been swallowed."""
    fake = FakeGateway()
    fake.reply(tool_call("get_news"))

    with pytest.raises(BaseException) as caught:  # noqa: PT011  # an event loop wraps it in a group
        side.ask(fake, body(tools=TOOLS))
    with pytest.raises(DishonestReply) as again:
        fake.verify()

    said = str(again.value)
    assert caught.value is not None
    assert "calls the tool 'get_news', which the request does not offer. Offered: get_time, get_weather." in said
    assert "fake.allow('unoffered_tools')" in said


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"city": 5}, "city: 5 is not of type 'string'"),
        ({}, "arguments: 'city' is a required property"),
        ({"city": "Oslo", "when": "now"}, "Additional properties are not allowed"),
    ],
)
def test_arguments_the_schema_forbids_fail_the_test(arguments: dict[str, Any], problem: str) -> None:
    """As the schema in the request says."""
    fake = FakeGateway()
    fake.reply(tool_call("get_weather", arguments))

    with pytest.raises(DishonestReply) as caught:
        Side(None).ask(fake, body(tools=TOOLS))

    assert problem in str(caught.value)
    assert "fake.allow('invalid_tool_arguments')" in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "reply"),
    [
        ("unoffered_tools", tool_call("get_news")),
        ("invalid_tool_arguments", tool_call("get_weather", {})),
    ],
)
def test_a_rule_can_be_loosened_by_name(rule: str, reply: object) -> None:
    """Then the answer is given."""
    fake = FakeGateway()
    fake.allow(rule)
    fake.reply(reply)

    assert 200 == Side(None).ask(fake, body(tools=TOOLS)).status
    fake.verify()


def test_a_rule_that_is_none_is_refused() -> None:
    """With those there are."""
    with pytest.raises(ValueError, match=r"there is no rule 'unoffered_tool' to loosen; there are: .*unoffered_tools"):
        FakeGateway().allow("unoffered_tool")


def test_arguments_in_raw_are_what_a_model_may_send() -> None:
    """Broken JSON is checked against nothing."""
    fake = FakeGateway()
    fake.reply(tool_call("get_weather", raw="{oops"))

    assert 200 == Side(None).ask(fake, body(tools=TOOLS)).status
