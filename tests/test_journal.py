"""The journal: what happened, as values and as text."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from portkey_testing import FakeGateway, NotSimulated, error, fault, text
from tests.fake_support import SYNC, body

OPENAI = {"provider": "openai", "api_key": "K"}
CLAUDE = {"provider": "anthropic", "api_key": "K", "override_params": {"model": "claude-sonnet-4-5", "max_tokens": 9}}
FALLBACK = {"strategy": {"mode": "fallback"}, "targets": [OPENAI, {**CLAUDE, "request_timeout": 500}, OPENAI]}


def _called(config: dict[str, Any], *replies: Any, **fields: Any) -> FakeGateway:
    fake = FakeGateway(edition="open-source")
    fake.reply(*replies)
    SYNC.ask(fake, body(**fields), config=config)
    return fake


def test_the_tree_tells_what_happened_and_why() -> None:
    """Attempts, waits and their causes, in order and with their times."""
    config = {**FALLBACK, "retry": {"attempts": 1, "on_status_codes": [429]}}

    fake = _called(config, error("rate_limited"), fault("refused"), text("slow").delayed(1.0), "hello")

    said = str(fake.last)
    for part in (
        "call 1 at 0.00 s: POST /v1/chat/completions gpt-4o-mini",
        "├─ 0.00 s  openai config.targets[0] #1: 429",
        "│    moved on: 429: retry 1 of 1",
        "│  wait 1 s (back-off before retry 1)",
        "├─ 1.00 s  openai config.targets[0] #2: 500, connection refused  fault('refused')",
        "│    moved on: 500: fallback on any non-2xx",
        "├─ 1.00 s  anthropic config.targets[1] #1: 408, timeout 500 ms  text('slow')",
        "├─ 1.50 s  openai config.targets[2] #1: 200  text('hello')",
        "└─ 200, after 1.50 s",
    ):
        assert part in said
    assert fake.journal == said


def test_the_parts_can_be_asserted_on() -> None:
    """Each attempt and each wait is a value."""
    fake = _called(FALLBACK, fault("refused"), text("slow").delayed(1.0), "hello")

    route = fake.last.route
    assert ["openai", "anthropic", "openai"] == route.providers
    assert ["connection refused", "timeout 500 ms", ""] == [attempt.failure for attempt in route.attempts]
    assert ["500: fallback on any non-2xx", "408: fallback on any non-2xx", ""] == [a.cause for a in route.attempts]
    assert [(0.0, 0.0), (0.0, 0.5), (0.5, 0.0)] == [(a.started, a.duration) for a in route.attempts]
    assert "config.targets[2]" == route.target


def test_what_a_failed_assertion_shows_is_short() -> None:
    """Calls and attempts print as what became of them, without their bodies."""
    fake = _called(FALLBACK, fault("refused"), "hello", messages=[{"role": "user", "content": "long " * 999}])

    assert "[<Call 1: POST /v1/chat/completions gpt-4o-mini, 200, after 0.00 s>]" == repr(fake.calls)
    refused = "<Attempt openai config.targets[0] #1: 500, connection refused>"
    assert f"[{refused}, <Attempt anthropic config.targets[1] #1: 200>]" == repr(fake.last.route.attempts)


def test_guardrails_are_part_of_the_story() -> None:
    """Which stage, which target, and whether they denied."""
    rail = {"contains": {"operator": "none", "words": ["Oslo"]}, "deny": True, "id": "no; towns #1"}

    fake = _called({**OPENAI, "input_guardrails": [rail]}, "never said")

    assert "│  input guardrails of config denied: no; towns #1" in str(fake.last)
    assert "Note over gateway: input guardrails of config denied: no#59; towns #35;1" in fake.last.mermaid()


def test_a_call_as_a_sequence_diagram() -> None:
    """Every target is a participant, in the order they were tried."""
    fake = _called(FALLBACK, error("server_error"), "hello", stream=True)

    assert [
        "sequenceDiagram",
        "    participant application",
        "    participant gateway",
        "    participant p0 as openai config.targets[0]",
        "    participant p1 as anthropic config.targets[1]",
        "    application->>gateway: POST /v1/chat/completions gpt-4o-mini (stream)",
        "    gateway->>p0: attempt 1 at 0.00 s",
        "    p0-->>gateway: 500 error('server_error')",
        "    Note over gateway: moved on: 500: fallback on any non-2xx",
        "    gateway->>p1: attempt 1 at 0.00 s",
        "    p1-->>gateway: 200 text('hello')",
    ] == fake.last.mermaid().splitlines()[:-1]
    assert fake.last.mermaid().splitlines()[-1].startswith("    gateway-->>application: 200, after 0.00 s")


@pytest.mark.parametrize("odd", ["a\nb", "a\u2028b", "x" * 500, "end", "#;%%<b>$$"])
def test_odd_texts_keep_the_drawings_whole(odd: str) -> None:
    """A model, a tool and an answer take one line each, whatever is in them; Mermaid's own signs are entities."""
    call = {"id": "c", "type": "function", "function": {"name": odd, "arguments": json.dumps({"city": odd})}}
    talk = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": odd},
    ]
    fake = FakeGateway(edition="open-source")
    fake.reply(text(odd))
    fake.allow("refused_requests")

    SYNC.ask(fake, body(model=odd, messages=talk), config={**OPENAI, "custom_host": "http://localhost/v1"})

    tree, drawing = str(fake.last).splitlines(), fake.last.mermaid().splitlines()
    assert ["call 1", "│  too", "├─ 0.0", "└─ 200"] == [line[:6] for line in tree]
    assert 8 == len(drawing)
    assert set() == {sign for line in drawing for sign in "%<$" if sign in line}
    assert max(map(len, tree)) < 300


