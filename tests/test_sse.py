"""The SSE decoder against hand-written cases, and against a plain reading of the standard, in every chunking."""

from __future__ import annotations

import copy
import random
import re
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_client._sse import ServerSentEvent, SSEDecoder

CASES = Path(__file__).parent / "data" / "sse_cases.yaml"


@cache
def cases() -> dict[str, dict[str, Any]]:
    """The hand-written cases by name; the file's header explains the format."""
    document = yaml.load(CASES.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return {case["name"]: case for case in document["cases"]}


def content(value: Any) -> bytes:
    """The bytes a read or an expected text of a case stands for."""
    match value:
        case str():
            return value.encode()
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"repeat": text, "times": times}:
            return content(text) * int(times)
        case {"join": parts}:
            return b"".join(map(content, parts))
        case _:
            raise ValueError(f"expected a string, hex, repeat or join, not {value!r}")


def reads_of(case: dict[str, Any]) -> list[bytes]:
    """The reads of a case as they are written down."""
    return [
        content(chunk)
        for chunk in case["chunks"]
        for _ in range(chunk.get("count", 1) if isinstance(chunk, dict) else 1)
    ]


def pieces(stream: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    """The stream in reads of these sizes."""
    start = 0
    while start < len(stream):
        size = next(sizes)
        yield stream[start : start + size]
        start += size


def every(size: int) -> Iterator[int]:
    """The same size for ever."""
    while True:
        yield size


def irregular(seed: int) -> Iterator[int]:
    """Sizes from none to nine bytes, always in the same order for one seed."""
    rng = random.Random(seed)
    while True:
        yield rng.randrange(10)


CHUNKINGS: dict[str, Callable[[list[bytes]], Iterable[bytes]]] = {
    "as written": lambda reads: reads,
    "empty reads between": lambda reads: (part for read in reads for part in (b"", read, b"", b"")),
    "whole": lambda reads: [b"".join(reads)],
    "one byte": lambda reads: pieces(b"".join(reads), every(1)),
    "one byte, empty reads between": lambda reads: (
        part for byte in pieces(b"".join(reads), every(1)) for part in (byte, b"")
    ),
    "two bytes": lambda reads: pieces(b"".join(reads), every(2)),
    "three bytes": lambda reads: pieces(b"".join(reads), every(3)),
    "irregular": lambda reads: pieces(b"".join(reads), irregular(seed=1)),
}
AS_WRITTEN = ("as written", "empty reads between")


def decoded(reads: Iterable[bytes], decoder: SSEDecoder | None = None) -> list[ServerSentEvent]:
    """All events of an input given in these reads."""
    decoder = decoder or SSEDecoder()
    events = [event for read in reads for event in decoder.feed(read)]
    return events + decoder.flush()


def event(data: str, *, event: str = "message", id: str = "", retry: int | None = None) -> ServerSentEvent:
    """An event as a test wants to write it down."""
    return ServerSentEvent(data.encode(), event, id, retry)


def by_the_standard(stream: bytes) -> list[ServerSentEvent]:
    """Sections 9.2.5 and 9.2.6 word by word, on a whole input: slow, and independent of the decoder."""
    text = stream.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    *lines, _unfinished = re.split("\r\n|\n|\r", text)
    events = []
    data_buffer = event_type_buffer = last_event_id_buffer = ""
    reconnection_time = None
    for line in lines:
        if line == "":
            if data_buffer:
                type_ = event_type_buffer or "message"
                events.append(event(data_buffer[:-1], event=type_, id=last_event_id_buffer, retry=reconnection_time))
            data_buffer = event_type_buffer = ""
        elif not line.startswith(":"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data_buffer += value + "\n"
            elif field == "event":
                event_type_buffer = value
            elif field == "id" and "\0" not in value:
                last_event_id_buffer = value
            elif field == "retry" and re.fullmatch("[0-9]+", value):
                reconnection_time = int(value)
    return events


@pytest.mark.parametrize(
    ("name", "chunking"),
    [
        (name, chunking)
        for name, case in cases().items()
        for chunking in (CHUNKINGS if case.get("resplit", True) else AS_WRITTEN)
    ],
)
def test_hand_written_case(name: str, chunking: str) -> None:
    """Each case gives the events and the reconnection time the standard demands, however it is cut."""
    case = cases()[name]
    decoder = SSEDecoder()

    events = decoded(CHUNKINGS[chunking](reads_of(case)), decoder)

    expected = [(each["event"], content(each["data"]).decode(), each["id"]) for each in case["events"]]
    assert expected == [(each.event, each.data, each.id) for each in events]
    assert case.get("retry", decoder.retry) == decoder.retry


FIELDS = [b"data: ", b"data:", b"data", b"event: ", b"id: ", b"id", b"retry: ", b"retry:12", b":", b" ", b"7", b"\0"]
LINE_ENDS = [b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n"]
NO_LINE_ENDS = ["\N{LINE SEPARATOR}".encode(), "\N{NEXT LINE}".encode(), b"\x0b", b"\x0c", b"\x1c", b"\x85"]
WHOLE_EVENTS = [b'data: {"a":1}\n\n', b"data: a\r\n\r\n", b"data: \xc3\xa9\n\n"]
BROKEN_UTF8 = [b"\xc3", b"\xa9", b"\xf0\x9f", b"\x98\x80", b"\xff", b"\xed\xa0\x80", b"\xc0\x8a"]
MARKS = [b"\xef\xbb\xbf", b"\xef\xbb"]
FRAGMENTS = st.sampled_from([*FIELDS, *LINE_ENDS, *NO_LINE_ENDS, *WHOLE_EVENTS, *BROKEN_UTF8, *MARKS])
READS = st.lists(st.lists(FRAGMENTS, max_size=8).map(b"".join) | st.binary(max_size=6), max_size=12)


@settings(deadline=None)  # the time of one example says nothing on a shared machine
@given(reads=READS)
def test_every_read_gives_what_the_standard_gives_for_the_input_so_far(reads: list[bytes]) -> None:
    """Whatever the bytes and the reads, no event is lost, added, changed or given later than it is complete."""
    decoder = SSEDecoder()

    events: list[ServerSentEvent] = []
    for read, so_far in zip(reads, accumulate(reads), strict=True):
        events += decoder.feed(read)

        assert by_the_standard(so_far) == events
    assert [] == decoder.flush()


@settings(deadline=None)  # the time of one example says nothing on a shared machine
@given(stream=READS.map(b"".join), sizes=st.lists(st.integers(0, 9), min_size=1).filter(any))
def test_the_cut_of_the_reads_does_not_matter(stream: bytes, sizes: list[int]) -> None:
    """Cut anywhere, also inside a character or a line end, an input gives the events it gives as a whole."""

    def for_ever() -> Iterator[int]:
        while True:
            yield from sizes

    assert by_the_standard(stream) == decoded([stream]) == decoded(pieces(stream, for_ever()))


@settings(deadline=None)  # the time of one example says nothing on a shared machine
@given(reads=READS)
def test_pending_is_what_a_blank_line_would_complete(reads: list[bytes]) -> None:
    """The pending event is the one that two further line feeds bring, and looking at it changes nothing."""
    decoder = SSEDecoder()
    stream = b"".join(reads)
    for read in reads:
        decoder.feed(read)

    completed = by_the_standard(stream + b"\n\n")[len(by_the_standard(stream)) :]
    assert completed == ([decoder.pending] if decoder.pending else [])
    assert completed == decoder.feed(b"\n\n")


@settings(deadline=None)  # the time of one example says nothing on a shared machine
@given(reads=READS)
def test_an_idle_decoder_holds_nothing_over(reads: list[bytes]) -> None:
    """While `idle`, a read of whole plain events is just those events, whatever came before."""
    decoder = SSEDecoder()
    for read in reads:
        decoder.feed(read)
        if decoder.idle:
            first, second = copy.deepcopy(decoder).feed(b"data: 1\n\ndata: 2\n\n")

            assert (b"1", b"2") == (first.raw, second.raw)
            assert ("message", "message") == (first.event, second.event)
            assert decoder.pending is None


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (b"", False),
        (b": a comment\n", True),
        (b"data: x\n\n", True),
        (b"data: x\r\n\r\n", True),
        (b"data: x\n\nda", False),
        (b"data: x\n", False),
        (b"event: x\n", False),
        (b"data: x\r\r", False),
    ],
)
def test_a_decoder_is_idle_between_events(read: bytes, *, expected: bool) -> None:
    """Not before the first line is over, not within an event, and not where half of a line end may be to come."""
    decoder = SSEDecoder()
    decoder.feed(read)

    assert expected == decoder.idle


@pytest.mark.parametrize(
    ("unfinished", "expected"),
    [
        (b"", None),
        (b"event: error\n", None),
        (b": half a comm", None),
        (b"dat", None),
        (b"data: [DONE]", event("[DONE]")),
        (b"data: [DONE]\n", event("[DONE]")),
        (b"data: [DONE]\r\n", event("[DONE]")),
        (b'event: error\ndata: {"error":\ndata: {"mess', event('{"error":\n{"mess', event="error")),
    ],
)
def test_an_unfinished_event_is_pending_until_the_input_ends(
    unfinished: bytes, expected: ServerSentEvent | None
) -> None:
    """What the standard discards at the end can be seen before, and leaves no trace after."""
    decoder = SSEDecoder()

    assert [event("whole")] == decoder.feed(b"data: whole\n\n" + unfinished)
    assert expected == decoder.pending
    assert [] == decoder.flush()
    assert None is decoder.pending
    assert [event("next")] == decoder.feed(b"data: next\n\n")


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
def test_an_event_comes_with_the_read_that_completes_it(line_end: bytes) -> None:
    """No line end makes an event wait for the byte behind it."""
    decoder = SSEDecoder()

    events = [decoder.feed(b"data: %d" % number + 2 * line_end) for number in range(3)]

    assert [[event("0")], [event("1")], [event("2")]] == events


@pytest.mark.parametrize("bom_from", range(4))
def test_only_the_first_byte_order_mark_is_one(bom_from: int) -> None:
    """The mark is taken off once, also when split over reads; a second one spoils the field name behind it."""
    marked = b"\xef\xbb\xbf" + b"data: a\n\n"

    assert [event("a")] == decoded([marked[:bom_from], marked[bom_from:], marked])
    assert [event("a")] == decoded([b"data: a\n\n", marked[:bom_from], marked[bom_from:]])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0", 0),
        (b"0015", 15),
        (b"9" * 640, int("9" * 640)),
        (b"0" * 5000 + b"9", 9),
        (b"9" * 5000, 700),
        (b"", 700),
        (b"-1", 700),
        (b"+5", 700),
        (b"1_0", 700),
        (b" 5", 700),
        (b"5 ", 700),
        (b"1.5", 700),
        ("٣".encode(), 700),
        ("²".encode(), 700),
    ],
)
def test_retry_takes_ascii_digits_only(value: bytes, expected: int) -> None:
    """What `int()` would take or choke on beyond plain digits leaves the reconnection time as it was."""
    assert [event("x", retry=expected)] == decoded([b"retry: 700\nretry: " + value + b"\ndata: x\n\n"])


