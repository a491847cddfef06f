"""The deadlines of a uvloop event loop, on virtual time.

uvloop keeps its timers in C and lets nobody look at them or set its clock forward. The garbage collector has to see
them, though, and so do we: found that way, a timer that is due in virtual time is run before its real time comes.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any
from weakref import WeakKeyDictionary


class UvloopTimers:
    """Those of one loop.

    Args:
        loop: A `uvloop.Loop`. Its `time` is set forward from here on, for what asks it.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._ahead = 0.0
        self._real: Callable[[], float] = loop.time
        self._set_when: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        loop.time = lambda: self._real() + self._ahead

    def next(self) -> float:
        """Seconds until the first deadline; infinite if there is none."""
        return min(map(self._left, self._pending()), default=math.inf)

    def advance(self, seconds: float) -> None:
        """Set the loop's clock forward, and run what is due by then."""
        pending = {handle: self._left(handle) for handle in self._pending()}
        self._ahead += seconds
        for handle in sorted(pending, key=pending.__getitem__):
            if pending[handle] <= seconds:
                self._run(handle)

    def _pending(self) -> Iterator[Any]:
        for found in gc.get_referents(self._loop):
            if isinstance(found, set):
                yield from (handle for handle in list(found) if hasattr(handle, "when") and not handle.cancelled())

    def _left(self, handle: Any) -> float:
        """Seconds until a timer is due: its real ones, less those by which the clock was set forward since it was set.

        A timer is seen before the clock is next set forward, so it was set when the clock was as far ahead as now.
        """
        ahead = self._set_when.setdefault(handle, self._ahead)
        left: float = handle.when() - self._real() - (self._ahead - ahead)
        return left

    def _run(self, handle: Any) -> None:
        """Run a timer's callback in the next round of the loop, unless it is cancelled first.

        Raises:
            RuntimeError: this version of uvloop keeps its timers in another way.
        """
        callback, arguments, *rest = gc.get_referents(handle)
        context = next((part for part in rest if isinstance(part, Context)), None)
        if not callable(callback) or not (arguments is None or isinstance(arguments, tuple)) or context is None:
            raise RuntimeError(
                "this version of uvloop keeps its timers in a way that is not known here, so the deadlines of its loop "
                "cannot run in virtual time. Use asyncio's own loop for this test."
            )

        def run() -> None:
            if not handle.cancelled():
                handle.cancel()
                callback(*(arguments or ()))

        self._loop.call_soon(run, context=context)