def test_keys_are_not_in_the_drawings() -> None:
    """Neither those of the config nor those of the headers, whatever became of the call."""
    targets = [{**target, "api_key": "s3cret"} for target in (OPENAI, CLAUDE)]
    fake = FakeGateway(edition="open-source")
    fake.reply(error("invalid_key"), fault("refused"))

    config = {"strategy": {"mode": "fallback"}, "targets": targets}
    SYNC.ask(fake, body(), config=config, api_key="s3cret", virtual_key="s3cret")

    assert "401" in fake.journal
    assert "s3cret" not in fake.journal + fake.last.mermaid()


def test_an_empty_journal_says_so() -> None:
    """Before the first call."""
    assert "no calls" == FakeGateway().journal


def test_what_was_sent_stays_as_it_was_sent() -> None:
    """What the application does to its messages later is not in the journal, which reads a call when it is asked."""
    fake = FakeGateway(edition="open-source")
    fake.reply("hello")
    messages = [{"role": "user", "content": "Hello?"}]
    SYNC.ask(fake, body(messages=messages), config=OPENAI)

    messages.append({"role": "assistant", "content": "hello"})

    assert [{"role": "user", "content": "Hello?"}] == fake.last.request.messages


def test_an_answer_is_in_the_journal_once_there_is_one() -> None:
    """A function that looks at its own call finds no answer yet, and does not keep the later one from being seen."""
    fake = FakeGateway(edition="open-source")
    seen: list[Any] = []

    def reply(_attempt: Any) -> str:
        seen.append(fake.last.response)
        return "hello"

    fake.reply(reply)
    SYNC.ask(fake, body(), config=OPENAI)

    assert [None] == seen
    assert "hello" == fake.last.response["choices"][0]["message"]["content"]
    assert "text('hello')" == fake.last.route.attempts[0].reply


def test_json_too_deep_to_be_read_is_said_and_can_be_shown() -> None:
    """JavaScript reads on where Python gives up; nobody gets a wrong answer, and the journal holds the text."""
    fake = FakeGateway()
    fake.always("Sunny")
    deep = "[" * 10_000

    with httpx.Client(transport=fake.transport()) as client, pytest.raises(NotSimulated, match="nested deeper"):
        client.post("https://api.portkey.ai/v1/chat/completions", content=deep)

    assert deep == fake.last.request.body
    assert "NotSimulated: JSON is nested deeper" in fake.journal
