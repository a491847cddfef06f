"""Replies no provider could have given to the request they answer."""

from __future__ import annotations

from typing import Any

import pytest

from portkey_testing import DishonestReply, FakeGateway, chunks, tool_call
from portkey_testing.replies import ReplyLike
from tests.fake_support import SYNC, TOOLS, Side, body, sides


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
    ("city", "problem"),
    [
        ({"type": "strin"}, "'strin' is not valid under any of the given schemas"),
        ({"type": "string", "pattern": "("}, "'(' is not a 'regex'"),
        ({"$ref": "#/$defs/city"}, "'/$defs/city' does not exist"),
    ],
)
def test_a_broken_schema_is_named(city: dict[str, Any], problem: str) -> None:
    """Nobody knows what it forbids, which is no reason to say that the network failed."""
    schema = {"type": "object", "properties": {"city": city}}
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": schema}}]
    fake = FakeGateway()
    fake.reply(tool_call("get_weather", city="Oslo"))

    with pytest.raises(DishonestReply) as caught:
        SYNC.ask(fake, body(tools=tools), provider="groq")

    assert problem in str(caught.value)
    assert "fake.allow('invalid_tool_arguments')" in str(caught.value)


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
def test_a_rule_can_be_loosened_by_name(rule: str, reply: ReplyLike) -> None:
    """Then the answer is given."""
    fake = FakeGateway()
    fake.allow(rule)
    fake.reply(reply)

    assert 200 == Side(None).ask(fake, body(tools=TOOLS)).status
    fake.verify()


def test_a_rule_that_is_none_is_refused() -> None:
    """With those there are."""
    with pytest.raises(ValueError, match=r"no rule is called 'unoffered_tool'\. Did you mean 'unoffered_tools'\?"):
        FakeGateway().allow("unoffered_tool")


def test_arguments_in_raw_are_what_a_model_may_send() -> None:
    """Broken JSON is checked against nothing."""
    fake = FakeGateway()
    fake.reply(tool_call("get_weather", raw="{oops"))

    assert 200 == Side(None).ask(fake, body(tools=TOOLS)).status


def _completion_that_calls(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
    }


def _chunks_that_call(name: str, arguments: str) -> object:
    head, tail = arguments[:2], arguments[2:]
    deltas = [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": head}},
        {"index": 0, "function": {"arguments": tail}},
    ]
    envelope = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    return chunks(
        *({**envelope, "choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]} for delta in deltas),
        {**envelope, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    )


raw = pytest.mark.parametrize("make", [_completion_that_calls, _chunks_that_call])
streamed = pytest.mark.parametrize("stream", [False, True])


@raw
@streamed
@pytest.mark.parametrize(
    ("name", "arguments", "problem", "rule"),
    [
        ("get_news", "{}", "calls the tool 'get_news', which the request does not offer", "unoffered_tools"),
        ("get_weather", '{"city": 5}', "city: 5 is not of type 'string'", "invalid_tool_arguments"),
    ],
)
def test_raw_answers_are_held_against_the_tools_offered(
    make: Any, name: str, arguments: str, problem: str, rule: str, *, stream: bool
) -> None:
    """As a tool call of its own is, with the same words, and loosened by the same name."""
    fake, loose = FakeGateway(), FakeGateway()
    loose.allow(rule)
    for each in (fake, loose):
        each.reply(make(name, arguments))

    with pytest.raises(DishonestReply) as caught:
        Side(None).ask(fake, body(tools=TOOLS, stream=stream))
    answered = Side(None).ask(loose, body(tools=TOOLS, stream=stream))

    assert problem in str(caught.value)
    assert f"fake.allow({rule!r})" in str(caught.value)
    assert answered.status == 200
    assert name in answered.text


@raw
@streamed
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_raw_answers_that_keep_to_the_tools_are_given(make: Any, provider: str, *, stream: bool) -> None:
    """By any provider, streamed or not."""
    fake = FakeGateway()
    fake.reply(make("get_weather", '{"city": "Oslo"}'))
    asked = body(tools=TOOLS, stream=stream)
    if provider == "anthropic":
        asked |= {"model": "claude-sonnet-4-5", "max_tokens": 100}

    answered = Side(None).ask(fake, asked, provider=provider)

    assert answered.status == 200
    assert "get_weather" in answered.text


def test_raw_chunks_may_be_part_of_an_answer() -> None:
    """So they need not be in the format that was asked for, as a whole answer would."""
    fake = FakeGateway()
    choice = {"index": 0, "delta": {"role": "assistant", "content": '{"degr'}}
    fake.reply(chunks({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}))
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": schema}}

    answered = Side(None).ask(fake, body(stream=True, response_format=wanted))

    assert answered.said == '{"degr'
