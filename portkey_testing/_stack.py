"""Python's stack: which line of the project asked for a connection, or scripted a reply."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import Any, Final

HTTP_LIBRARIES: Final = frozenset(
    {"aiohappyeyeballs", "aiohttp", "http", "httpcore", "httpcore2", "httpx", "httpx2", "requests", "urllib3"}
)

LIBRARIES: Final = HTTP_LIBRARIES | {
    *("portkey_client", "portkey_testing", "respx", "openai", "anthropic", "portkey_ai", "urllib"),
    *("anyio", "asyncio", "concurrent", "contextlib", "selectors", "socket", "ssl", "threading", "trio", "uvloop"),
    *("_pytest", "pluggy", "unittest"),
}
"""Top-level modules whose frames stand between a test and the network, and tell its author nothing."""

_STEPS_OF_LOOPS: Final = frozenset({("asyncio.events", "_run"), ("trio._core._run", "unrolled_run")})
"""Functions of event loops that let a task go on: what called them has not called the task."""

_WAITS: Final = frozenset({("anyio", "connect_tcp"), ("aiohttp", "_request")})
"""Functions that connect in tasks of their own and wait for those."""

_INSTALLED: Final = (
    f"{os.sep}site-packages{os.sep}",
    f"{os.sep}dist-packages{os.sep}",
    os.path.dirname(os.__file__) + os.sep,  # noqa: PTH120  # a prefix to compare with
    "<",
)
"""What the file of a frame has in it, or begins with, that is no part of the project."""


def call_site() -> str:
    """File and line of the project where a connection was asked for, or the next best thing."""
    stack = list(frames())
    for chain in (_of_this_task(stack), *_parents_in_trio()):
        if places := _in_project(chain):
            return places[0]
    if waiting := list(dict.fromkeys(_waiting_in_asyncio())):
        return " or ".join(waiting)
    if places := _in_project(stack) or _outside_libraries(stack):
        return places[0]
    return f"a task or thread of its own ({threading.current_thread().name})"


def caller() -> str:
    """File and line of the nearest frame outside this package."""
    for frame in frames():
        if not _module(frame).startswith("portkey_testing."):
            return _place(frame)
    return "unknown"


def comes_from_http() -> bool:
    """Whether it is an HTTP library that connects, and not something else that it called in turn, as a server does."""
    for frame in frames():
        name = root(frame)
        if name in HTTP_LIBRARIES:
            return True
        if name not in LIBRARIES:
            return False
    return False


def frames() -> Iterator[FrameType]:
    """The frames of the caller, the innermost first."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # inspect.currentframe is the same and costs its import
    while frame is not None:
        yield frame
        frame = frame.f_back


def root(frame: FrameType) -> str:
    """The top-level module a frame runs in."""
    return _module(frame).partition(".")[0]


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _outside_libraries(chain: Iterable[FrameType]) -> list[str]:
    return [_place(frame) for frame in chain if root(frame) not in LIBRARIES]


def _in_project(chain: Iterable[FrameType]) -> list[str]:
    return [place for place in _outside_libraries(chain) if not _is_installed(place)]


def _is_installed(path: str) -> bool:
    return path.startswith(_INSTALLED) or any(part in path for part in _INSTALLED[:2])


# Tasks: a library may connect in one of its own, whose frames do not lead to who asked


def _of_this_task(stack: Sequence[FrameType]) -> Iterator[FrameType]:
    for frame in stack:
        if (_module(frame), frame.f_code.co_name) in _STEPS_OF_LOOPS:
            return
        yield frame


def _parents_in_trio() -> Iterator[list[FrameType]]:
    """The tasks that have started this one, each from its innermost frame."""
    if (trio := sys.modules.get("trio")) is None:
        return
    try:
        nursery = trio.lowlevel.current_task().parent_nursery
    except RuntimeError:  # this is not within trio
        return
    while nursery is not None:
        yield _suspended(nursery.parent_task.coro)
        nursery = nursery.parent_task.parent_nursery


def _waiting_in_asyncio() -> Iterator[str]:
    """Where tasks wait for a connection; asyncio does not tell which of them has started this one."""
    if (asyncio := sys.modules.get("asyncio")) is None:
        return
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # this is not within asyncio
        return
    for task in tasks:
        chain = _suspended(task.get_coro())
        if any((root(frame), frame.f_code.co_name) in _WAITS for frame in chain):
            yield from _in_project(chain)[:1]


def _suspended(coroutine: Any) -> list[FrameType]:
    """The frames of a coroutine that waits, the innermost first."""
    chain: list[FrameType] = []
    while coroutine is not None:
        kind = next((kind for kind in ("cr", "gi", "ag") if hasattr(coroutine, f"{kind}_frame")), None)
        if kind is None:
            break
        if (frame := getattr(coroutine, f"{kind}_frame")) is not None:
            chain.insert(0, frame)
        coroutine = getattr(coroutine, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
    return chain
