"""How the caller behaved: what a provider's operators, and its users, would complain about.

It looks at the journal alone, and says only what it can prove: two requests are the same one tried again if they mean
the same, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from portkey_testing._conversation import text_of
from portkey_testing.journal import Call

Kind = Literal["retried", "impatient", "stormed", "truncated", "left_open"]

MOST_ATTEMPTS: Final = 6
"""So often may one request be made: once, and as many times again as the gateway itself would."""

MOST_AT_ONCE: Final = 2
"""So often in a row may it be made again without any pause."""

NEVER_AGAIN: Final = frozenset((400, 401, 402, 403, 404, 405, 410, 411, 413, 414, 415, 422, 446))
"""Statuses that the same request will get again."""

LONGEST_WAIT: Final = 60.0
"""Seconds; a Retry-After beyond this is a quota, and waiting for it is nobody's duty."""

_TOLERANCE: Final = 0.001
"""Seconds that make no pause."""

_FINISHED: Final = b'"finish_reason":"'
"""What is in a stream that came to its end."""

_NEVER_CODES: Final = frozenset(("insufficient_quota", "billing_hard_limit_reached"))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the caller did wrong.

    Attributes:
        kind: What it is.
        calls: Numbers of the calls it shows in.
        text: What happened, for people.
    """

    kind: Kind
    calls: tuple[int, ...]
    text: str

    def __str__(self) -> str:
        numbers = ", ".join(map(str, self.calls))
        return f"{self.kind} (call{'s' if len(self.calls) > 1 else ''} {numbers}): {self.text}"


def findings(calls: Sequence[Call]) -> list[Finding]:
    """Everything the caller did wrong, in the order of the calls."""
    found: list[Finding] = []
    for attempts in _tried_again(calls):
        found += _retries(attempts)
        found += _storms(attempts)
    found += _truncated(calls)
    found += _left_open(calls)
    return sorted(found, key=lambda finding: finding.calls)


def explain(found: Iterable[Finding]) -> str:
    """The findings as the text of a failure."""
    lines = [f"  {number}. {finding}" for number, finding in enumerate(found, 1)]
    return "\n".join(["the application did not behave well:", *lines])


def _tried_again(calls: Sequence[Call]) -> list[list[Call]]:
    """Calls that are the same request, made again while the one before had failed."""
    groups: list[list[Call]] = []
    latest: dict[tuple[str, str, str], list[Call]] = {}
    for call in calls:
        key = (call.request.method, call.request.path, json.dumps(call.request.body, sort_keys=True, default=str))
        attempts = latest.get(key)
        if attempts is None or not _failed(attempts[-1]):
            attempts = latest[key] = []
            groups.append(attempts)
        attempts.append(call)
    return groups


def _failed(call: Call) -> bool:
    return call.status is None or call.status >= 400 or call.error is not None or call.broke_off


def _retries(attempts: Sequence[Call]) -> Iterator[Finding]:
    for before, after in pairwise(attempts):
        both = (before.number, after.number)
        hopeless = _why_hopeless(before)
        if hopeless is not None:
            yield Finding("retried", both, f"{hopeless} will be the answer again, and it was asked again")
            continue
        asked = _retry_after(before)
        waited = _pause(before, after)
        if asked is not None and asked <= LONGEST_WAIT and waited < asked - _TOLERANCE:
            words = f"the answer asked for {asked:g} s of patience (Retry-After), and got {waited:g} s"
            yield Finding("impatient", both, words)


def _why_hopeless(call: Call) -> str | None:
    if call.status in NEVER_AGAIN:
        return f"status {call.status}"
    if call.response_headers.get("x-should-retry") == "false":
        return "an answer with x-should-retry: false"
    error = call.response.get("error") if isinstance(call.response, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return f"the error {code}" if code in _NEVER_CODES else None


def _retry_after(call: Call) -> float | None:
    """Seconds the answer asked to wait."""
    headers = call.response_headers
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
    return None


def _storms(attempts: Sequence[Call]) -> Iterator[Finding]:
    numbers = tuple(call.number for call in attempts)
    if len(attempts) > MOST_ATTEMPTS:
        yield Finding("stormed", numbers, f"one request was made {len(attempts)} times; {MOST_ATTEMPTS} is plenty")
        return
    at_once = 0
    for before, after in pairwise(attempts):
        at_once = 0 if _pause(before, after) > _TOLERANCE else at_once + 1
        if at_once > MOST_AT_ONCE:
            yield Finding("stormed", numbers, f"it was made again {at_once} times in a row without any pause")
            return


def _pause(before: Call, after: Call) -> float:
    """Seconds from the end of one call to the start of the next."""
    return after.started - (before.started + (before.duration or 0.0))


def _truncated(calls: Sequence[Call]) -> Iterator[Finding]:
    """An answer that broke off, and was taken into the conversation as if it were whole."""
    for position, call in enumerate(calls):
        said = call.partial_text
        if not said or any(_FINISHED in data for data in call.received):
            continue
        for later in calls[position + 1 :]:
            if any(m.get("role") == "assistant" and text_of(m.get("content")) == said for m in later.request.messages):
                words = f"the answer broke off after {said[-40:]!r}, and went into the conversation as if it were whole"
                yield Finding("truncated", (call.number, later.number), words)
                break


def _left_open(calls: Sequence[Call]) -> Iterator[Finding]:
    for call in calls:
        if call.status is not None and call.duration is None:
            words = "the answer was neither read to its end nor closed, which keeps its connection"
            yield Finding("left_open", (call.number,), words)
