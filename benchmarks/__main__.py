"""`scripts/bench`: measures every row and prints it; `scripts/bench KEY...` only some."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence

from benchmarks import cassettes, client, fake, plugin, served
from benchmarks.rows import Row
from benchmarks.timing import Comparison, in_turns


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of: {', '.join(all_rows())} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="processes that measure each contender (5)")
    parser.add_argument("--measure", nargs=2, metavar=("ROW", "CONTENDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a row as soon as it is known, also in a pipe
    known = all_rows()
    if options.measure:
        row, contender = options.measure
        print(json.dumps(_measure(known[row], contender)))
        return 0
    for key in options.rows:
        if key not in known:
            parser.error(f"no row is called {key!r}; there are: {', '.join(known)}")
    missed = [key for key in options.rows or known if not _report(key, known[key], options.rounds)]
    if missed:
        print(f"\ngoals missed: {', '.join(missed)}")
    return 1 if missed else 0


def all_rows() -> dict[str, Row]:
    """Every row by a short key, as it is chosen on the command line."""
    return {**client.rows(), **fake.rows(), **cassettes.rows(), **plugin.rows(), **served.rows()}


def _report(key: str, row: Row, rounds: int) -> bool:
    """Measure and print one row; whether its goal was met."""
    if row.floor not in row.available():
        print(f"\n{row.name} [{key}]: not measured, {row.needs[row.floor]} is not installed")
        return True
    names = [name for name in row.available() if name != row.floor]
    results: dict[str, list[Comparison]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            results[name].append(_compared(key, row, name))
    goal = "" if row.goal is None else f", goal {row.goal:g} x"
    floor = statistics.median(result.floor for compared in results.values() for result in compared)
    print(f"\n{row.name} [{key}]{goal}")
    print(f"  {row.floor:34} {_shown(floor, row.unit):>12} {1:>8.2f} x")
    met = True
    for name, compared in results.items():
        ratios = [result.ratio for result in compared]
        ratio = statistics.median(ratios)
        verdict = ""
        if name == "ours" and row.goal is not None:
            met = ratio <= row.goal
            verdict = "" if met else "  MISSED"
        figure = _shown(statistics.median(result.figure for result in compared), row.unit)
        print(f"  {name:34} {figure:>12} {ratio:>8.2f} x ({min(ratios):.2f} to {max(ratios):.2f}){verdict}")
    for name in row.contenders.keys() - {row.floor, *names}:
        print(f"  {name:34} not installed")
    return met


def _compared(key: str, row: Row, contender: str) -> Comparison:
    """A contender next to the floor: by one process if both can be measured in turns, else by one for each."""
    measured = _from_a_process(key, contender)
    if isinstance(measured, float):
        floor = _from_a_process(key, row.floor)
        if not isinstance(floor, float):
            raise SystemExit(f"{key}: {contender} returns a figure, {row.floor} samples; a row has one or the other")
        return Comparison(measured, floor, measured / floor)
    return Comparison(*measured)


def _measure(row: Row, contender: str) -> float | list[float]:
    """In the fresh process: the figure of a contender, or the figures of a comparison with the floor."""
    measured, floor = row.contenders[contender](), row.floor
    if isinstance(measured, float):
        return measured
    base = row.contenders[floor]()
    if isinstance(base, float):
        raise SystemExit(f"{contender} returns samples, {floor} a figure; a row has one or the other")
    compared = in_turns(measured, base)
    return [compared.figure, compared.floor, compared.ratio]


def _from_a_process(key: str, contender: str) -> float | list[float]:
    """What `_measure` says in a process of its own."""
    command = [sys.executable, "-m", "benchmarks", "--measure", key, contender]
    # Where bytecode is not kept, every process compiles all it imports, and that is what would be measured.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{key}: {contender} failed:\n{done.stderr}")
    measured: float | list[float] = json.loads(done.stdout)
    return measured


def _shown(figure: float, unit: str) -> str:
    if unit != "s":
        return f"{figure:.1f} {unit}"
    if figure >= 1:
        return f"{figure:.2f} s"
    return f"{figure * 1000:.2f} ms" if figure >= 0.001 else f"{figure * 1_000_000:.0f} µs"


if __name__ == "__main__":
    sys.exit(main())
