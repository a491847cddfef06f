"""Streams as lines: readable, and exact to the byte and to the read."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_client._sse import SSEDecoder
from portkey_testing.cassettes import EventStream, Interaction, RecordedRequest, RecordedResponse, codec, events
from tests.cassettes.support import DONE, TOOL_CALL, chunk

_texts = st.text(st.one_of(st.characters(), st.sampled_from('\u2028\x85\x7f\n\r\t "\\😀')), max_size=6)
_names = st.sampled_from(["role", "content", "id", "index", "tool_calls", "delta", "choices", "x"])
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_names, inner, max_size=3)),
    max_leaves=6,
)
_deltas = st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "id"]), _json, max_size=3)
_choices = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 1),
        "delta": st.one_of(_deltas, _json),
        "logprobs": _json,
        "finish_reason": st.one_of(st.none(), _texts),
    },
)
_chunks = st.fixed_dictionaries(
    {"id": st.just("c1")},
    optional={
        "object": st.just("o"),
        "choices": st.one_of(st.lists(_choices, max_size=2), _json),
        "usage": _json,
        "finish_reason": _json,
    },
)
_SPELLINGS: list[dict[str, Any]] = [
    {"separators": (",", ":"), "ensure_ascii": False},
    {"separators": (",", ":")},
    {},
    {"indent": 1},
]
_pieces = st.one_of(
    st.builds(
        lambda value, how: b"data: " + json.dumps(value, **how).encode("utf-8", "surrogatepass") + b"\n\n",
        st.one_of(_chunks, _chunks, _json),
        st.sampled_from(_SPELLINGS),
    ),
    st.sampled_from([DONE, b": ping\n\n", b"data:x\r\n\r\n", b"event: a\ndata: {}\n\n", b"\n", b"data: half"]),
    st.binary(max_size=8),
    _texts.map(lambda text: b"data: " + text.encode("utf-8", "surrogatepass") + b"\n\n"),
)


@given(st.lists(_pieces, max_size=6), st.data())
def test_every_stream_comes_back_to_the_byte_and_to_the_read(pieces: list[bytes], data: st.DataObject) -> None:
    """Whatever bytes came in whatever reads, the file gives back the same bytes in the same reads at the same times."""
    whole = b"".join(pieces)
    inner = data.draw(st.sets(st.integers(0, len(whole)), max_size=5))
    cuts = sorted({0, len(whole)} | inner)
    gaps = data.draw(st.lists(st.integers(0, 5), min_size=len(cuts), max_size=len(cuts)))
    reads = [(sum(gaps[: place + 1]), whole[start:end]) for place, (start, end) in enumerate(pairwise(cuts))]
    response = RecordedResponse(200, body=events.pack(reads))
    text = codec.encode_interaction(Interaction(RecordedRequest("GET", "/"), response))
    document = codec.Document(text, 2, 1)
    read_back = codec.decode_interaction(document).response

    assert isinstance(read_back, RecordedResponse)
    assert isinstance(read_back.body, EventStream)
    assert reads == codec.reads_of(document, read_back.body)


def test_the_lines_of_a_tool_call_are_its_deltas() -> None:
    """A usual stream is one short line per event, its envelope said once, and the message assembled for the reader."""
    stream = events.pack([(312 + 10 * place, piece) for place, piece in enumerate(TOOL_CALL)])

    assert (
        '312 {"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function",'
        '"function":{"name":"get_weather","arguments":""}}]}}\n'
        '322 {"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"city\\":"}}]}}\n'
        '332 {"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\"Tromsø\\"}"}}]}}\n'
        '342 {"delta":{},"finish_reason":"tool_calls"}\n'
        "352 [DONE]\n"
    ) == stream.lines
    assert {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Tromsø"}'},
            }
        ],
    } == stream.message


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (
            [chunk({"content": "a"}) + chunk({"content": "b"})],
            ['0 {"delta":{"content":"a"}}', '+ {"delta":{"content":"b"}}'],
        ),
        ([chunk({"content": "a"})[:9], chunk({"content": "a"})[9:]], ['0/9:10 {"delta":{"content":"a"}}']),
        ([b": keep-alive\n\n"], ['0 ": keep-alive\\n\\n"']),
        ([b"data: oops\n\n"], ["0 =oops"]),
        ([b"data:  x \n\n"], ['0 "data:  x \\n\\n"']),
        ([b'event: ping\ndata: {"a":1}\n\n'], ['0 @ping {"a":1}']),
        ([b"data: \xff\n\n"], ["0 %ZGF0YTog/woK"]),
        ([b"data: a\r\n\r\n"], ['0 "data: a\\r\\n\\r\\n"']),
        ([chunk({"content": "\u2028"})], ['0 {"delta":{"content":"\\u2028"}}']),
        ([chunk({}), b'data: {"cut'], ['0 {"delta":{}}', '10 "data: {\\"cut"']),
        ([chunk({}), chunk({}, choices=[], usage={"n": 1})], ['0 {"delta":{}}', '10 {"choices":[],"usage":{"n":1}}']),
        (
            [chunk({}, obfuscation="a"), chunk({}, obfuscation="b")],
            ['0 {"delta":{}}', '10 {"delta":{},"obfuscation":"b"}'],
        ),
    ],
)
def test_each_kind_of_event_has_its_form(pieces: list[bytes], lines: list[str]) -> None:
    """What is no plain chunk falls back to a form that a person can still read."""
    assert lines == events.pack([(10 * place, piece) for place, piece in enumerate(pieces)]).lines.splitlines()


@pytest.mark.parametrize("options", [{}, {"separators": (",", ":")}])
def test_the_spelling_of_python_servers_is_compact_too(options: dict[str, Any]) -> None:
    """Servers that write JSON with blanks or with escapes get the short lines as well."""
    value = json.loads(chunk({"content": "é"})[6:])
    stream = events.pack([(1, b"data: " + json.dumps(value, **options).encode() + b"\n\n")])

    assert '1 {"delta":{"content":"é"}}\n' == stream.lines


def test_the_bytes_are_what_a_decoder_of_the_standard_reads() -> None:
    """The client's own decoder sees the recorded events in what is unpacked."""
    stream = events.pack([(0, b"".join(TOOL_CALL))])
    decoder = SSEDecoder()
    read = [event.data for _, data in events.unpack(stream) for event in decoder.feed(data)]

    assert [piece.decode()[6:-2] for piece in TOOL_CALL] == read


