"""A response body's content coding, undone piece by piece, within bounds and checked to its end. Pure.

httpx would do it, but takes a truncated gzip body for a whole one and inflates a bomb to any size.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

PIECE_BYTES: Final = 256 * 1024
"""The largest piece given out at once when inflating."""
_MEMBER: Final = b"\x1f\x8b"
"""How each of the members begins that a gzip file is made of (RFC 1952 2.3.1); nearly all have one."""


class BodyError(ValueError):
    """A body that cannot be taken: an unknown coding, a corrupt or truncated one, or too much of it."""


class BodyDecoder:
    """Undoes the coding named by a `content-encoding` header: gzip, the only one asked for, or none."""

    __slots__ = ("_coding", "_inflate")

    def __init__(self, content_encoding: str | None) -> None:
        self._coding = (content_encoding or "identity").strip().lower()
        self._inflate = None
        if self._coding in ("gzip", "x-gzip"):
            self._inflate = _gunzip()
        elif self._coding != "identity":
            raise BodyError(f"the body has content-encoding {self._coding!r}, which was not asked for")

    @property
    def passes_through(self) -> bool:
        """Whether there is nothing to undo."""
        return self._inflate is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take one read and give out what it stands for, in pieces of bounded size."""
        inflate = self._inflate
        if inflate is None:
            yield data
            return
        while data:
            if inflate.eof:
                if not _MEMBER.startswith(data[: len(_MEMBER)]):
                    return  # padding
                inflate = self._inflate = _gunzip()
            try:
                piece = inflate.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise BodyError(f"the {self._coding} coding of the body is corrupt: {error}") from error
            if piece:
                yield piece
            data = inflate.unconsumed_tail or inflate.unused_data

    def finish(self) -> None:
        """Check that the coding came to its end."""
        if self._inflate is not None and not self._inflate.eof:
            raise BodyError(f"the {self._coding} coding of the body is cut off")


def _gunzip() -> zlib._Decompress:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)
