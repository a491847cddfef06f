"""What the plugin costs those who have it installed and do not use it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.rows import Row
from benchmarks.timing import once

TESTS = "import pytest\n\n@pytest.mark.parametrize('n', range(500))\ndef test(n):\n    assert n >= 0\n"


def rows() -> dict[str, Row]:
    """One row."""
    return {
        "plugin": Row(
            "plugin installed, unused: 500 tests",
            "s",
            1.03,
            "pytest without it",
            {"pytest without it": partial(_run, "-p", "no:portkey_testing"), "ours": _run},
            {},
        )
    }


def _run(*options: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_many.py").write_text(TESTS, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, folder]
        return once(lambda: subprocess.run(command, check=True, capture_output=True, cwd=folder))
