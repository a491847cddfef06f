"""`scripts/bench`: measures every row and prints it; `scripts/bench KEY...` only some."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.rows import Row, all_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of: {', '.join(all_rows())} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="measurements of each contender (5)")
    parser.add_argument("--measure", nargs=2, metavar=("ROW", "CONTENDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    known = all_rows()
    if options.measure:
        row, contender = options.measure
        print(json.dumps(known[row].contenders[contender]()))
        return 0
    for key in options.rows:
        if key not in known:
            parser.error(f"no row is called {key!r}; there are: {', '.join(known)}")
    missed = [key for key in options.rows or known if not _report(key, known[key], options.rounds)]
    if missed:
        print(f"\ngoals missed: {', '.join(missed)}")
    return 1 if missed else 0


def _report(key: str, row: Row, rounds: int) -> bool:
    """Measure and print one row; whether its goal was met."""
    names = row.available()
    figures: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            figures[name].append(_measured(key, name))
    goal = "" if row.goal is None else f", goal {row.goal:g} x"
    print(f"\n{row.name} [{key}]{goal}")
    met = True
    for name in names:
        ratios = [figure / floor for figure, floor in zip(figures[name], figures[row.floor], strict=True)]
        ratio = statistics.median(ratios)
        verdict = ""
        if name == "ours" and row.goal is not None:
            met = ratio <= row.goal
            verdict = "" if met else "  MISSED"
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"  {name:34} {_shown(statistics.median(figures[name]), row.unit):>12} {ratio:>8.2f} x {spread}{verdict}")
    for name in row.contenders.keys() - set(names):
        print(f"  {name:34} not installed")
    return met


def _measured(key: str, contender: str) -> float:
    """The figure of one contender from a fresh process."""
    command = [sys.executable, "-m", "benchmarks", "--measure", key, contender]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{key}: {contender} failed:\n{done.stderr}")
    figure: float = json.loads(done.stdout)
    return figure


def _shown(figure: float, unit: str) -> str:
    if unit != "s":
        return f"{figure:.1f} {unit}"
    if figure >= 1:
        return f"{figure:.2f} s"
    return f"{figure * 1000:.2f} ms" if figure >= 0.001 else f"{figure * 1_000_000:.0f} µs"


if __name__ == "__main__":
    sys.exit(main())
