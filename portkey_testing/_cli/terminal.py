"""What a terminal can show."""

from __future__ import annotations

import shutil
import sys


def columns() -> int:
    """Characters of a line of the terminal, or of what a pipe is taken for."""
    return shutil.get_terminal_size().columns


def fitted(line: str) -> str:
    """A line of a tree, cut to the width of the terminal, which would fold it; whole in a pipe."""
    width = columns()
    return line if len(line) <= width or not sys.stdout.isatty() else f"{line[: width - 1]}…"
