"""How the bytes of a stream travel: cut into reads anywhere, with comments between events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Final

from portkey_testing.replies import Pace
from portkey_testing.timeline import Cut, Frame

COMMENT: Final = b": keep-alive\n\n"


def carried(frames: Iterable[Frame | Cut], pace: Pace, random: Random) -> Iterable[Frame | Cut]:
    """The frames of a stream as its pace says they arrive."""
    if pace.comments or pace.keepalive is not None:
        frames = _commented(frames, pace)
    if pace.reads is not None:
        frames = _cut(frames, pace.reads, random)
    return frames


def _commented(frames: Iterable[Frame | Cut], pace: Pace) -> Iterator[Frame | Cut]:
    for step in frames:
        gap = step.gap
        if pace.keepalive is not None:
            while gap > pace.keepalive:
                yield Frame(pace.keepalive, COMMENT)
                gap -= pace.keepalive
        if pace.comments and isinstance(step, Frame):
            yield Frame(gap, COMMENT)
            gap = 0.0
        yield step._replace(gap=gap)


def _cut(frames: Iterable[Frame | Cut], reads: object, random: Random) -> Iterator[Frame | Cut]:
    """Reads of a size, which hold parts of events and parts of the next ones; a pause ends a read."""
    waiting, gap = b"", 0.0
    size = _size(reads, random)
    for step in frames:
        if step.gap and waiting:
            yield Frame(gap, waiting)
            waiting, gap = b"", 0.0
        gap += step.gap
        if isinstance(step, Cut):
            if waiting:
                yield Frame(gap, waiting)
                gap = 0.0
            yield step._replace(gap=gap)
            return
        waiting += step.data
        while len(waiting) >= size:
            yield Frame(gap, waiting[:size])
            waiting, gap = waiting[size:], 0.0
            size = _size(reads, random)
    if waiting:
        yield Frame(gap, waiting)


def _size(reads: object, random: Random) -> int:
    return reads if isinstance(reads, int) else random.randint(1, 64)
