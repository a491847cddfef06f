"""How an answer is cut into pieces, spread over time and carried in bytes."""

from __future__ import annotations

import json
import tracemalloc
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_testing import FakeGateway, _synth, reasoning, refusal, replies, text, tool_call
from portkey_testing._synth import Piece, split
from portkey_testing.replies import CHUNKINGS, By
from tests.fake_support import SYNC, URL, Answer, Side, body, headers, sides

SENTENCE = "Blåbærsyltetøy 🫐 i Oslo, 21 °C, ikke sant?"


def streamed(side: Side = SYNC, said: str = SENTENCE, **pace: Any) -> tuple[Answer, FakeGateway]:
    """A streamed answer of that pace."""
    fake = FakeGateway()
    fake.reply(text(said).streamed(**pace))
    answer = side.ask(fake, body(stream=True))
    fake.verify()
    return answer, fake


def pieces(answer: Answer) -> list[str]:
    """The content of each chunk that has some."""
    found = [c["choices"][0]["delta"].get("content") for c in answer.chunks]
    return [piece for piece in found if piece]


@given(said=st.text(), by=st.one_of(st.sampled_from(CHUNKINGS), st.integers(1, 20)))
def test_pieces_make_up_the_text(said: str, by: By) -> None:
    """However a text is cut, nothing is lost, added or empty."""
    found = list(split(said, by, Random(0)))

    assert said == "".join(found)
    assert all(found)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("word", ["It", " is", " raining"]),
        ("char", list("It is raining")),
        ("token", ["It", " is", " rain", "ing"]),
        ("whole", ["It is raining"]),
        (5, ["It is", " rain", "ing"]),
        (["It is ra", "ining"], ["It is ra", "ining"]),
    ],
)
def test_a_text_is_cut_as_asked(by: Any, expected: list[str]) -> None:
    """Each policy has its pieces, one to a chunk."""
    answer, _ = streamed(said="It is raining", by=by)

    assert expected == pieces(answer)


@pytest.mark.parametrize("asked", [{}, {"n": 2}, {"logprobs": True}], ids=str)
def test_an_answer_without_a_piece_takes_as_long_as_the_first_one_would(asked: dict[str, Any]) -> None:
    """An empty answer is not quicker than another, whatever is asked for with it."""
    fake = FakeGateway()
    fake.reply(text("").streamed(ttft=1.5))

    SYNC.ask(fake, body(stream=True, **asked))

    assert 1.5 == fake.clock.now


def test_random_pieces_come_from_the_seed() -> None:
    """The same seed cuts alike, another one differently."""
    found = []
    for seed in (1, 1, 2):
        fake = FakeGateway(seed=seed)
        fake.reply(text(SENTENCE * 3).streamed(by="random"))
        found.append(pieces(SYNC.ask(fake, body(stream=True))))

    assert found[0] == found[1] != found[2]
    assert SENTENCE * 3 == "".join(found[2])


def test_the_chunks_of_a_stream_are_in_order() -> None:
    """Role first, finish reason last, then the usage if it was asked for, then [DONE]."""
    fake = FakeGateway()
    fake.always("It is")

    plain, counted = SYNC.ask_all(fake, [body(stream=True), body(stream=True, stream_options={"include_usage": True})])

    deltas = [c["choices"][0] for c in plain.chunks]
    assert {"role": "assistant", "content": "", "refusal": None} == deltas[0]["delta"]
    assert [None, None, None, "stop"] == [choice["finish_reason"] for choice in deltas]
    assert "[DONE]" == plain.events[-1] == counted.events[-1]
    assert not any("usage" in c for c in plain.chunks)
    assert [] == counted.chunks[-1]["choices"]
    assert counted.chunks[-1]["usage"]["total_tokens"] > 0
    assert all(c["usage"] is None for c in counted.chunks[:-1])
    assert 1 == len({(c["id"], c["created"], c["model"]) for c in plain.chunks})


@sides
@pytest.mark.parametrize("reads", [1, 2, 3, 7, 64, 10_000, "random"])
def test_bytes_may_be_cut_anywhere(side: Side, reads: Any) -> None:
    """Within a character, within a line, with several events in a read: the events are the same."""
    answer, _ = streamed(side, reads=reads)

    assert SENTENCE == answer.said
    assert "[DONE]" == answer.events[-1]


def test_reads_have_the_size_that_was_asked_for() -> None:
    """All but the last one."""
    fake = FakeGateway()
    fake.reply(text(SENTENCE).streamed(reads=50))
    with (
        httpx.Client(transport=fake.transport()) as client,
        client.stream(
            "POST", "http://x/v1/chat/completions", json=body(stream=True), headers={"x-portkey-provider": "openai"}
        ) as response,
    ):
        sizes = [len(piece) for piece in response.iter_raw()]

    assert {50} == set(sizes[:-1])
    assert sizes[-1] <= 50


def test_a_pause_ends_a_read() -> None:
    """What has come by then is there, however large a read might be."""
    fake = FakeGateway()
    fake.reply(text("It is raining").streamed(reads=10_000, ttft=1, tps=1))
    with (
        httpx.Client(transport=fake.transport()) as client,
        client.stream("POST", URL, json=body(stream=True), headers=headers()) as response,
    ):
        times = [fake.clock.now for _ in response.iter_raw()]

    assert [1.0, 2.0, 3.0] == times


