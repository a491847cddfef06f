"""The program is run as its users run it, against a fake on a port."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from portkey_testing import FakeGateway, error


@pytest.fixture
def fake() -> FakeGateway:
    """A gateway for a process that the fixture `portkey_fake` cannot see into."""
    return FakeGateway()


def run_worker(fake: FakeGateway, questions: str) -> subprocess.CompletedProcess[str]:
    """Run the program against the fake, served on a port of this machine."""
    command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
    with fake.serve(time_scale=0) as server:
        environment = os.environ | server.env
        return subprocess.run(
            command, input=questions, env=environment, capture_output=True, text=True, check=False, timeout=60
        )


def test_the_program_answers(fake: FakeGateway) -> None:
    """Two questions, two answers, over a real connection."""
    fake.when(message="Oslo").reply("Sunny")
    fake.when(message="Bergen").reply("Rain")

    done = run_worker(fake, "Weather in Oslo?\nWeather in Bergen?\n")

    assert (done.stdout, done.stderr, done.returncode) == ("Sunny\nRain\n", "", 0)
    assert [call.request.headers["x-portkey-provider"] for call in fake.calls] == ["openai", "openai"]


def test_the_program_says_what_failed(fake: FakeGateway) -> None:
    """A failure is told on standard error and in the exit status, and the next question is still asked."""
    fake.when(message="Oslo").reply(error("quota_exceeded"))
    fake.when(message="Bergen").reply("Rain")

    done = run_worker(fake, "Weather in Oslo?\nWeather in Bergen?\n")

    assert (done.stdout, done.returncode) == ("Rain\n", 1)
    assert "exceeded your current quota" in done.stderr
