"""Context managers that say so when they are used without `with`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from types import TracebackType
from typing import Generic, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Block(AbstractContextManager[T], Generic[T]):
    """What a method does as long as a `with` block lasts; nothing at all without one, of which it warns.

    Args:
        method: Name of the method.
        manager: Does it.
        file: Where the method was called.
        line: On which line.
    """

    def __init__(self, method: str, manager: AbstractContextManager[T], file: str, line: int) -> None:
        self._method = method
        self._manager = manager
        self._called = (file, line)
        self._is_told = False

    def __enter__(self) -> T:
        self._is_told = True
        return self._manager.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._manager.__exit__(kind, error, traceback)

    def __getattr__(self, name: str) -> NoReturn:
        self._is_told = True
        raise AttributeError(f"{self._advice}, which gives what has {name!r}", name=name, obj=self)

    def __del__(self) -> None:
        if not self._is_told:
            warnings.warn_explicit(self._advice, RuntimeWarning, *self._called)

    @property
    def _advice(self) -> str:
        return f"fake.{self._method}(...) does nothing by itself; write `with fake.{self._method}(...) as ...:`"


def block(function: Callable[P, Generator[T]]) -> Callable[P, Block[T]]:
    """Make a context manager of a method that yields once, as `contextlib.contextmanager` does."""
    managed = contextmanager(function)

    @wraps(function)
    def made(*args: P.args, **kwargs: P.kwargs) -> Block[T]:
        caller = sys._getframe(1)  # noqa: SLF001  # inspect.currentframe is the same and costs its import
        return Block(function.__name__, managed(*args, **kwargs), caller.f_code.co_filename, caller.f_lineno)

    return made
