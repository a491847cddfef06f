"""Which cassettes the last test run used, so that those that no test uses can be found.

A run writes one file of lines, one for each use. Lines of the workers of pytest-xdist may be written at the same time:
each is appended in one piece.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_PREFIX: Final = "used-"


def note(folder: Path, session: str, path: Path) -> None:
    """Note that a test of the run `session` used a cassette; what earlier runs noted is dropped."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{_PREFIX}{session}.txt"
    if not log.exists():
        for other in folder.glob(f"{_PREFIX}*.txt"):
            if other != log:
                other.unlink(missing_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{path.resolve()}\n".encode("utf-8", "surrogateescape"))
    finally:
        os.close(descriptor)


def last_used(folder: Path) -> frozenset[Path] | None:
    """The cassettes the last run used; None if no run has noted any."""
    logs = sorted(folder.glob(f"{_PREFIX}*.txt"), key=lambda log: log.stat().st_mtime)
    if not logs:
        return None
    lines = logs[-1].read_text("utf-8", "surrogateescape").splitlines()
    return frozenset(map(Path, lines))
