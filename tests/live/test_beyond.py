"""The fake and the real gateway agree beyond what is recorded."""

from __future__ import annotations

import json

import pytest

from tests.conformance.adapter import run
from tests.conformance.compare import differences, explain
from tests.conformance.results import untimed
from tests.live.beyond import FAMILIES, scenarios
from tests.live.corpus import play_all
from tests.live.gateway import RealGateway
from tests.live.provider import LoopbackProvider


@pytest.mark.live
@pytest.mark.parametrize("family", FAMILIES)
def test_the_fake_answers_what_the_real_gateway_answers(
    family: str, gateway: RealGateway, provider: LoopbackProvider
) -> None:
    """Asked side by side, in every aspect but the time it takes, since nothing here waits."""
    found = []
    for scenario, answered in play_all(scenarios(family), gateway.url, provider, jobs=4):
        differing = differences(untimed(answered), untimed(run(scenario)))
        if differing:
            found.append(f"{json.dumps(scenario)}\n{explain(differing)}")

    assert not found, "\n\n".join(found)
