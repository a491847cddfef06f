"""The benchmarks' arithmetic, and that what they measure of the client still runs."""

from __future__ import annotations

import pytest

from benchmarks import client, timing
from benchmarks.timing import Sample


def scripted(*figures: float) -> Sample:
    """A sample that gives these figures one after the other."""
    return iter(figures).__next__


def test_a_contender_is_compared_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratio is the median over neighbours: a slow moment that meets both of a pair does not show in it."""
    monkeypatch.setattr(timing, "TURNS_SECONDS", 0)

    compared = timing.in_turns(scripted(3.0, 30.0, 3.3), scripted(2.0, 20.0, 3.0))

    assert timing.Comparison(figure=3.3, floor=3.0, ratio=1.5) == compared


def test_contender_and_floor_take_turns_at_going_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes second may find the caches warm."""
    monkeypatch.setattr(timing, "TURNS_SECONDS", 0)
    order: list[str] = []

    def sample(name: str) -> Sample:
        def ask() -> float:
            order.append(name)
            return 1.0

        return ask

    timing.in_turns(sample("contender"), sample("floor"))

    assert ["floor", "contender", "contender", "floor", "floor", "contender"] == order


def test_a_batch_is_counted_by_what_its_calls_stand_for() -> None:
    """Twenty calls of a loop that one operation makes are twenty."""
    calls = 0

    def operation() -> None:
        nonlocal calls
        calls += 1
        sum(range(20_000))

    alone, twenty = timing.batches(operation)(), timing.batches(operation, counts=20)()

    assert calls > 2 * timing.WARM_UP
    assert alone > 5 * twenty > 0


@pytest.mark.parametrize("row", ["create", "create-async", "stream", "stream-async", "stream-coalesced", "new-client"])
def test_the_clients_rows_run(row: str) -> None:
    """The floor and the client of each row can be sampled."""
    contenders = client.rows()[row].contenders
    for name in (client.rows()[row].floor, "ours"):
        sample = contenders[name]()

        assert callable(sample)
        assert sample() > 0
