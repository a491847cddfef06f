"""One exchange as it went over the wire, secrets and all: what a recording is made of.

A `Tee` watches one exchange, is told what happens and when, and has the whole of it in the end. It does no I/O and
knows no HTTP library, so one serves the synchronous and the asynchronous transport alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from portkey_testing.cassettes.model import CLOSED, COMPLETE, CassetteError
from portkey_testing.timeline import GatewayRequest

MAX_DECODED: Final = 64 * 2**20
"""Bytes to which a compressed body may grow; a recording of more is refused."""

_WBITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""What zlib calls the content codings of RFC 9110, section 8.4.1, that it can undo."""

ENCODINGS: Final = tuple(_WBITS)
_EVENTS_OVER: Final = (b"data: [DONE]\n\n", b"data: [DONE]\r\n\r\n", b"data:[DONE]\n\n")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what came of it, as they were.

    Attributes:
        request: The request.
        status: HTTP status; None if the connection broke before one came.
        headers: Response headers, names in lower case.
        after_ms: Milliseconds from the request to the headers, or to the failure in their place.
        reads: The body as it arrived: milliseconds from the request, and the bytes.
        ended: `complete`, `closed` or the name of a wire fault.
        ended_ms: Milliseconds from the request to the end.
    """

    request: GatewayRequest
    status: int | None
    headers: tuple[tuple[str, str], ...] = ()
    after_ms: int = 0
    reads: tuple[tuple[int, bytes], ...] = ()
    ended: str = COMPLETE
    ended_ms: int = 0

    def header(self, name: str) -> str:
        """The response header of that name; empty if there is none."""
        return ", ".join(value for known, value in self.headers if known == name)


class Tee:
    """Watches one exchange. `end` may be called several times; the first counts.

    Args:
        request: The request.
        started: When it was sent, in seconds.
        done: Called once, with the whole exchange, or None if nothing went over the wire.
    """

    def __init__(self, request: GatewayRequest, started: float, done: Callable[[Tee, Exchange | None], None]) -> None:
        self._request = request
        self._started = started
        self._done: Callable[[Tee, Exchange | None], None] | None = done
        self._status: int | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._after_ms = 0
        self._reads: list[tuple[int, bytes]] = []

    def head(self, status: int, headers: Sequence[tuple[str, str]], at: float) -> None:
        """The response headers have come."""
        self._status = status
        self._headers = tuple((name.lower(), value) for name, value in headers)
        self._after_ms = self._ms(at)

    def read(self, data: bytes, at: float) -> None:
        """A piece of the body has come."""
        self._reads.append((self._ms(at), data))

    def end(self, ended: str | None, at: float) -> None:
        """The exchange is over: `complete`, `closed` by the client, or broken by a wire fault; None: there was none."""
        done, self._done = self._done, None
        if done is None:
            return
        if ended is None or (ended == CLOSED and self._status is None):
            done(self, None)
            return
        if ended == CLOSED and self._reads and self._reads[-1][1].endswith(_EVENTS_OVER):
            ended = COMPLETE  # many clients hang up at [DONE]: nothing was to come any more
        when = self._ms(at)
        after = when if self._status is None else self._after_ms
        done(self, Exchange(self._request, self._status, self._headers, after, tuple(self._reads), ended, when))

    def _ms(self, at: float) -> int:
        return max(0, round((at - self._started) * 1000))


def decoded(encoding: str, reads: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]] | None:
    """`reads` without their content coding, each read still on its own; None where the coding was not kept to.

    Raises:
        CassetteError: the coding is one that cannot be undone here, or the body grows beyond all measure.
    """
    codings = [coding.strip().lower() for coding in encoding.split(",") if coding.strip()]
    for coding in reversed(codings):
        if coding == "identity":
            continue
        if coding not in _WBITS:
            raise CassetteError(
                f"the body has the content-encoding {coding!r}; only {', '.join(ENCODINGS)} can be undone, and what "
                "cannot be read cannot be searched for secrets. Ask for another one with the header accept-encoding"
            )
        inflated = _inflated(coding, reads)
        if inflated is None:
            return None
        reads = inflated
    return list(reads)


def _inflated(coding: str, reads: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]] | None:
    first = next((data for _, data in reads if data), b"\x78")
    # Some servers send a bare deflate stream, which every client accepts.
    bare = coding == "deflate" and (first[0] & 0x0F != 8 or first[0] >> 4 > 7)
    inflater = zlib.decompressobj(-15 if bare else _WBITS[coding])
    result = []
    room = MAX_DECODED
    try:
        for when, data in reads:
            piece = inflater.decompress(data, room + 1)
            room -= len(piece)
            if room < 0:
                raise CassetteError(f"the body grows to more than {MAX_DECODED >> 20} MiB when it is unpacked")
            if piece:
                result.append((when, piece))
    except zlib.error:
        return None
    return result
