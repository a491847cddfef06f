"""The demo: a small agent on a bad day, against the fake gateway, and then against a recording of the real one.

Nothing in it needs a network, a key or a file of yours, and no second of the waiting it shows is real.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any, Final

import click

from portkey_client import IncompleteStreamError, Portkey
from portkey_testing._cli.terminal import columns, fitted
from portkey_testing._cli.timeline import time_line
from portkey_testing.gateway import FakeGateway
from portkey_testing.replies import error, text, tool_call

CASSETTE: Final = Path(__file__).with_name("streamed_tool_call.yaml")
QUESTION: Final = "Weather in Oslo?"

# The agent, as an application would ship it: it knows nothing of tests.

CONFIG: Final[dict[str, Any]] = {
    "strategy": {"mode": "fallback"},
    "targets": [
        {"provider": "openai", "api_key": "OPENAI_KEY", "retry": {"attempts": 1, "on_status_codes": [503]}},
        {
            "provider": "anthropic",
            "api_key": "ANTHROPIC_KEY",
            "override_params": {"model": "claude-sonnet-4-5", "max_tokens": 1024},
        },
    ],
}
TOOL: Final[dict[str, Any]] = {
    "name": "get_weather",
    "description": "Temperature at a place, in degrees Celsius",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}


def get_weather(location: str) -> str:
    """The thermometer of this demo."""
    return {"Oslo": "21"}.get(location, "unknown")


def run_agent(client: Portkey, question: str, show: Callable[[str], object]) -> None:
    """Answer a question with the help of the tool, showing the text as it comes."""
    messages: list[Any] = [{"role": "user", "content": question}]
    tools: list[Any] = [{"type": "function", "function": TOOL}]
    while True:
        with client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools, stream=True) as stream:
            for chunk in stream:
                for choice in chunk.choices:
                    if choice.delta.content:
                        show(choice.delta.content)
            message = stream.get_final_completion().choices[0].message
        if not message.tool_calls:
            return
        messages.append(message)
        for call in message.tool_calls:
            result = get_weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


# The scripts, as a test would write them


def outage(fake: FakeGateway) -> None:
    fake.provider("openai").reply(error("overloaded"), error("overloaded"), error("rate_limited", retry_after=20))
    fake.provider("anthropic").reply(
        (text("Let me look. ") + tool_call("get_weather", location="Oslo")).delayed(0.4),
        text("It is 21 degrees in Oslo, and the sun is out.").streamed(by="word", ttft=0.3, tps=20),
    )


def broken_stream(fake: FakeGateway) -> None:
    fake.provider("openai").reply(text("It is 21 degrees in Oslo.").streamed(by="word", ttft=0.3, tps=20).cut(chunks=3))


# The show


def main() -> None:
    """All of it, one after the other."""
    started = time.perf_counter()
    _heading("1. Scripted: OpenAI fails, Anthropic calls a tool and answers")
    _scripted(outage)
    _heading("2. Scripted: the answer breaks off, and half of it is not taken for the whole")
    _scripted(broken_stream)
    _heading(f"3. Replayed: {CASSETTE.name}, recorded from the real gateway")
    fake = FakeGateway()
    with fake.mount(), fake.replay(CASSETTE):
        _converse()
    _tell(fake)
    click.secho(f"Real time: {time.perf_counter() - started:.2f} s", bold=True)


def _scripted(script: Callable[[FakeGateway], None]) -> None:
    click.secho(indent(inspect.cleandoc(inspect.getsource(script).partition("\n")[2]), "    ") + "\n", dim=True)
    fake = FakeGateway()
    script(fake)
    with fake.mount():
        _converse()
    _tell(fake)


def _converse() -> None:
    click.echo(f"user:      {QUESTION}")
    click.echo("assistant: ", nl=False)
    with Portkey(api_key="PORTKEY_API_KEY", config=CONFIG) as client:
        try:
            run_agent(client, QUESTION, show=lambda piece: click.secho(piece, nl=False, fg="cyan"))
        except IncompleteStreamError as caught:
            click.secho(f"\n           {type(caught).__name__}: {caught}", fg="red", nl=False)
    click.echo("\n")


def _tell(fake: FakeGateway) -> None:
    for line in fake.journal.splitlines():
        click.secho(fitted(line), **_painted(line))
    click.echo()
    for label, bar, ok in time_line(fake.calls, fake.clock.now, columns()):
        click.echo(f"{label} ", nl=False)
        click.secho(bar, fg={True: "green", False: "red", None: "yellow"}[ok])
    click.secho(f"Virtual time: {fake.clock.now:.2f} s\n", bold=True)


def _painted(line: str) -> dict[str, Any]:
    """How a line of the journal is shown: what an attempt came to, and that time passed, stand out."""
    if line.startswith("├─"):
        return {"fg": "green" if ": 200 " in line else "red"}
    return {"fg": "yellow"} if line.startswith(("│  wait", "│    moved on")) else {}


def _heading(title: str) -> None:
    click.secho(f"{title}\n{'=' * len(title)}\n", bold=True)
