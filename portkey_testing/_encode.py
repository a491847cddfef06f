"""Chunks as the bytes of a server-sent event stream.

Written from the SSE standard and from recordings, and on purpose not the counterpart of the client's decoder: if both
came from one idea, both could be wrong in the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any, Final

from portkey_testing.timeline import Frame

DONE: Final = b"data: [DONE]\n\n"

_SURROGATE = re.compile("[\ud800-\udfff]")

# Made once: json.dumps makes a new encoder for each call that asks for anything unusual.
_encode_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def compact(value: Any) -> str:
    """JSON without blanks, non-ASCII text as it is; half of a surrogate pair is no text, and is escaped."""
    written = _encode_compact(value)
    return written if written.isascii() else _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", written)


def event(data: str, name: str | None = None) -> bytes:
    """One event. `data` must not hold a line break."""
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {data}\n\n".encode()


class Envelope:
    """What all chunks of one completion share, encoded once.

    Args:
        completion_id: Id of the completion.
        created: Seconds since 1970.
        model: Name of the model.
        extra: Further fields of every chunk.
        usage: Every chunk carries `usage: null`, as OpenAI does when the usage is asked for.
    """

    def __init__(
        self,
        completion_id: str,
        created: int,
        model: str,
        extra: Mapping[str, Any] | None = None,
        *,
        usage: bool = False,
    ) -> None:
        shared = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            **(extra or {}),
        }
        self._head = "data: " + compact(shared)[:-1] + ',"choices":['
        self._tail = ',"usage":null}\n\n' if usage else "}\n\n"
        self._text_head = self._head + '{"index":0,"delta":{"content":'
        self._text_tail = '},"logprobs":null,"finish_reason":null}]' + self._tail

    def text(self, piece: str) -> bytes:
        """A piece of the content; the chunk there is most of."""
        return f"{self._text_head}{encode_basestring(piece)}{self._text_tail}".encode()

    def texts(self, gap: float, pieces: Iterable[str]) -> Iterator[Frame]:
        """Pieces of the content in a row, the first after `gap` seconds and the rest at once."""
        head, tail = self._text_head, self._text_tail
        new = tuple.__new__  # a third quicker than Frame(...): this makes most of the frames there are
        for piece in pieces:
            yield new(Frame, (gap, f"{head}{encode_basestring(piece)}{tail}".encode()))
            gap = 0.0

    def delta(
        self,
        delta: Mapping[str, Any],
        finish_reason: str | None = None,
        *,
        index: int = 0,
        logprobs: Mapping[str, Any] | None = None,
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return (self._head + compact(choice) + "]" + self._tail).encode()

    def usage(self, usage: Mapping[str, Any]) -> bytes:
        """The last chunk, which has no choices."""
        return (self._head + '],"usage":' + compact(usage) + "}\n\n").encode()
