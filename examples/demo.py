"""The demo: the agent of `agent.py` against the fake gateway, and then against a recording of the real one.

Run it with `scripts/demo`. Nothing in it needs a network or a key, and no second of the waiting it shows is real.
"""

from __future__ import annotations

import time
from pathlib import Path

from examples import agent
from portkey_testing import FakeGateway, error, text, tool_call

CASSETTE = Path(__file__).parent.parent / "cassettes" / "agent" / "streamed_tool_call.yaml"

QUESTION = "Weather in Oslo?"


def main() -> None:
    """Both halves, one after the other."""
    started = time.perf_counter()
    _scripted()
    _recorded()
    print(f"Real time: {time.perf_counter() - started:.2f} s")


def _scripted() -> None:
    """A bad day at OpenAI: overloaded twice, and later on it is rate limited."""
    fake = FakeGateway()
    fake.provider("openai").reply(error("overloaded"), error("overloaded"), error("rate_limited", retry_after=20))
    fake.provider("anthropic").reply(
        (text("Let me look. ") + tool_call("get_weather", location="Oslo")).delayed(0.4),
        text("It is 21 degrees in Oslo, and the sun is out.").streamed(by="word", ttft=0.3, tps=20),
    )
    _heading("1. Scripted: OpenAI fails, Anthropic calls a tool and answers")
    with fake.mount():
        _run_agent()
    _tell(fake)


def _recorded() -> None:
    """The same agent, answered by what the real gateway once said."""
    fake = FakeGateway()
    _heading(f"2. Replayed: {CASSETTE.parent.name}/{CASSETTE.name}, recorded from the real gateway")
    with fake.mount(), fake.replay(CASSETTE):
        _run_agent()
    _tell(fake)


def _run_agent() -> None:
    print(f"user:      {QUESTION}")
    print("assistant: ", end="")
    agent.run_agent(QUESTION, show=lambda piece: print(piece, end="", flush=True))
    print("\n")


def _tell(fake: FakeGateway) -> None:
    print(fake.journal)
    print(f"\nVirtual time: {fake.clock.now:.2f} s\n")


def _heading(title: str) -> None:
    print(f"{title}\n{'=' * len(title)}\n")


if __name__ == "__main__":
    main()
