"""Patches that are undone in any order: two fakes, or a fake and another library, may patch the same function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
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

    def when_imported(self, name: str, patch: Callable[[Any], None]) -> None:
        """Hand a module to `patch`: now if it is there, else as soon as it is imported, should that ever happen."""
        module = sys.modules.get(name)
        if module is not None:
            patch(module)
            return
        awaiting = _Awaiting(name, patch)
        sys.meta_path.insert(0, awaiting)
        self._undo.append(awaiting.give_up)

    def undo(self) -> None:
        """Put everything back, the latest first."""
        while self._undo:
            self._undo.pop()()


class _Awaiting(MetaPathFinder):
    """Waits for a module to be imported, which the others do: it only has the last word on what comes of that.

    Args:
        name: Name of the module.
        patch: Is handed the module when it has run.
    """

    def __init__(self, name: str, patch: Callable[[Any], None]) -> None:
        self._name = name
        self._patch = patch

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        self.give_up()  # or it would find itself
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._patch(module)

            vars(spec.loader)["exec_module"] = exec_module
        return spec

    def give_up(self) -> None:
        """Wait no longer."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)


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
