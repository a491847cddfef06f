"""Recording from the real gateway: the cassettes of this repository, and a recording through the fake."""

from __future__ import annotations

from pathlib import Path

import pytest

from portkey_client import Portkey
from portkey_testing import FakeGateway
from portkey_testing.cassettes import load_cassette
from tests.live.gateway import RealGateway
from tests.live.provider import LoopbackProvider
from tests.live.record import RECORDINGS, Recording, check, record

pytestmark = pytest.mark.live


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_nothing_moved(recording: Recording, gateway: RealGateway, provider: LoopbackProvider, tmp_path: Path) -> None:
    """Recorded again, a cassette of this repository is the same but for times, dates and ids."""
    file = record(recording, gateway, provider, tmp_path)

    assert [] == check(file, recording.name)


def test_a_stream_of_the_real_gateway_is_recorded_through_the_fake(
    gateway: RealGateway, provider: LoopbackProvider, tmp_path: Path
) -> None:
    """An application with another base URL is recorded at this gateway, and replays without it."""
    file, fake = tmp_path / "x.yaml", FakeGateway()
    provider.load("recorded", {"a": [{"kind": "openai_sse", "deltas": ["21 ", "degrees"]}]})
    target = {"provider": "openai", "api_key": "k", "custom_host": f"{provider.url('recorded', 'a')}/v1"}
    messages = [{"role": "user", "content": "Weather in Oslo?"}]

    def ask() -> list[str | None]:
        with (
            Portkey(api_key="k", config=target) as client,
            client.chat.completions.create(model="gpt-4o", messages=messages, stream=True) as stream,
        ):
            return [chunk.choices[0].delta.content for chunk in stream]

    with fake.mount(), fake.record(file, gateway.base_url):
        live = ask()
    with fake.mount(), fake.replay(file):
        replayed = ask()

    assert ["21 ", "degrees", None] == live == replayed
    assert 1 == len(load_cassette(file).interactions)
