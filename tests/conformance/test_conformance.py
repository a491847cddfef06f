"""The fake answers what the real gateway answered, scenario by scenario."""

from __future__ import annotations

import pytest

from tests.conformance.adapter import run
from tests.conformance.compare import differences, explain
from tests.conformance.scenarios import load_scenario, load_truth, names

OUT_OF_REACH: dict[str, str] = {}
"""Scenarios that the fake answers differently on purpose, and why; `docs/fidelity.md` has the same list."""


@pytest.mark.parametrize("name", names())
def test_the_fake_agrees_with_the_recording(name: str) -> None:
    """Status, headers, body, events, every upstream attempt and the time all of it takes are as recorded."""
    scenario = load_scenario(name)

    found = differences(load_truth(name), run(scenario), scenario.get("compare"))

    if name in OUT_OF_REACH:
        assert found, f"{name} agrees now: take it from OUT_OF_REACH and from docs/fidelity.md"
        pytest.xfail(OUT_OF_REACH[name])
    assert not found, explain(found)
