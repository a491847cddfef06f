"""Server-sent events: bytes in, events out, however the bytes were cut into reads.

Written from the WHATWG HTML standard, sections 9.2.5 (the grammar of a stream) and 9.2.6 (its meaning):
https://html.spec.whatwg.org/multipage/server-sent-events.html. Terms are the standard's.

The standard decodes the stream, then looks for lines. Here lines are found in the bytes and only values are decoded.
The outcome is the same: line ends, colons and field names are ASCII, no byte of which is ever part of a longer UTF-8
sequence, and replacing a broken sequence never swallows the ASCII byte behind it.
"""

from __future__ import annotations

import copy
from typing import Final, NamedTuple

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LF: Final = 0x0A  # as numbers: `int in bytes` takes a quarter of the time of `bytes in bytes`
_CR: Final = 0x0D
_MAX_RETRY_DIGITS: Final = 640
"""A longer number is ignored: `int()` may refuse it, under the limit the process has set, and no wait is that long."""


class ServerSentEvent(NamedTuple):
    """One dispatched event.

    Attributes:
        raw: `data` in UTF-8, always well-formed: what a JSON parser can read without decoding it first.
        event: the type of the event.
        id: the last event ID in force at its dispatch; an `id` field holds until the next one.
        retry: the reconnection time in force at its dispatch, in milliseconds; None while the server has named none.
    """

    raw: bytes
    event: str = "message"
    id: str = ""
    retry: int | None = None

    @property
    def data(self) -> str:
        """The values of the data lines, joined by line feeds."""
        return self.raw.decode()

    def __repr__(self) -> str:
        return f"ServerSentEvent(event={self.event!r}, data={self.data!r}, id={self.id!r}, retry={self.retry!r})"


class SSEDecoder:
    """Turns the reads of one stream into its events.

    No bytes make it raise: a line that is no field is ignored, broken UTF-8 becomes U+FFFD. An event is returned
    by the read that completes it, also where the last byte of that read is a lone CR. Between reads it holds the
    unfinished line and the data of the unfinished event, nothing else; the time it takes is linear in the bytes.

    Attributes:
        idle: whether nothing is held over, so that the next byte begins a line and an event; False until the first line
            is over, which may begin with a byte order mark.
        retry: the reconnection time in force, in milliseconds; None while the server has named none.
    """

    __slots__ = ("_after_cr", "_at_start", "_between_events", "_data", "_event", "_id", "_line", "idle", "retry")

    def __init__(self) -> None:
        self.idle = False
        self.retry: int | None = None
        self._line = bytearray()  # the unfinished line; appending to it takes amortised constant time
        self._data = bytearray()  # the standard's three buffers: data, with a line feed after each value,
        self._event = ""  # event type
        self._id = ""  # and last event ID
        self._at_start = True  # the first line may begin with a byte order mark
        self._after_cr = False  # a line feed would belong to the line end already seen
        self._between_events = True  # no data and no event type has been read, and `_after_cr` is False

    @property
    def pending(self) -> ServerSentEvent | None:
        """The unfinished event, completed as if a blank line followed here; None where it has no data yet.

        The standard discards it when the input ends. Whoever reads the stream may judge otherwise, before calling
        `flush()`: some servers leave out the blank line after their last event, and where a stream was cut in the
        middle of an event, this shows what had come of it.
        """
        events = copy.deepcopy(self).feed(b"\n\n")
        return events[0] if events else None

    def plain(self, data: bytes) -> list[bytes] | None:
        """Take one read that completes plain events and nothing else, and return their data.

        Nearly all reads of a chat stream do: each event is a single line of data, and the last may be cut off. They
        are recognised by a few searches over the whole read. Of any other nothing is taken and None is returned: it is
        for `feed`, which gives the same for these.
        """
        end = data.rfind(b"\n\n") + 2
        if end < 2 or _CR in data or not self._between_events or data.find(b"\n", end) >= 0:
            return None
        block = bytes(self._line) + data[:end]
        values = _well_formed(block[6:-2]).split(b"\n\ndata: ")
        # With two line feeds for each value, all of them stand between values and none inside one.
        if block[:6] != b"data: " or block.count(b"\n") != 2 * len(values):
            return None
        self._line[:] = data[end:]
        self._at_start = False
        self._settle()
        return values

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take one read, of any size and possibly empty, and return the events it completes."""
        values = self.plain(data)
        if values is not None:
            # As the class would be called, in a third of the time: there may be one event per token.
            id, retry = self._id, self.retry
            return [tuple.__new__(ServerSentEvent, (value, "message", id, retry)) for value in values]
        if self._between_events and _LF not in data and _CR not in data:
            self._line += data
            events: list[ServerSentEvent] = []
        else:
            events = self._feed_lines(data)
        self._settle()
        return events

    def flush(self) -> list[ServerSentEvent]:
        """End the input: discard the unfinished event, as the standard demands, and return the events still due.

        There are none, ever: since a CR ends its line at once, `feed` holds back no complete event.
        """
        self._line.clear()
        self._data.clear()
        self._event = ""
        self._between_events = not self._after_cr
        self._settle()
        return []

    def _settle(self) -> None:
        self.idle = self._between_events and not self._line and not self._at_start

    def _feed_lines(self, data: bytes) -> list[ServerSentEvent]:
        if not data:
            return []
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        lines = data.splitlines()  # of bytes: at CR, LF and CRLF, and nowhere else
        unfinished = lines.pop() if lines and not data.endswith((b"\n", b"\r")) else b""
        if lines:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
            if self._at_start:
                lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
                self._at_start = False
        self._line += unfinished

        events: list[ServerSentEvent] = []
        for line in lines:
            if line:
                self._take_field(line)
            else:
                if self._data:
                    value = _well_formed(bytes(self._data[:-1]))
                    events.append(ServerSentEvent(value, self._event or "message", self._id, self.retry))
                    self._data.clear()
                self._event = ""
        self._between_events = not (self._data or self._event or self._after_cr)
        return events

    def _take_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")  # a comment has the empty name
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data += value
                self._data += b"\n"
            case b"event":
                self._event = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit():  # of bytes: ASCII digits only
                digits = value.lstrip(b"0") or b"0"
                if len(digits) <= _MAX_RETRY_DIGITS:
                    self.retry = int(digits)


def _well_formed(data: bytes) -> bytes:
    """The same text with each broken UTF-8 sequence replaced as the Encoding standard does it."""
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode()
    return data
