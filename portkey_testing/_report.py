"""Explanations for people: what came, what was expected, why the nearest script was refused, what to do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from portkey_testing._conversation import has_fields
from portkey_testing._wording import counted, one_line
from portkey_testing.journal import Call
from portkey_testing.matching import AttemptView, Conditions, Mismatch, Queued, Script

_SHOWN: Final = 5


def unscripted(attempt: AttemptView, scripts: Iterable[Script], *, fakes_mounted: int = 0) -> str:
    """No script answers an attempt."""
    lines = [*_unscripted(attempt, list(scripts))]
    if fakes_mounted > 1:
        lines.append(
            f"{fakes_mounted} fakes are mounted, one within the other, and the innermost answers: script that."
        )
    return "\n".join(lines)


def unused(leftovers: Iterable[tuple[Conditions, Queued]], rule: str, calls: Sequence[Call] = ()) -> str:
    """Queued replies that nothing asked for, and what was asked for instead."""
    lines = [
        f"  {queued.reply}  for {conditions}, {_times(queued)}{queued.declared}" for conditions, queued in leftovers
    ]
    noun = "reply was" if len(lines) == 1 else "replies were"
    return "\n".join(
        [
            f"{len(lines)} scripted {noun} never used:",
            *lines,
            _attempted(calls),
            f"Take them out, use .always() for what may stay unused, or loosen the rule with fake.allow({rule!r}).",
        ]
    )


def _attempted(calls: Sequence[Call]) -> str:
    """The providers that were asked, in a line."""
    if not calls:
        return "No call came."
    asked = Counter(attempt.provider for call in calls for attempt in call.route.attempts)
    tried = ", ".join(f"{provider} ({counted(times, 'attempt')})" for provider, times in asked.items())
    return f"{counted(len(calls), 'call')} came, {f'to {tried}' if tried else 'and no provider answered'}."


def unused_picks(picks: Iterable[str], drawable: Sequence[str], rule: str) -> str:
    """Forced draws that no load-balanced group made."""
    chosen = ", ".join(repr(path) for path in picks)
    could = ", ".join(drawable) or "none, since nothing was load-balanced"
    return (
        f"fake.pick({chosen}) was never drawn. Targets that could be: {could}; one of weight 0 cannot. "
        f"Correct the path, take the call out, or loosen the rule with fake.allow({rule!r})."
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
        yield f"    {_spoken(message)}"
    # Nearest is what the fewest conditions refuse; the sort keeps the order of declaration otherwise.
    candidates = sorted(
        ((script, script.conditions.mismatches(attempt)) for script in scripts), key=lambda pair: len(pair[1])
    )
    if candidates:
        yield "Scripts, the nearest first:"
    for script, mismatches in candidates[:_SHOWN]:
        yield f"  {script.conditions}  ({script.declared})"
        if not mismatches:
            yield f"    it matches, but its queue is used up: it has answered {counted(script.answered, 'attempt')}"
            continue
        yield f"    {mismatches[0]}"
        yield from (f"      {line}" for line in _difference(mismatches[0]))
        if len(mismatches) > 1:
            yield f"    nor does it meet: {', '.join(mismatch.condition for mismatch in mismatches[1:])}"
    if len(candidates) > _SHOWN:
        yield f"  and {len(candidates) - _SHOWN} more"
    yield (
        f"Script it, for example: fake.provider({attempt.provider!r}).reply(...)"
        + ("" if candidates else ". This fake has no scripts yet.")
    )


def _difference(mismatch: Mismatch) -> Iterator[str]:
    """What a reader would look for in two long values."""
    expected, actual = mismatch.expected, mismatch.actual
    if mismatch.condition == "messages" and isinstance(actual, Sequence) and isinstance(expected, Sequence):
        yield from _conversations(expected, actual)
    elif isinstance(expected, str) and isinstance(actual, str) and expected.lower() in actual.lower():
        yield "only upper and lower case differ"


def _conversations(expected: Sequence[Any], actual: Sequence[Any]) -> Iterator[str]:
    """Two conversations, message by message: `=` is as wanted, `-` was wanted, `+` came."""
    for wanted, came in zip_longest(expected, actual):
        if wanted is not None and came is not None and has_fields(came, wanted):
            yield f"= {_spoken(came)}"
            continue
        if wanted is not None:
            yield f"- {_spoken(wanted)}"
        if came is not None:
            yield f"+ {_spoken(came)}"


def _spoken(message: Mapping[str, Any]) -> str:
    """A message in one line: who says what, and what else stands in it."""
    rest = {name: value for name, value in message.items() if name not in ("role", "content") and value is not None}
    parts = [f"{message.get('role', '?')}:"]
    if message.get("content") is not None:
        parts.append(_shortened(message["content"]))
    if rest:
        parts.append(_shortened(rest))
    return " ".join(parts)


def _times(queued: Queued) -> str:
    return f"{queued.left} times, " if queued.left > 1 else ""


def _shortened(value: object) -> str:
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), 160)
