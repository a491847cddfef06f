"""Chunks as the bytes of an event stream."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_testing._encode import DONE, Envelope, compact, event

ENVELOPE = Envelope("chatcmpl-1", 7, "gpt-4o", {"system_fingerprint": "fp"})
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def data_of(written: bytes) -> str:
    """The data of one event, which must be one line."""
    text = written.decode()
    assert text.startswith("data: ")
    assert text.endswith("\n\n")
    assert "\n" not in text[:-2]
    return text[6:-2]


@given(piece=TEXTS)
def test_a_piece_of_text_is_one_event(piece: str) -> None:
    """Whatever the text holds, it stays in one line and is the text again."""
    chunk = json.loads(data_of(ENVELOPE.text(piece)))

    assert {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "gpt-4o",
    }.items() <= chunk.items()
    assert [{"index": 0, "delta": {"content": piece}, "logprobs": None, "finish_reason": None}] == chunk["choices"]


@pytest.mark.parametrize("text", ["a\ud83d", "\udc4d\u00e9", "\u00e9\n\U0001f44d"])
def test_half_a_surrogate_pair_is_escaped(text: str) -> None:
    """A model that is cut off within an emoji sends one, and no encoding of text has it."""
    assert {"a": text} == json.loads(compact({"a": text}).encode())


@given(pieces=st.lists(TEXTS, max_size=5))
def test_pieces_in_a_row_are_the_same_events(pieces: list[str]) -> None:
    """The quick way writes what the plain one does; only the first waits."""
    frames = list(ENVELOPE.texts(1.5, pieces))

    assert [ENVELOPE.text(piece) for piece in pieces] == [frame.data for frame in frames]
    assert [1.5, *[0.0] * len(pieces)][: len(pieces)] == [frame.gap for frame in frames]


@pytest.mark.parametrize("counts", [True, False])
def test_every_chunk_says_that_the_usage_comes_later(counts: bool) -> None:
    """If it was asked for, and only then."""
    envelope = Envelope("c", 1, "m", usage=counts)

    for written in (envelope.text("a"), envelope.delta({}, "stop")):
        assert counts == ("usage" in json.loads(data_of(written)))


def test_a_delta_has_its_choice_and_its_reason() -> None:
    """Index, log probabilities and finish reason."""
    chunk = json.loads(data_of(ENVELOPE.delta({"content": "a"}, "stop", index=2, logprobs={"content": []})))

    assert [{"index": 2, "delta": {"content": "a"}, "logprobs": {"content": []}, "finish_reason": "stop"}] == chunk[
        "choices"
    ]


def test_the_usage_has_no_choices() -> None:
    """It comes last."""
    chunk = json.loads(data_of(ENVELOPE.usage({"total_tokens": 3})))

    assert ([], {"total_tokens": 3}) == (chunk["choices"], chunk["usage"])


def test_events_may_have_names() -> None:
    """As Anthropic's do."""
    assert b"event: ping\ndata: {}\n\n" == event("{}", "ping")
    assert b"data: [DONE]\n\n" == DONE


def test_json_is_compact_and_keeps_its_characters() -> None:
    """As JavaScript writes it."""
    assert '{"a":[1,"ø"]}' == compact({"a": [1, "ø"]})
