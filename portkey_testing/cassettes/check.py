"""Judges cassette files without sending anything: damage, secrets, drift from the client's models, age."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from portkey_testing.cassettes.match import brief
from portkey_testing.cassettes.model import Cassette, CassetteError, Header, RecordedResponse
from portkey_testing.cassettes.redact import Redactor
from portkey_testing.cassettes.scan import scan
from portkey_testing.cassettes.store import load
from portkey_testing.cassettes.verify import drift

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about one cassette that somebody should see to.

    Attributes:
        path: The file.
        line: Line in the file, starting at 1; None where it is about the whole of it.
        level: `error`: the file cannot be relied upon; `warning`: it should be recorded again some time.
        rule: `damaged`, `secret`, `drift`, `expired`, `unused` or `unplayed`.
        problem: What is wrong and what to do.
    """

    path: Path
    line: int | None
    level: Level
    rule: str
    problem: str

    def __str__(self) -> str:
        place = str(self.path) if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.level}: {self.problem} [{self.rule}]"


def cassettes_in(path: Path) -> list[Path]:
    """The file itself, or all cassettes below a folder, in order.

    Raises:
        CassetteError: there is neither.
    """
    if path.is_dir():
        return sorted(found for found in path.rglob("*.yaml") if found.is_file())
    if not path.exists():
        raise CassetteError("there is no such file or folder; name those that hold the cassettes", path=path)
    return [path]


def check(path: Path, *, today: dt.date, max_age_days: int | None = None) -> list[Finding]:
    """Everything that is wrong with one file.

    Args:
        path: The file.
        today: The date to reckon its age from.
        max_age_days: Age from which it is a warning.
    """
    try:
        cassette = load(path)
    except CassetteError as error:
        return [Finding(path, error.line, "error", "damaged", error.problem)]
    except OSError as error:
        return [Finding(path, None, "error", "damaged", f"it cannot be read: {error.strerror}")]
    return [*_interactions(path, cassette), *_age(path, cassette, today, max_age_days)]


def unused(files: Sequence[Path], used: Mapping[Path, frozenset[int] | None]) -> Iterator[Finding]:
    """The files, and the interactions in the others, that nobody played, given what was: see `usage.last_used`."""
    for path in files:
        played = used.get(path.resolve(), frozenset())
        if played is None:
            continue
        if path.resolve() not in used:
            yield Finding(path, None, "warning", "unused", "no test of the last run used it: delete it")
            continue
        try:
            interactions = load(path).interactions
        except (CassetteError, OSError):
            continue  # told by `check`
        for number, interaction in enumerate(interactions, 1):
            if number not in played:
                problem = (
                    f"no test of the last run played interaction {number} ({brief(interaction.request)}): "
                    "pytest --portkey-record=rewrite drops it"
                )
                yield Finding(path, interaction.line, "warning", "unplayed", problem)


def _interactions(path: Path, cassette: Cassette) -> Iterator[Finding]:
    shapes = Redactor().shapes
    for interaction in cassette.interactions:
        if place := scan(interaction, (), shapes):
            problem = f"{place}. Revoke it, and record the file again"
            yield Finding(path, interaction.line, "error", "secret", problem)
        if isinstance(interaction.response, RecordedResponse):
            for problem in drift(interaction.response):
                yield Finding(path, interaction.line, "warning", "drift", f"response.{problem}")


def _age(path: Path, cassette: Cassette, today: dt.date, max_age_days: int | None) -> Iterator[Finding]:
    if max_age_days is not None and (problem := expired(cassette.header, today, max_age_days)):
        yield Finding(path, 1, "warning", "expired", problem)


def expired(header: Header, today: dt.date, max_age_days: int) -> str | None:
    """Why a cassette should be recorded again, if it is older than that."""
    try:
        age = (today - dt.date.fromisoformat(header.recorded)).days
    except ValueError:
        return f"expected a date such as {today} in `recorded`, found {header.recorded!r}: nobody knows how old it is"
    if age <= max_age_days:
        return None
    return f"recorded {age} days ago, which is more than {max_age_days}: pytest --portkey-record=rewrite"
