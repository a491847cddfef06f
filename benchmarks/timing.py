"""Measuring things in the current process.

Times are CPU time of the process. Nothing that is timed here waits for anything, so on an idle machine the clock on the
wall would say the same; on a shared one it would measure the neighbours.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Sample = Callable[[], float]
"""Measures something once and returns its cost; to be asked again and again."""

WARM_UP: Final = 3
BATCH_SECONDS: Final = 0.01
"""How long a batch of calls should take: long for the clock, short for the ups and downs of a shared machine."""
MIN_TURNS: Final = 3
TURNS_SECONDS: Final = 1.2


@dataclass(frozen=True, slots=True)
class Comparison:
    """A contender next to the floor.

    Attributes:
        figure: What the contender costs, in the unit of the row.
        floor: What the floor costs.
        ratio: How many times the floor the contender costs: the median over pairs measured back to back, which the
            quotient of the two other figures need not be.
    """

    figure: float
    floor: float
    ratio: float


def batches(operation: Callable[[], object], *, counts: int = 1) -> Sample:
    """Seconds that one call of `operation` takes, from a batch of calls at each asking; one `counts` as so many."""
    for _ in range(WARM_UP):
        operation()
    started = time.process_time()
    operation()
    calls = max(1, round(BATCH_SECONDS / max(time.process_time() - started, 1e-9)))

    def sample() -> float:
        started = time.process_time()
        for _ in range(calls):
            operation()
        return (time.process_time() - started) / (calls * counts)

    return sample


def in_turns(contender: Sample, floor: Sample) -> Comparison:
    """Ask both again and again, in alternating order, so that whatever slows the machine down meets both."""
    figures: list[float] = []
    floors: list[float] = []
    ends = time.monotonic() + TURNS_SECONDS
    while len(figures) < MIN_TURNS or time.monotonic() < ends:
        if len(figures) % 2:
            figures.append(contender())
            floors.append(floor())
        else:
            floors.append(floor())
            figures.append(contender())
    ratios = [figure / base for figure, base in zip(figures, floors, strict=True)]
    return Comparison(statistics.median(figures), statistics.median(floors), statistics.median(ratios))


def per_operation(operation: Callable[[], object], *, at_least: float = 0.4) -> float:
    """Seconds that one call of `operation` takes, over as many calls as fit into `at_least` seconds."""
    for _ in range(WARM_UP):
        operation()
    gc.collect()
    calls = 0
    started = time.process_time()
    while (elapsed := time.process_time() - started) < at_least:
        operation()
        calls += 1
    return elapsed / calls


def once(operation: Callable[[], object]) -> float:
    """Seconds that one call of `operation` takes, the first one; also what it waits for."""
    started = time.perf_counter()
    operation()
    return time.perf_counter() - started


def peak_memory() -> float:
    """The largest size this process has had, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
