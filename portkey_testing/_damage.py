"""Answers whose content is wrong although the HTTP around them is sound. See `portkey_testing.faults` for the names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from portkey_testing._encode import compact
from portkey_testing.faults import damage
from portkey_testing.replies import Headers
from portkey_testing.timeline import Cut, Frame

PAGE: Final = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
"""What nginx says when what is behind it does not answer."""

_ERROR: Final = {
    "message": "The server had an error while processing your request. Sorry about that!",
    "type": "server_error",
    "param": None,
    "code": None,
}
_OVERLOADED: Final = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
_FIRST: Final = 2
"""Events that come before something goes wrong: the role and a first piece."""


@dataclass(frozen=True, slots=True)
class Content:
    """A whole answer: a body, or frames in its place.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
        body: A plain body.
        frames: The events of a stream, one in each frame, or a body that breaks off.
    """

    status: int
    headers: Headers
    body: bytes = b""
    frames: Iterable[Frame | Cut] | None = None


def damaged(name: str, content: Content) -> Content:
    """The answer with that damage.

    Raises:
        ValueError: it needs a stream, and this is none.
    """
    kind = damage(name)
    if kind.part == "stream" and content.frames is None:
        raise ValueError(f"the damage {name!r} needs a stream ({kind.about}), and the request asks for a plain answer")
    match name:
        case "html_page":
            return _plain(content, 502, "text/html", PAGE.encode())
        case "html_with_200":
            return _plain(content, 200, "text/html", PAGE.encode())
        case "empty_body":
            return _plain(content, content.status, None, b"")
        case "error_with_200":
            return _plain(content, 200, "application/json", compact({"error": _ERROR}).encode())
        case "wrong_content_type":
            return replace(content, headers=_retyped(content.headers, "text/plain"))
        case "bad_encoding":
            return replace(content, headers=(*content.headers, ("content-encoding", "gzip")))
        case "wrong_length" if content.frames is None:
            promised = (*content.headers, ("content-length", str(2 * len(content.body))))
            return Content(content.status, promised, frames=(Frame(0.0, content.body), Cut(0.0, "short_body")))
        case "truncated_json" if content.frames is None:
            return replace(content, body=content.body[: len(content.body) // 2])
        case "broken_json" if content.frames is None:
            return replace(content, body=content.body[:1] + b"," + content.body[1:])
        case _:
            return replace(content, body=b"", frames=_STREAMS[name](content.frames or ()))


def _truncated(frames: Iterable[Frame | Cut]) -> Iterator[Frame | Cut]:
    """The stream ends within an event."""
    flow = iter(frames)
    yield from islice(flow, _FIRST)
    for step in flow:
        yield step._replace(data=step.data[: len(step.data) // 2]) if isinstance(step, Frame) else step
        return


def _shortened(frames: Iterable[Frame | Cut]) -> Iterator[Frame | Cut]:
    """The connection closes before the promised number of bytes."""
    yield from islice(frames, _FIRST)
    yield Cut(0.0, "dropped")


def _error_event(frames: Iterable[Frame | Cut]) -> Iterator[Frame | Cut]:
    native = False
    for step in islice(frames, _FIRST):
        native = isinstance(step, Frame) and step.data.startswith(b"event:")
        yield step
    written = f"event: error\ndata: {compact(_OVERLOADED)}" if native else f"data: {compact({'error': _ERROR})}"
    yield Frame(0.0, f"{written}\n\n".encode())


def _malformed(frames: Iterable[Frame | Cut]) -> Iterator[Frame | Cut]:
    flow = iter(frames)
    yield from islice(flow, _FIRST)
    yield Frame(0.0, b'data: {"id":"chatcmpl-\n\n')
    yield from flow


def _unfinished(frames: Iterable[Frame | Cut]) -> Iterator[Frame | Cut]:
    for step in frames:
        if isinstance(step, Frame) and any(sign in step.data for sign in _ENDINGS):
            return
        yield step


def _without_done(frames: Iterable[Frame | Cut]) -> Iterator[Frame | Cut]:
    for step in frames:
        if not isinstance(step, Frame) or not any(sign in step.data for sign in _LAST):
            yield step


def _duplicated(frames: Iterable[Frame | Cut]) -> Iterator[Frame | Cut]:
    for number, step in enumerate(frames):
        yield step
        if number == 1 and isinstance(step, Frame):
            yield step._replace(gap=0.0)


def _disordered(frames: Iterable[Frame | Cut]) -> Iterator[Frame | Cut]:
    flow = iter(frames)
    yield from islice(flow, 1)
    yield from reversed(list(islice(flow, 2)))
    yield from flow


_ENDINGS: Final = (b'"finish_reason":"', b"event: message_delta", b"data: [DONE]")
_LAST: Final = (b"data: [DONE]", b"event: message_stop")

_STREAMS: Final = {
    "truncated_json": _truncated,
    "broken_json": _malformed,
    "wrong_length": _shortened,
    "error_event": _error_event,
    "malformed_event": _malformed,
    "missing_finish": _unfinished,
    "missing_done": _without_done,
    "duplicate_chunk": _duplicated,
    "out_of_order_chunks": _disordered,
}


def _plain(content: Content, status: int, content_type: str | None, body: bytes) -> Content:
    return Content(status, _retyped(content.headers, content_type), body)


def _retyped(headers: Headers, content_type: str | None) -> Headers:
    others = tuple(pair for pair in headers if pair[0] != "content-type")
    return others if content_type is None else (("content-type", content_type), *others)
