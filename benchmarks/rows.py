"""What is measured: rows of contenders, each of which costs so many times what the floor costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from shutil import which

from benchmarks.timing import Sample

Contender = Callable[[], float | Sample]
"""Called in a fresh process. Returns its figure, measured there and then; or a `Sample`, to be asked in turns with
the floor's, which is steadier."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report.

    Attributes:
        name: What is measured.
        unit: Of the figures: `s`, or `MB` for memory.
        goal: The highest ratio to the floor that is good enough; None if the row is for information.
        floor: The name of the contender the others are compared with.
        contenders: Name to contender; the floor is one of them, `ours` another. All return figures, or all samples.
        needs: Package or program that a contender is skipped without.
    """

    name: str
    unit: str
    goal: float | None
    floor: str
    contenders: Mapping[str, Contender]
    needs: Mapping[str, str]

    def available(self) -> list[str]:
        """The contenders that can run in this environment."""
        return [name for name in self.contenders if _is_there(self.needs.get(name, "httpx"))]


def _is_there(need: str) -> bool:
    return which(need) is not None or ("/" not in need and find_spec(need) is not None)