def test_id_and_retry_hold_for_later_events() -> None:
    """Both are in force from their block on, also one without data, and through reads of plain events."""
    plain = b"data: x\n\n"

    assert [event("x"), *[event("x", id="7", retry=10)] * 3] == decoded(
        [plain, b"id: 7\n\nretry: 10\n\n", plain, plain + plain]
    )


def test_raw_is_the_data_in_well_formed_utf8() -> None:
    """A JSON parser may take `raw` as it is, whatever bytes came."""
    (only,) = decoded([b"data: \xc3\xa9 \xff\xed\xa0\x80\n\n"])

    assert "é \ufffd\ufffd\ufffd\ufffd" == only.data
    assert only.data.encode() == only.raw


def test_an_event_shows_its_text() -> None:
    """The representation reads like the stream, not like bytes."""
    assert "ServerSentEvent(event='message', data='é', id='7', retry=None)" == repr(event("é", id="7"))


def test_events_compare_by_value() -> None:
    """Each attribute counts."""
    assert event("a", id="7") == event("a", id="7")
    assert event("a") not in [event("b"), event("a", event="x"), event("a", id="7"), event("a", retry=0)]


def test_a_long_stream_takes_constant_memory() -> None:
    """Events, comments and fields that are over leave nothing behind in the decoder."""
    decoder = SSEDecoder()
    block = b": ping\nid: 1\nretry: 5\nevent: x\ndata: y\n\ndata: plain\n\n: ping\n\nevent: z\n\n"
    decoder.feed(block * 2)

    tracemalloc.start()
    try:
        for _ in range(2000):
            decoder.feed(block)
            decoder.feed(b": never a blank line\n")
        kept, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 2000


def test_an_event_in_tiny_reads_takes_memory_in_proportion() -> None:
    """Assembling an event costs a few times its size, not an object per read."""
    decoder = SSEDecoder()
    size = 100_000

    tracemalloc.start()
    try:
        decoder.feed(b"data: ")
        for _ in range(size // 2):
            decoder.feed(b"xy")
        held, _peak = tracemalloc.get_traced_memory()
        (only,) = decoder.feed(b"\n\n")
    finally:
        tracemalloc.stop()

    assert "xy" * (size // 2) == only.data
    assert held < 2 * size
