"""What is measured: rows of contenders. A contender is a function that measures itself once and returns its figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

Measure = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report.

    Attributes:
        name: What is measured.
        unit: Of the figures: `s`, or `MB` for memory.
        goal: The highest ratio to the floor that is good enough; None if the row is for information.
        floor: The name of the contender the others are compared with.
        contenders: Name to measurement; the floor is one of them, `ours` another.
        needs: Package a contender is skipped without.
    """

    name: str
    unit: str
    goal: float | None
    floor: str
    contenders: Mapping[str, Measure]
    needs: Mapping[str, str]

    def available(self) -> list[str]:
        """The contenders that can run in this environment."""
        return [name for name in self.contenders if find_spec(self.needs.get(name, "httpx")) is not None]


def all_rows() -> dict[str, Row]:
    """Every row by a short key, as it is chosen on the command line."""
    from benchmarks import cassettes, client, fake, plugin

    return {**client.rows(), **fake.rows(), **cassettes.rows(), **plugin.rows()}
