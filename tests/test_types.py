"""Answers as models: every way of reading them, unknown fields, and what they become again."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from portkey_client import NOT_GIVEN, ChatCompletionChunk, ChatCompletions, GatewayInfo
from portkey_client import types as t
from tests.client_support import GATEWAY_HEADERS, completion

EXTRAS: dict[str, Any] = {
    **completion(
        message={
            "content_blocks": [{"type": "thinking", "thinking": "hm"}],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}", "strict": True}, "x": 1}
            ],
        }
    ),
    "usage": {"prompt_tokens": 1, "cache_read_input_tokens": 7, "prompt_tokens_details": {"image_tokens": 2}},
    "provider": "anthropic",
    "hook_results": {"before_request_hooks": []},
}


def answer(**fields: Any) -> ChatCompletions:
    """An answer as it is parsed from the wire."""
    return ChatCompletions.model_validate_json(json.dumps({**completion(), **fields}))


def test_unknown_fields_are_kept_and_written_back_at_every_level() -> None:
    """What came is what `to_dict` and `to_json` give, to the last field nobody declared."""
    parsed = ChatCompletions.model_validate_json(json.dumps(EXTRAS))

    assert EXTRAS == parsed.to_dict()
    assert EXTRAS == json.loads(parsed.to_json())
    assert "hm" == parsed.choices[0].message["content_blocks"][0]["thinking"]
    assert 7 == parsed["usage"].get("cache_read_input_tokens")


def test_anthropics_blocks_are_typed_but_no_field() -> None:
    """They are read like a field where they came, and appear nowhere where they did not: OpenAI would refuse a null."""
    with_blocks = ChatCompletions.model_validate_json(json.dumps(EXTRAS)).choices[0].message
    without = answer().choices[0].message
    chunk = ChatCompletionChunk.model_validate_json('{"choices": [{"delta": {"content_blocks": [{"index": 0}]}}]}')

    assert [{"type": "thinking", "thinking": "hm"}] == with_blocks.content_blocks == with_blocks.get("content_blocks")
    assert with_blocks.content_blocks == with_blocks.model_dump()["content_blocks"]
    assert without.content_blocks is None
    assert "content_blocks" not in without.model_dump()
    assert [{"index": 0}] == chunk.choices[0].delta.content_blocks


def test_the_provider_that_answered_is_a_field() -> None:
    """The gateway puts it beside the answer."""
    assert ("anthropic", None) == (ChatCompletions.model_validate(EXTRAS).provider, answer().provider)


def test_dumps_take_what_the_openai_sdks_take() -> None:
    """Unset fields are left out, nulls are kept, unless asked otherwise."""
    parsed = ChatCompletionChunk.model_validate_json('{"id": "1", "model": null}')

    assert {"id": "1", "model": None} == parsed.to_dict()
    assert {"id": "1"} == parsed.to_dict(exclude_none=True) == json.loads(parsed.to_json(exclude_none=True))
    assert parsed.model_dump(mode="json") == parsed.to_dict(exclude_unset=False)
    assert '{\n  "id"' == parsed.to_json(indent=2)[:8]


def test_three_ways_to_read_a_field() -> None:
    """Attribute, `["key"]` and `.get("key")` agree; an absent field is None, or the default."""
    choice = answer().choices[0]

    assert "stop" == choice.finish_reason == choice["finish_reason"] == choice.get("finish_reason")
    assert choice["absent"] is None
    assert "d" == choice.get("absent", "d")
    assert "d" == choice.get("logprobs", "d")


@pytest.mark.parametrize("value", [0, False, "", [], {}])
def test_falsy_values_are_values(value: Any) -> None:
    """`.get` gives a default only for what is not there."""
    assert value == answer(odd=value).get("odd", "default")
    assert 0 == answer().choices[0].get("index", "default")


def test_printing_changes_nothing() -> None:
    """`str()` is the JSON, and can be had twice."""
    parsed = answer()
    t.set_headers(parsed, GATEWAY_HEADERS)

    first = str(parsed)

    assert first == str(parsed)
    assert json.loads(first)["choices"][0]["message"]["content"] == "It is raining"
    assert '\n    "id"' in first
    assert "trace-1" == parsed.get_headers()["trace-id"]


@pytest.mark.parametrize(
    "clone",
    [
        lambda m: pickle.loads(pickle.dumps(m)),  # noqa: S301  # our own bytes
        copy.copy,
        copy.deepcopy,
        lambda m: m.model_copy(),
    ],
)
def test_copies_keep_everything(clone: Any) -> None:
    """A copy, also one that crossed a process, is equal and knows the gateway's facts."""
    parsed = ChatCompletions.model_validate_json(json.dumps(EXTRAS))
    t.set_headers(parsed, GATEWAY_HEADERS)

    twin = clone(parsed)

    assert parsed == twin
    assert "config.targets[1]" == twin.gateway.target


