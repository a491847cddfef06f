"""What the last test run played of each cassette, so that what no test needs any more can be found.

A run of all tests tells about all files; what earlier runs told is dropped. A run of some tests (`-k`, a path, one that
was broken off) only adds what it played: of a test that did not run it says nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_FILE: Final = "played.json"


@dataclass(frozen=True, slots=True)
class Use:
    """What one test played of one cassette.

    Attributes:
        file: The file.
        played: Numbers of the interactions that were played, from 1; None where all were, as while they are recorded.
    """

    file: Path
    played: frozenset[int] | None = None


def note(folder: Path, uses: Iterable[Use], *, whole: bool) -> None:
    """Note what a run used.

    Args:
        folder: Where the notes are kept.
        uses: What its tests played.
        whole: Whether all tests of the project ran.
    """
    kept: dict[str, list[int] | None] = {}
    known = _read(folder)
    if known is not None and not whole:
        kept = known["played"]
    for use in uses:
        name = str(use.file.resolve())
        before = kept.get(name, [])
        kept[name] = None if before is None or use.played is None else sorted({*before, *use.played})
    complete = whole or (known is not None and known["whole"])
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, copy = tempfile.mkstemp(suffix=".tmp", dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"whole": complete, "played": kept}, file)
    Path(copy).replace(folder / _FILE)


def last_used(folder: Path) -> dict[Path, frozenset[int] | None] | None:
    """What was played of each file since the last run of all tests, as in `Use`; None if there was no such run."""
    known = _read(folder)
    if known is None or not known["whole"]:
        return None
    return {Path(name): None if played is None else frozenset(played) for name, played in known["played"].items()}


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        text = (folder / _FILE).read_text("utf-8")
    except FileNotFoundError:
        return None
    found: dict[str, Any] = json.loads(text)
    return found
