"""Explanations for people: what came, what was expected, why the nearest script was refused, what to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from portkey_testing.matching import AttemptView, Conditions, Mismatch, Queued, Script

_SHOWN = 5


def unscripted(attempt: AttemptView, scripts: Iterable[Script]) -> str:
    """No script answers an attempt."""
    return "\n".join(_unscripted(attempt, list(scripts)))


def unused(leftovers: Iterable[tuple[Conditions, Queued]], rule: str) -> str:
    """Queued replies that nothing asked for."""
    lines = [
        f"  {queued.reply}  for {conditions}, {_times(queued)}{queued.declared}" for conditions, queued in leftovers
    ]
    noun = "reply was" if len(lines) == 1 else "replies were"
    return "\n".join(
        [
            f"{len(lines)} scripted {noun} never used:",
            *lines,
            f"Take them out, use .always() for what may stay unused, or loosen the rule with fake.allow({rule!r}).",
        ]
    )


def brief(attempt: AttemptView) -> str:
    """An attempt in one line."""
    asked = "stream" if attempt.stream else "plain"
    return (
        f"{attempt.provider} {attempt.target} #{attempt.number}: model {attempt.model!r}, {asked}, turn {attempt.turn}"
    )


def _unscripted(attempt: AttemptView, scripts: list[Script]) -> Iterator[str]:
    yield f"no script answers {brief(attempt)}"
    for message in attempt.messages[-2:]:
        yield f"    {message.get('role')}: {_shortened(message.get('content') or message.get('tool_calls'))}"
    candidates = sorted(
        ((script, script.conditions.mismatch(attempt)) for script in scripts), key=lambda pair: pair[1] is not None
    )
    if candidates:
        yield "Scripts, the nearest first:"
    for script, mismatch in candidates[:_SHOWN]:
        yield f"  {script.conditions}: {_why_not(script, mismatch)}"
    if len(candidates) > _SHOWN:
        yield f"  and {len(candidates) - _SHOWN} more"
    yield (
        f"Script it, for example: fake.provider({attempt.provider!r}).reply(...)"
        + ("" if candidates else ". This fake has no scripts yet.")
    )


def _why_not(script: Script, mismatch: Mismatch | None) -> str:
    if mismatch is None:
        return "it matches, but its queue is used up"
    declared = next((queued.declared for queued in (*script.queue, script.standby) if queued is not None), None)
    return str(mismatch) + (f" ({declared})" if declared else " (used up)")


def _times(queued: Queued) -> str:
    return f"{queued.left} times, " if queued.left > 1 else ""


def _shortened(value: object, width: int = 160) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
