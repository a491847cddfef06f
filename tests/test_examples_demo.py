"""The demo: it runs offline, and shows what happened."""

from __future__ import annotations

import io
import os
import re
import time
from contextlib import redirect_stdout
from typing import Final

import pytest

from portkey_testing._cli import demo
from tests.live.record import CASSETTES


@pytest.fixture(scope="module")
def shown() -> str:
    """What the demo prints, run once, on a machine that cannot wait and has no keys."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(time, "sleep", _no_waiting)
        for name in [name for name in os.environ if "KEY" in name]:
            patch.delenv(name)
        demo.main()
    return printed.getvalue()


def _no_waiting(seconds: float) -> None:
    raise AssertionError(f"the demo would wait {seconds} s")


STORY: Final = {
    "each call": r"^call 1 at 0\.00 s: POST /v1/chat/completions gpt-4o \(stream\)$",
    "an attempt with provider, target, status and time": r"^├─ 1\.00 s  anthropic config\.targets\[1\] #1: 200 ",
    "a retry and its wait": r"^│  wait 1 s \(back-off before retry 1\)$",
    "why the gateway moved on": r"^│    moved on: 503: fallback on any non-2xx$",
    "a tool call with arguments and result": r"^│  tool get_weather\(location='Oslo'\) gave 21$",
    "the streamed text": r"^assistant: Let me look\. It is 21 degrees in Oslo, and the sun is out\.$",
    "virtual time": r"^Virtual time: 2\.20 s$",
    "the script": r"^    fake\.provider\(.openai.\)\.reply\(error\(.overloaded.\)",
    "half an answer": r"^           IncompleteStreamError: .* the stream ended without \[DONE\]",
    "a time line": r"^2  openai #1 429 +█$",
    "the cassette": r"^3\. Replayed: streamed_tool_call\.yaml",
    "an attempt that was recorded": r"^├─ .* openai config\.targets\[0\] #1: 200  recorded in streamed_tool_call",
    "the recorded text": r"^assistant: It is 21 degrees in Oslo\.$",
}


@pytest.mark.parametrize("pattern", STORY.values(), ids=STORY)
def test_the_demo_tells_the_story(shown: str, pattern: str) -> None:
    """Everything that happened stands on a line of its own."""
    assert re.search(pattern, shown, re.MULTILINE), shown


def test_the_demo_ends_with_the_time_it_took(shown: str) -> None:
    """The last line sets real time beside the virtual seconds above."""
    assert re.fullmatch(r"Real time: \d+\.\d\d s", shown.splitlines()[-1])


def test_the_cassette_of_the_demo_is_the_recorded_one() -> None:
    """The package brings a copy along, for those who have nothing else."""
    assert (CASSETTES / "agent" / demo.CASSETTE.name).read_bytes() == demo.CASSETTE.read_bytes()
