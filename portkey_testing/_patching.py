"""Patches that are undone in any order: two fakes, or a fake and another library, may patch the same function."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Patches:
    """Functions of others that are replaced, and how to put them back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def replace(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        """Put `function` in the place of `owner.name`."""
        # Not by getattr, which would turn a class method into a method of that class.
        inherited = name not in vars(owner)
        original = vars(owner).get(name)

        def undo() -> None:
            # Where somebody has patched it since, theirs stays, and goes on calling ours.
            if getattr(owner, name) is not function:
                return
            if inherited:
                delattr(owner, name)
            else:
                setattr(owner, name, original)

        setattr(owner, name, function)
        self._undo.append(undo)

    def undo(self) -> None:
        """Put everything back, the latest first."""
        while self._undo:
            self._undo.pop()()


class InPlace(Generic[T]):
    """Who answers patched functions at the moment: several may, the latest does, and the first and last patch.

    Args:
        patch: Puts the patches in place. They must let everything pass while there is nobody.
    """

    def __init__(self, patch: Callable[[Patches], None]) -> None:
        self._patch = patch
        self._patches = Patches()
        self._members: list[T] = []
        self._lock = Lock()

    @property
    def latest(self) -> T | None:
        return self._members[-1] if self._members else None

    @property
    def count(self) -> int:
        return len(self._members)

    @contextmanager
    def entered(self, member: T) -> Generator[None]:
        """Count `member` in until the block is left."""
        with self._lock:
            if not self._members:
                self._patch(self._patches)
            self._members.append(member)
        try:
            yield
        finally:
            with self._lock:
                self._members.remove(member)
                if not self._members:
                    self._patches.undo()
