r"""A stream of server-sent events as lines that a person can read, and back again to the byte and to the read.

One event is one line, `OFFSET ITEM`:

    312 {"delta":{"role":"assistant","content":""}}
    340 {"delta":{"content":"Hello"}}
    + {"delta":{},"finish_reason":"stop"}
    381 [DONE]

OFFSET is the milliseconds from the request to the read that brought the event; `+` says that it came with the read
before. An event that was cut into several reads says where: `340/12:345` is "its first 12 bytes came at 340, the rest
at 345".

ITEM is one of

    {...}         a chunk, less what the envelope says. Members of the envelope's choice replace those of the choice,
                  other members of the envelope those of the chunk; `choices` replaces the list as a whole. What
                  neither has is new in the choice, or in the chunk if `choices` is given.
    [DONE]        the event `data: [DONE]`
    =TEXT         the event `data: TEXT`
    @NAME TEXT    the event `event: NAME` with `data: TEXT`
    "..."         any other bytes that are UTF-8, as a JSON string: comments, odd line ends, an event that was cut off
    %BASE64       any other bytes

All but the last two stand for lines that end in one line feed, and the blank line behind them. What is written in a
line is read back before it is kept, so a chunk whose JSON has a spelling of its own is kept as `=TEXT`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from portkey_testing.cassettes._yaml import UNWRITABLE, Json, Unwritable, write
from portkey_testing.cassettes.message import assemble
from portkey_testing.cassettes.model import EventStream
from portkey_testing.cassettes.stream import SPELLINGS, Read, chunk_in, chunk_of, payload_of, spelt, split

_DONE: Final = "[DONE]"
_NAMED: Final = re.compile(r"event: ([^\s\"]+)\ndata: ([^\r\n]*)\n\n\Z")
_OFFSET: Final = re.compile(r"(\+|[0-9]{1,12})((?:/[0-9]{1,12}:[0-9]{1,12})*)")


class EventLineError(Exception):
    """A line is not one of the forms above, or does not fit the envelope.

    Attributes:
        number: Number of the line in its block, starting at 1; 0 if no line is to blame.
    """

    def __init__(self, problem: str, number: int) -> None:
        super().__init__(problem)
        self.number = number


def pack(reads: Sequence[Read]) -> EventStream:
    """The lines, the envelope and the assembled message for these reads."""
    data = b"".join(piece for _, piece in reads)
    pieces = split(data)
    payloads = [payload_of(piece) for piece in pieces]
    chunks = [chunk_in(payload) for payload in payloads]
    envelope, spelling = _envelope(chunks, payloads)
    lines = []
    for offset, piece, payload, chunk in zip(_offsets(reads, pieces), pieces, payloads, chunks, strict=True):
        item = _item(piece, payload, chunk, envelope, SPELLINGS[spelling])
        lines.append(f"{offset} {item}\n")
    message = assemble(chunk for chunk in chunks if chunk is not None)
    return EventStream(
        "".join(lines), envelope, spelling, None if message is None or not _is_writable(message) else message
    )


def unpack(stream: EventStream) -> list[Read]:
    """The reads that `pack` was given.

    Raises:
        EventLineError: the lines are damaged, or disagree with the message.
    """
    lines = stream.lines.removesuffix("\n").split("\n") if stream.lines else []
    patches = iter(_patches_of(lines))
    spelling = _Spelling(stream.envelope, stream.spelling)
    reads: list[tuple[int, list[bytes]]] = []
    chunks: list[Mapping[str, Any]] = []
    latest = 0
    for number, line in enumerate(lines, 1):
        offset, _, item = line.partition(" ")
        splits = None
        if not offset.isdigit() and (splits := _OFFSET.fullmatch(offset)) is None:
            raise EventLineError(f"expected `<milliseconds> <event>`, found {line[:60]!r}", number)
        if item.startswith("{"):
            piece, chunk = spelling.patched(item, next(patches), number)
            chunks.append(chunk)
        else:
            piece = _bytes_of(item, number)
            if (other := chunk_of(piece)) is not None:
                chunks.append(other)
        if splits is None:
            if int(offset) < latest:
                raise EventLineError(f"the read at {offset} ms comes after one at {latest} ms", number)
            latest = int(offset)
            reads.append((latest, [piece]))
        else:
            latest = _split_piece(reads, splits[1], splits[2], piece, number)
    message = assemble(chunks)
    if message != stream.message and (stream.message is not None or _is_writable(message)):
        raise EventLineError(
            f"the events add up to {_brief(message)}, and `message` says {_brief(stream.message)}. "
            "Change both, or record again",
            0,
        )
    return [(offset, b"".join(pieces)) for offset, pieces in reads]


def _patches_of(lines: Sequence[str]) -> list[Any]:
    """The JSON of all lines that have some, parsed together, which is several times faster than one by one."""
    items = [(number, line.partition(" ")[2]) for number, line in enumerate(lines, 1) if " {" in line]
    items = [(number, item) for number, item in items if item.startswith("{")]
    try:
        patches: list[Any] = json.loads(f"[{','.join(item for _, item in items)}]")
    except (ValueError, RecursionError):
        patches = []
    if len(patches) != len(items):
        patches = [_json(item, number) for number, item in items]
    return patches


def _split_piece(reads: list[tuple[int, list[bytes]]], first: str, splits: str, piece: bytes, number: int) -> int:
    """Add an event that came with the read before, or in several reads; when the last of them came."""
    if first != "+":
        reads.append((int(first), []))
    elif not reads:
        raise EventLineError("`+` means that the event came with the read before, and there is none", number)
    start = 0
    for split_ in splits.split("/")[1:]:
        end, when = map(int, split_.split(":"))
        if not start <= end <= len(piece):
            raise EventLineError(f"the event has {len(piece)} bytes and cannot be split at {end}", number)
        if when < reads[-1][0]:
            raise EventLineError(f"the read at {when} ms comes after one at {reads[-1][0]} ms", number)
        reads[-1][1].append(piece[start:end])
        reads.append((when, []))
        start = end
    reads[-1][1].append(piece[start:])
    return reads[-1][0]


class _Spelling:
    """Turns lines `{...}` into events, given the envelope."""

    def __init__(self, envelope: Mapping[str, Any] | None, spelling: str) -> None:
        self._envelope = envelope
        self._encoder = SPELLINGS[spelling]
        self._around: tuple[bytes, bytes] | None = None
        if envelope is not None and spelling == "compact" and "delta" in envelope["choices"][0]:
            mark = "\0delta\0"
            around = self._encoder.encode(_patched(envelope, {"delta": mark})).split(json.dumps(mark))
            if len(around) == 2:
                self._around = (f"data: {around[0]}".encode(), f"{around[1]}\n\n".encode())

    def patched(self, item: str, patch: dict[str, Any], number: int) -> tuple[bytes, Mapping[str, Any]]:
        """The bytes of one line, and its chunk (of which only the choices are needed)."""
        if self._envelope is None:
            raise EventLineError("a line that starts with `{` needs an `envelope`", number)
        if (
            self._around is not None
            and len(patch) == 1
            and item.startswith('{"delta":')
            and item[-1] == "}"
            and "\\u" not in item
        ):
            # Nearly every line is of this kind, and its text is already what the event says.
            index = self._envelope["choices"][0].get("index")
            before, after = self._around
            piece = before + item[9:-1].encode() + after
            return piece, {"choices": [{"index": index, "delta": patch["delta"]}]}
        chunk = _patched(self._envelope, patch)
        return _utf8(f"data: {self._encoder.encode(chunk)}\n\n", number), chunk


def _is_writable(message: Json) -> bool:
    try:
        write({"message": message})
    except Unwritable:
        return False
    return True


def _brief(message: Json) -> str:
    text = json.dumps(message, ensure_ascii=False)
    return text if len(text) <= 300 else text[:300] + " ..."


def _envelope(
    chunks: Sequence[dict[str, Any] | None], payloads: Sequence[str | None]
) -> tuple[dict[str, Any] | None, str]:
    """What the chunks have in common, taken from the first that has one choice, and how most of their JSON is spelt."""
    fitting = Counter(
        spelling
        for chunk, payload in zip(chunks, payloads, strict=True)
        if chunk is not None
        for spelling, encoder in SPELLINGS.items()
        if spelt(chunk, encoder) == payload
    )
    for chunk in chunks if fitting else ():
        choices = None if chunk is None else chunk.get("choices")
        if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict):
            common = {**choices[0], "delta": {}} if "delta" in choices[0] else choices[0]
            envelope = {**(chunk or {}), "choices": [common]}
            if _is_writable(envelope):
                return envelope, max(SPELLINGS, key=lambda spelling: fitting[spelling])
    return None, "compact"


def _item(
    piece: bytes,
    payload: str | None,
    chunk: dict[str, Any] | None,
    envelope: dict[str, Any] | None,
    encoder: json.JSONEncoder,
) -> str:
    if payload == _DONE:
        return _DONE
    if payload is not None:
        if chunk is not None and envelope is not None:
            for patch in _patches(chunk, envelope):
                if spelt(_patched(envelope, patch), encoder) == payload:
                    return _printable(SPELLINGS["compact"].encode(patch))
        if _stands_as_itself(payload):
            return f"={payload}"
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return "%" + base64.b64encode(piece).decode()
    named = _NAMED.match(text)
    if named and _stands_as_itself(named[1]) and _stands_as_itself(named[2]):
        return f"@{named[1]} {named[2]}"
    return _printable(json.dumps(text, ensure_ascii=False))


def _stands_as_itself(text: str) -> bool:
    return not UNWRITABLE.search(text) and not text.endswith((" ", "\t"))


def _printable(text: str) -> str:
    """JSON with what cannot stand in a line escaped; reading it gives the same value."""
    return UNWRITABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _patches(chunk: dict[str, Any], envelope: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """What to say of `chunk` beside the envelope, the shortest way first."""
    (base,) = envelope["choices"]
    choices = chunk.get("choices")
    if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict):
        patch = {name: value for name, value in choices[0].items() if name == "delta" or _differs(value, base, name)}
        outer = {name: value for name, value in chunk.items() if name != "choices" and _differs(value, envelope, name)}
        if not patch.keys() & outer.keys():
            yield {**patch, **outer}
    yield {name: value for name, value in chunk.items() if name == "choices" or _differs(value, envelope, name)}


def _differs(value: Any, base: dict[str, Any], name: str) -> bool:
    return name not in base or base[name] != value or type(base[name]) is not type(value)


def _patched(envelope: Mapping[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    if "choices" in patch:
        return {**envelope, **patch}
    (base,) = envelope["choices"]
    choice, chunk = dict(base), dict(envelope)
    for name, value in patch.items():
        if name in envelope and name not in base:
            chunk[name] = value
        else:
            choice[name] = value
    chunk["choices"] = [choice]
    return chunk


def _bytes_of(item: str, number: int) -> bytes:
    """The bytes of an event that is written without the envelope."""
    kind, rest = item[:1], item[1:]
    if item == _DONE:
        return b"data: [DONE]\n\n"
    if kind == "=":
        return _utf8(f"data: {rest}\n\n", number)
    if kind == "@":
        name, _, payload = rest.partition(" ")
        return _utf8(f"event: {name}\ndata: {payload}\n\n", number)
    if kind == '"':
        return _utf8(_json(item, number), number)
    if kind == "%":
        try:
            return base64.b64decode(rest, validate=True)
        except (binascii.Error, ValueError) as error:
            raise EventLineError(f"not base64: {error}", number) from None
    raise EventLineError(f'expected an event that starts with one of {{ [DONE] = @ " %, found {item[:60]!r}', number)


def _json(item: str, number: int) -> Any:
    try:
        return json.loads(item)
    except (ValueError, RecursionError) as error:
        raise EventLineError(f"not JSON: {error}: {item[:60]!r}", number) from None


def _utf8(text: str, number: int) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise EventLineError("a lone surrogate is no character: no bytes stand for it", number) from None


def _offsets(reads: Sequence[Read], pieces: Sequence[bytes]) -> Iterable[str]:
    """The OFFSET of each piece."""
    boundaries: list[tuple[int, int]] = []  # the position of each read's first byte, and when it came
    position = latest = 0
    for when, data in reads:
        latest = max(when, latest)
        if data:
            boundaries.append((position, latest))
            position += len(data)
    boundaries.reverse()
    start = 0
    for piece in pieces:
        end = start + len(piece)
        offset = "+"
        while boundaries and boundaries[-1][0] < end:
            at, when = boundaries.pop()
            offset = str(when) if at == start else f"{offset}/{at - start}:{when}"
        yield offset
        start = end
