"""The cassettes of this repository: each replays."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from examples import agent
from portkey_testing import FakeGateway
from portkey_testing.cassettes import Interaction, RecordedResponse, load_cassette
from portkey_testing.cassettes.verify import moved
from tests.live.record import CASSETTES, RECORDINGS, Recording

OUTCOMES: Final = {
    "agent/plain.yaml": "21 degrees",
    "agent/streamed_tool_call.yaml": "It is 21 degrees in Oslo.",
    "agent/parallel_tool_calls.yaml": "Oslo 21, Bergen 14.",
    "agent/fallback.yaml": "21 degrees",
    "agent/guardrail.yaml": "The guardrail checks defined in the config failed.",
    "agent/error.yaml": "Incorrect API key provided",
    "agent/interrupted_stream.yaml": "ended",
}
"""What each application says in the end, or a part of what is raised in it."""

EACH: Final = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)


@EACH
def test_a_cassette_replays_to_the_same_end(recording: Recording) -> None:
    """The application that was recorded gets from the cassette what it got from the real gateway."""
    fake = FakeGateway()

    with fake.mount(), fake.replay(CASSETTES / recording.name):
        outcome = recording.outcome(agent.client.with_options(max_retries=0))

    assert OUTCOMES[recording.name] in outcome


def test_every_cassette_has_its_recording() -> None:
    """No file lies about that nothing records again."""
    assert {recording.name for recording in RECORDINGS} == {
        str(path.relative_to(CASSETTES)) for path in CASSETTES.rglob("*.yaml")
    }


def test_the_fallback_moved_on() -> None:
    """The journal of a replay names the target that answered."""
    fake = FakeGateway()

    with fake.mount(), fake.replay(CASSETTES / "agent" / "fallback.yaml"):
        agent.ask("Weather in Oslo?")

    assert "config.targets[1]" == fake.last.route.target


def test_a_changed_answer_is_seen() -> None:
    """Another status, header or word is named with its path; other times are not."""
    (before,) = load_cassette(CASSETTES / "agent" / "plain.yaml").interactions
    assert isinstance(before.response, RecordedResponse)
    later = Interaction(before.request, replace(before.response, after_ms=before.response.after_ms + 1000))
    other = replace(before.response, status=201, headers={**before.response.headers, "x-portkey-provider": "groq"})

    assert [] == moved(before, later)
    assert ["headers.x-portkey-provider: 'openai' became 'groq'", "status: 200 became 201"] == sorted(
        moved(before, Interaction(before.request, other))
    )
