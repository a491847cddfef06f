"""What the plugin costs those who have it installed and do not use it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.rows import Row

TESTS = "import pytest\n\n@pytest.mark.parametrize('n', range(500))\ndef test(n):\n    assert n >= 0\n"
RUNS = 4
"""Fresh processes per measurement; the cheapest of them is what the machine, not its other work, takes."""


def rows() -> dict[str, Row]:
    """The same in processor time, which says more on a busy machine, and as it is waited for."""
    return {
        "plugin": _row("plugin installed, unused: 500 tests, processor time", _processor_time),
        "plugin-wall": _row("plugin installed, unused: 500 tests, elapsed time", time.perf_counter),
    }


def _row(name: str, clock: Callable[[], float]) -> Row:
    without = ("-p", "no:portkey_testing")
    return Row(
        name,
        "s",
        1.03,
        "pytest without it",
        {
            "pytest without it": partial(_cheapest, clock, *without),
            "ours": partial(_cheapest, clock),
            "pytest without respx's either": partial(_cheapest, clock, *without, "-p", "no:respx"),
        },
        {},
    )


def _processor_time() -> float:
    """Seconds of the processor, in user code and in the system, that the processes started here have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cheapest(clock: Callable[[], float], *options: str) -> float:
    # Bytecode is kept from run to run, as it is for those whose tests start twice.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_many.py").write_text(TESTS, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, folder]

        def run() -> float:
            started = clock()
            subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)
            return clock() - started

        run()
        return min(run() for _ in range(RUNS))