def test_comments_stand_between_events() -> None:
    """A decoder must pass them over."""
    answer, _ = streamed(comments=True)

    assert SENTENCE == answer.said
    assert answer.text.count(": keep-alive\n\n") == len(answer.events)


def test_keep_alives_come_while_nothing_else_does() -> None:
    """One for every so many seconds of silence, and the time is the same."""
    answer, fake = streamed(ttft=10, keepalive=3)

    assert 3 == answer.text.count(": keep-alive")
    assert 10.0 == fake.clock.now


@sides
def test_a_pace_takes_its_time_on_the_clock(side: Side) -> None:
    """The first piece after `ttft`, then `tps` pieces a second."""
    _, fake = streamed(side, said="one two three four five", ttft=2.0, tps=4)

    assert 3.0 == fake.clock.now


def test_jitter_stays_within_its_share_and_comes_from_the_seed() -> None:
    """The same run takes the same time."""
    times = {streamed(said="a b c d e f", tps=1, jitter=0.2)[1].clock.now for _ in range(3)}

    assert 1 == len(times)
    assert 4.0 < times.pop() < 6.0


def test_json_comes_in_pieces_although_it_has_no_blanks() -> None:
    """Who reads structured output while it arrives has something to read, as from a model."""
    answer, _ = streamed(said='{"city":"Oslo","degrees":21}')

    assert ['{"', "city", '":"', "Oslo", '","', "degrees", '":', "21", "}"] == pieces(answer)


@pytest.mark.parametrize("by", ["char", "whole", 3])
def test_tool_arguments_are_cut_like_text(by: Any) -> None:
    """The fragments add up to the arguments."""
    fake = FakeGateway()
    fake.allow("unoffered_tools")
    fake.reply(tool_call("f", city="Tromsø").streamed(by=by))

    chunks = SYNC.ask(fake, body(stream=True)).chunks

    calls = [c["choices"][0]["delta"]["tool_calls"][0] for c in chunks if "tool_calls" in c["choices"][0]["delta"]]
    assert {"city": "Tromsø"} == json.loads("".join(call["function"]["arguments"] for call in calls))


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_call_with_nothing_in_it_is_still_a_call(provider: str) -> None:
    """As models make it of tools without parameters."""
    fake = FakeGateway()
    fake.allow("unoffered_tools")
    fake.reply(tool_call("f", raw="", call_id="call_1"))
    asked = {"model": "claude-sonnet-4-5", "max_tokens": 9} if provider == "anthropic" else {}

    chunks = SYNC.ask(fake, body(stream=True, **asked), provider=provider).chunks

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    assert ["call_1"] == [call["id"] for call in calls if call.get("id")]
    assert "" == "".join(call["function"].get("arguments", "") for call in calls)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (text("ab").streamed(by=["a", "b"]), ["a", "b"]),
        (("ab" + text("cd")).streamed(by=["a", "bc", "d"]), ["a", "b", "c", "d"]),
        (text("ab").streamed(by=["a", "b"]) + tool_call("f", raw="{}"), ["a", "b", "{}"]),
        (refusal("No.").streamed(by=["N", "o."]), ["N", "o."]),
        (tool_call("f", raw='{"a":1}').streamed(by=['{"', 'a":1}']), ['{"', 'a":1}']),
        ((reasoning("a b") + "cd").streamed(by=["c", "d"]), ["a", " b", "c", "d"]),
    ],
)
def test_given_pieces_are_those_of_what_is_said(answer: replies.Answer, expected: list[str]) -> None:
    """Of the text, part after part; of anything else only where there is no text."""
    assert expected == [piece.text for piece in _synth.pieces(answer, Random(0)) if isinstance(piece, Piece)]


def test_a_long_stream_takes_no_more_memory_than_a_short_one() -> None:
    """Chunks are made as they are read, and neither the fake nor its journal keeps them."""

    def peak(chunks: int) -> int:
        fake = FakeGateway()
        fake.reply(text("x" * chunks).streamed(by="char"))
        with httpx.Client(transport=fake.transport()) as client:
            tracemalloc.start()
            with client.stream("POST", URL, json=body(stream=True), headers=headers()) as response:
                assert chunks < sum(1 for _ in response.iter_raw())
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    peak(100)
    short, long = peak(1_000), peak(20_000)

    # A pointer to each chunk would be eight bytes more.
    assert long - short < 4 * 19_000


def test_an_empty_answer_is_a_whole_stream() -> None:
    """It has a role, a finish reason and an end."""
    answer, _ = streamed(said="")

    assert ["", None] == [c["choices"][0]["delta"].get("content") for c in answer.chunks]
    assert "[DONE]" == answer.events[-1]


@sides
def test_a_cut_comes_after_so_many_content_chunks(side: Side) -> None:
    """The client sees a stream that ends without a finish reason."""
    fake = FakeGateway()
    fake.reply(text("It is raining cats and dogs").cut(chunks=3))

    answer = side.ask(fake, body(stream=True))

    assert ("It is raining", None) == (answer.said, answer.error)
    assert fake.last.broke_off