@pytest.mark.parametrize(
    ("lines", "problem", "number"),
    [
        ("nonsense\n", "milliseconds", 1),
        ('0 {"delta":{}}\n1 {"delta":\n', "not JSON", 2),
        ("0 {\n", "not JSON", 1),
        ('0 {},{"a":1}\n', "not JSON", 1),
        ("0 what\n", "starts with one of", 1),
        ("+ [DONE]\n", "there is none", 1),
        ("5 [DONE]\n4 [DONE]\n", "comes after", 2),
        ("5/3:4 [DONE]\n", "comes after", 1),
        ("5/99:6 [DONE]\n", "cannot be split", 1),
        ("0 %@@@\n", "base64", 1),
        ('0 "\\ud800"\n', "surrogate", 1),
        ('0 {"delta":{"content":"other"}}\n', "add up to", 0),
    ],
)
def test_damaged_lines_are_refused(lines: str, problem: str, number: int) -> None:
    """A line that is none of the forms, or that contradicts the message, is an error with its number."""
    good = events.pack([(0, chunk({"content": "Hello"}))])

    with pytest.raises(events.EventLineError, match=problem) as caught:
        events.unpack(EventStream(lines, good.envelope, good.spelling, good.message))

    assert number == caught.value.number


def test_the_halves_of_a_character_are_joined_for_the_reader() -> None:
    """An emoji that was cut into two surrogates between two events is whole in the message."""
    halves = [
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ude00"}}]}\n\n',
    ]
    stream = events.pack(list(enumerate(halves)))

    assert {"content": "😀"} == stream.message
    assert list(enumerate(halves)) == events.unpack(stream)


def test_several_choices_give_several_messages() -> None:
    """With n > 1 the messages stand side by side, in the order of their index."""
    stream = events.pack(
        [
            (0, chunk({"content": text}, choices=[{"index": index, "delta": {"content": text}}]))
            for index, text in ((1, "b"), (0, "a"))
        ]
    )

    assert [{"content": "a"}, {"content": "b"}] == stream.message
