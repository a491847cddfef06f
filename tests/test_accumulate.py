"""Chunks folded into the completion they amount to."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from portkey_client import _accumulate as module
from portkey_client._accumulate import Accumulator
from tests.client_support import chunk


def folded(*chunks: dict[str, Any]) -> dict[str, Any]:
    """The completion of these chunks."""
    accumulator = Accumulator()
    for piece in chunks:
        accumulator.add(json.dumps(piece).encode())
    return accumulator.completion().to_dict()


def message(*deltas: dict[str, Any]) -> dict[str, Any]:
    """The message of one choice with these deltas."""
    result: dict[str, Any] = folded(*[chunk(**delta) for delta in deltas])["choices"][0]["message"]
    return result


def test_text_is_joined_and_the_top_level_kept() -> None:
    """Id, model and usage are where a whole answer has them."""
    usage = {"choices": [], "usage": {"total_tokens": 3, "cost": 0.1}}

    assert {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is raining"}}
        ],
        "usage": {"total_tokens": 3, "cost": 0.1},
    } == folded(chunk("", role="assistant"), chunk("It is"), chunk(" raining"), chunk(finish="stop"), usage)


def test_interleaved_tool_calls_are_told_apart_by_index() -> None:
    """Arguments grow piece by piece, names and ids come once, and no index is left in the message."""
    calls = message(
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": '{"y"'}}]},
        {
            "tool_calls": [
                {"index": 0, "function": {"arguments": '{"x"'}},
                {"index": 1, "function": {"arguments": ":2}"}},
            ]
        },
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ":1}"}}]},
    )["tool_calls"]

    assert [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"y":2}'}},
    ] == calls


def test_tool_calls_without_an_index_go_by_their_ids() -> None:
    """Some servers number nothing: a new id begins a new call."""
    calls = message(
        {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]},
        {"tool_calls": [{"function": {"arguments": "}"}}]},
        {"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "[]"}}]},
    )["tool_calls"]

    assert [("a", "f", "{}"), ("b", "g", "[]")] == [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls
    ]


def test_half_a_tool_call_is_a_tool_call() -> None:
    """What had arrived of a cut stream can be read, whatever is missing."""
    calls = message({"tool_calls": [{"index": 0, "id": "a"}]})["tool_calls"]

    assert [{"id": "a", "function": {"name": "", "arguments": ""}}] == calls


def test_refusals_reasoning_and_unknown_fields_grow_too() -> None:
    """Texts are joined whatever they are called, lists go by their items' index or grow at the end."""
    assert {
        "role": "assistant",
        "content": None,
        "refusal": "I cannot",
        "reasoning_content": "hm, yes",
        "content_blocks": [{"index": 0, "delta": {"thinking": "ab"}}],
        "annotations": [{"type": "url_citation"}, {"type": "url_citation"}],
        "score": 2,
    } == message(
        {"role": "assistant", "refusal": "I can", "reasoning_content": "hm", "score": 1},
        {"refusal": "not", "reasoning_content": ", yes", "score": 2},
        {"content_blocks": [{"index": 0, "delta": {"thinking": "a"}}], "annotations": [{"type": "url_citation"}]},
        {"content_blocks": [{"index": 0, "delta": {"thinking": "b"}}], "annotations": [{"type": "url_citation"}]},
    )


def test_several_choices_come_out_in_order() -> None:
    """`n` answers, however they interleave, each with its own finish reason and log probabilities."""
    logprobs = {"content": [{"token": "b", "logprob": -0.5}]}
    second = chunk("b", index=1)
    second["choices"][0]["logprobs"] = logprobs

    choices = folded(second, chunk("a"), second, chunk(finish="stop"), chunk(index=1, finish="length"))["choices"]

    assert [(0, "a", "stop"), (1, "bb", "length")] == [
        (choice["index"], choice["message"]["content"], choice["finish_reason"]) for choice in choices
    ]
    assert {"content": logprobs["content"] * 2} == choices[1]["logprobs"]


def test_an_early_chunk_without_a_model_does_not_name_the_answer() -> None:
    """Azure's first chunk is about the prompt: empty id and model, but a field of its own."""
    first = {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}

    answer = folded(first, chunk("hi"))

    assert ("chatcmpl-1", "m") == (answer["id"], answer["model"])
    assert [{"prompt_index": 0}] == answer["prompt_filter_results"]


def test_asking_in_between_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The completion can be had after every chunk, in batches of any size, and is never shared with the last one."""
    source = random.Random(0)
    words = [source.choice("abcdef") for _ in range(50)]
    for batch in (1, 3, 1000):
        monkeypatch.setattr(module, "_BATCH", batch)
        accumulator = Accumulator()
        for count, word in enumerate(words, 1):
            accumulator.add(json.dumps(chunk(word)).encode())
            if count % 7 == 0:
                assert "".join(words[:count]) == accumulator.completion().choices[0].message.content
        assert "".join(words) == accumulator.completion().choices[0].message.content


def test_it_knows_what_is_unfinished() -> None:
    """Choices seen, less those with a finish reason; an empty one is none."""
    accumulator = Accumulator()
    assert (True, []) == (accumulator.empty, accumulator.unfinished)

    accumulator.add(json.dumps(chunk("b", index=2)).encode())
    accumulator.add(json.dumps(chunk("a", finish="")).encode())
    assert (False, [0, 2]) == (accumulator.empty, accumulator.unfinished)

    accumulator.add(json.dumps(chunk(finish="stop")).encode())
    assert [2] == accumulator.unfinished


def test_parts_and_plain_text_are_one_content() -> None:
    """Mistral's reasoning models think in parts and answer in text; neither takes the other's place."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}

    assert [thinking, {"type": "text", "text": "It is raining"}] == message(
        {"content": ""}, {"content": [thinking]}, {"content": "It is"}, {"content": " raining"}
    )["content"]
    assert [{"type": "text", "text": "It is"}, thinking] == message({"content": "It is"}, {"content": [thinking]})[
        "content"
    ]


def test_a_call_of_a_custom_tool_has_its_input() -> None:
    """OpenAI's custom tools take text in place of a function's arguments."""
    start = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sql", "input": "select"}}

    assert [{"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}] == message(
        {"tool_calls": [start]}, {"tool_calls": [{"index": 0, "custom": {"input": " 1"}}]}
    )["tool_calls"]
