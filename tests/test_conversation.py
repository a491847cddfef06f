"""Reading conversations, malformed ones included."""

from __future__ import annotations

from typing import Any

import pytest

from portkey_testing import _conversation as conversation
from portkey_testing._conversation import ToolExchange


def asked(*calls: tuple[str, str, str]) -> dict[str, Any]:
    """An assistant message that calls tools: id, name, arguments."""
    return {
        "role": "assistant",
        "tool_calls": [{"id": i, "function": {"name": name, "arguments": arguments}} for i, name, arguments in calls],
    }


def result(call_id: str, content: object) -> dict[str, Any]:
    """What a tool said."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def test_exchanges_read_like_the_flow() -> None:
    """In the order of the calls, each with its result, several calls of one tool included."""
    messages = [
        asked(("a", "get_weather", '{"city": "Oslo"}'), ("b", "get_weather", '{"city": "Bergen"}')),
        result("b", "rain"),
        result("a", [{"type": "text", "text": "sun"}]),
        asked(("c", "get_time", "{oops")),
    ]

    assert [
        ToolExchange("a", "get_weather", {"city": "Oslo"}, "sun"),
        ToolExchange("b", "get_weather", {"city": "Bergen"}, "rain"),
        ToolExchange("c", "get_time", "{oops", None),
    ] == conversation.tool_exchanges(messages)


def test_an_id_may_be_used_again_in_a_later_turn() -> None:
    """A result belongs to the latest call before it."""
    messages = [asked(("a", "f", "{}")), result("a", "one"), asked(("a", "f", "{}")), result("a", "two")]

    assert ["one", "two"] == [exchange.result for exchange in conversation.tool_exchanges(messages)]
    assert ["two"] == [exchange.result for exchange in conversation.current_tool_exchanges(messages)]


def test_the_current_turn_has_the_results_of_the_last_calls() -> None:
    """Earlier ones, and calls without a result, are not part of it."""
    messages = [
        asked(("a", "f", "{}")),
        result("a", "one"),
        asked(("b", "f", "{}"), ("c", "f", "{}")),
        result("c", "x"),
    ]

    assert ["c"] == [exchange.id for exchange in conversation.current_tool_exchanges(messages)]
    assert [] == conversation.current_tool_exchanges([])


@pytest.mark.parametrize(
    ("messages", "turn", "user", "system"),
    [
        ([], 1, "", ""),
        ([{"role": "user", "content": "hi"}], 1, "hi", ""),
        ([{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}], 1, "", "a\nb"),
        ([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}], 2, "hi", ""),
        ([{"role": "user", "content": [{"text": "a"}, {"image_url": {}}, {"text": "b"}]}], 1, "a\nb", ""),
        ([{"role": "user", "content": None}, {"role": "user", "content": 5}], 1, "", ""),
    ],
)
def test_turns_and_texts(messages: list[dict[str, Any]], turn: int, user: str, system: str) -> None:
    """What cannot be read is left out."""
    assert (turn, user, system) == (
        conversation.turn(messages),
        conversation.last_user_text(messages),
        conversation.system_text(messages),
    )


@pytest.mark.parametrize("body", [None, [], "x", {}, {"messages": "x"}, {"messages": [1, None]}])
def test_what_is_no_conversation_has_no_messages(body: object) -> None:
    """Whatever an application sends."""
    assert [] == conversation.messages_of(body)


@pytest.mark.parametrize(
    ("tools", "offered"),
    [
        (None, ()),
        ("x", ()),
        ([{"type": "function", "function": {"name": "f"}}, {"type": "custom"}, 5, {"function": None}], ("f",)),
    ],
)
def test_the_tools_that_are_offered(tools: object, offered: tuple[str, ...]) -> None:
    """Functions with a name."""
    assert offered == conversation.tools_offered({"tools": tools})


@pytest.mark.parametrize(
    ("value", "wanted", "holds"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({}, {"a": None}, False),
        (1, {"a": 1}, False),
    ],
)
def test_a_value_may_have_more_fields_than_are_asked_for(value: object, wanted: object, holds: bool) -> None:
    """Lists must be as long, objects may be larger."""
    assert holds == conversation.has_fields(value, wanted)
