"""A stream of server-sent events in pieces, one for each event and to the byte, and the chunks that they are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

Read = tuple[int, bytes]
"""Bytes that came in one read, and when: milliseconds from the request."""

SPELLINGS: Final[Mapping[str, json.JSONEncoder]] = {
    "compact": json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False),
    "ascii": json.JSONEncoder(separators=(",", ":"), allow_nan=False),
    "spaced": json.JSONEncoder(allow_nan=False),
}
"""How servers spell the JSON of their events: as JavaScript does, without other characters than ASCII, or as Python's
`json.dumps` does by default."""

_PIECE: Final = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)|.+\Z", re.DOTALL)


def split(data: bytes) -> list[bytes]:
    """The bytes of a stream, one event each; the last may be unfinished."""
    pieces: list[bytes] = _PIECE.findall(data)
    return pieces


def chunk_of(piece: bytes) -> dict[str, Any] | None:
    """The JSON object that an event is, if it is one."""
    return chunk_in(payload_of(piece))


def respelt(piece: bytes, chunk: Mapping[str, Any]) -> bytes:
    """The event that says `chunk` in the spelling of `piece`."""
    old, payload = chunk_of(piece), payload_of(piece)
    for encoder in SPELLINGS.values():
        if spelt(old, encoder) == payload:
            return f"data: {encoder.encode(chunk)}\n\n".encode()
    return f"data: {SPELLINGS['compact'].encode(chunk)}\n\n".encode()


def texts_by_place(chunks: Sequence[Any]) -> dict[tuple[Any, ...], list[tuple[Any, Any]]]:
    """The texts inside the choices of chunks, those at the same place together: (container, key) of each."""
    places: dict[tuple[Any, ...], list[tuple[Any, Any]]] = {}

    def walk(value: Any, place: tuple[Any, ...]) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, member in items:
            index = member.get("index", key) if isinstance(member, dict) and isinstance(value, list) else key
            if isinstance(member, str):
                places.setdefault((*place, index), []).append((value, key))
            else:
                walk(member, (*place, index))

    for chunk in chunks:
        if isinstance(chunk, dict):
            walk(chunk.get("choices"), ())
    return places


def channels(data: bytes) -> list[str]:
    """The texts of a stream as they read when its events are joined."""
    chunks = [chunk_of(piece) for piece in split(data)]
    return ["".join(container[key] for container, key in channel) for channel in texts_by_place(chunks).values()]


def payload_of(piece: bytes) -> str | None:
    """What stands behind `data: ` where the event is that one line, else None."""
    if piece.startswith(b"data: ") and piece.endswith(b"\n\n"):
        payload = piece[6:-2]
        if b"\n" not in payload and b"\r" not in payload:
            try:
                return payload.decode()
            except UnicodeDecodeError:
                return None
    return None


def chunk_in(payload: str | None) -> dict[str, Any] | None:
    """The JSON object that a payload is, if it is one."""
    if payload is None or not payload.startswith("{"):
        return None
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def spelt(value: Any, encoder: json.JSONEncoder) -> str | None:
    """A value in one of the spellings, if it has one: NaN has none, and neither has what is nested without end."""
    try:
        return encoder.encode(value)
    except (ValueError, RecursionError):
        return None
