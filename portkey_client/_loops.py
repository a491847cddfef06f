"""Event loops, of asyncio or of trio, without importing either before a program has."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar

T_co = TypeVar("T_co", covariant=True)

Loop: TypeAlias = Any
"""A loop of asyncio's, or the token of a run of trio's."""

_tasks: Final[set[Any]] = set()
"""Tasks in the background: a loop of asyncio's keeps none of its own."""


def running_loop() -> Loop:
    """The loop that runs now.

    Raises:
        RuntimeError: None does.
    """
    import asyncio  # not needed by a process that only calls synchronously

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if (trio := sys.modules.get("trio")) is not None:
            return trio.lowlevel.current_trio_token()
        raise


def is_over(loop: Loop) -> bool:
    """Whether a loop has ended."""
    if hasattr(loop, "is_closed"):
        return bool(loop.is_closed())
    try:
        loop.run_sync_soon(_nothing)
    except RuntimeError:  # as a token of trio's says that its run has
        return True
    return False


def run_soon(loop: Loop, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have a loop do some work in the background, from any thread. Where the loop is over, it needs no more doing."""
    try:
        if hasattr(loop, "call_soon_threadsafe"):
            loop.call_soon_threadsafe(_start, loop, work)
        elif (trio := sys.modules.get("trio")) is not None:  # which is gone when the interpreter ends
            loop.run_sync_soon(trio.lowlevel.spawn_system_task, work)
    except RuntimeError:  # as both say that they are over
        return


class Handle(Generic[T_co]):
    """An async generator in the hands of whoever iterates over it: dropped before its end, it is closed.

    The event loop would see to that, but only for one that was begun, and trio not without a warning.

    Args:
        items: The generator.
        close: Closes it, and what else there is to close; done in the background.
    """

    def __init__(self, items: AsyncGenerator[T_co], close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._items: Any = items  # a generator, of which AsyncGenerator says too little
        self._close = close
        self._closed = False
        self._loop = running_loop()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[T_co]:
        following: Awaitable[T_co] = _no_more() if self._closed else self._items.__anext__()
        return following

    async def aclose(self) -> None:
        """Close the generator now, unless another task is in it; a loop over it ends."""
        if not self._items.ag_running:
            self._closed = True  # before it is: the task of the loop may come back meanwhile
            await self._items.aclose()

    def __del__(self) -> None:
        if self._items.ag_frame is not None:
            run_soon(self._loop, self._close)


def _start(loop: Loop, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = loop.create_task(work())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _no_more() -> Any:
    raise StopAsyncIteration


def _nothing() -> None:
    """Only to see whether it would be done."""
