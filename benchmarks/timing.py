"""Measuring one thing in the current process."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Callable

WARM_UP = 3


def per_operation(operation: Callable[[], object], *, at_least: float = 0.4) -> float:
    """Seconds that one call of `operation` takes, over as many calls as fit into `at_least` seconds."""
    for _ in range(WARM_UP):
        operation()
    gc.collect()
    calls = 0
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < at_least:
        operation()
        calls += 1
    return elapsed / calls


def once(operation: Callable[[], object]) -> float:
    """Seconds that one call of `operation` takes, the first one."""
    started = time.perf_counter()
    operation()
    return time.perf_counter() - started


def peak_memory() -> float:
    """The largest size this process has had, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