def test_an_answer_made_by_hand_has_no_gateway() -> None:
    """Test doubles build answers themselves; asking them for headers does no harm."""
    made = ChatCompletions(choices=[])

    assert GatewayInfo() == made.gateway
    assert {} == made.get_headers()


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (None, None),
        ("stop", "stop"),
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("tool_use", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("refusal", "content_filter"),
        ("overloaded_error", "error"),
        ("error", "error"),
        ("something new", "stop"),
    ],
)
def test_finish_reasons_have_one_word_beside_the_providers(reason: str | None, expected: str | None) -> None:
    """`finish_reason` is what came, `normalized_finish_reason` is OpenAI's word for it."""
    choice = t.Choice.model_validate({"message": {}, "finish_reason": reason})

    assert (reason, expected) == (choice.finish_reason, choice.normalized_finish_reason)
    assert expected == t.StreamChoice.model_validate({"finish_reason": reason}).normalized_finish_reason


def test_content_in_parts_is_text_and_keeps_its_parts() -> None:
    """A model that answers in parts is read like any other."""
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "It is "}, "raining"]
    content = answer(choices=[{"message": {"content": parts}}]).choices[0].message.content

    assert "It is raining" == content
    assert isinstance(content, t.TextParts)
    assert parts == content.parts


def test_content_in_parts_goes_back_as_it_came() -> None:
    """A conversation that is continued keeps what the model thought."""
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "It is raining"}]
    message = answer(choices=[{"message": {"role": "assistant", "content": parts}}]).choices[0].message

    for copy_of in (message, pickle.loads(pickle.dumps(message)), message.model_copy(deep=True)):  # noqa: S301  # as above
        assert parts == copy_of.model_dump()["content"]
        assert parts == json.loads(copy_of.model_dump_json())["content"]


def test_arguments_of_a_call_are_read_as_json() -> None:
    """What a model writes may be broken, and some servers leave it out or say null where a function takes nothing."""
    written = [
        t.Function(name="f", arguments=text).parsed_arguments
        for text in ('{"city": "Oslo"}', '{"city', "", "[" * 99_999)
    ]
    assert [{"city": "Oslo"}, None, None, None] == written
    for call in ({"name": "f"}, {"name": "f", "arguments": None}):
        assert "" == t.Function.model_validate(call).arguments


def test_a_call_of_a_custom_tool_goes_back_as_it_came() -> None:
    """OpenAI's custom tools have an input in place of a function."""
    call = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    custom = t.ToolCall.model_validate(call)

    assert ("", call["custom"]) == (custom.function.name, custom["custom"])
    assert call == custom.to_dict()


def test_a_chunk_needs_next_to_nothing() -> None:
    """Providers leave out what they like: a usage chunk has no choices, a delta may be absent."""
    assert [] == ChatCompletionChunk.model_validate_json('{"usage": {"total_tokens": 3}}').choices
    assert ChatCompletionChunk.model_validate_json('{"choices": [{}]}').choices[0].delta.content is None


def test_not_given_is_falsy_and_says_its_name() -> None:
    """The marker reads well in signatures."""
    assert (False, "NOT_GIVEN") == (bool(NOT_GIVEN), repr(NOT_GIVEN))
