"""Results against the truth, aspect by aspect.

A scenario may carry hints under `compare`:

    body: shape        compare the keys and types of the body; its texts are those of the runtime (a socket error, say)
    outcome: failure   any 5xx, or no answer at all, agrees, as long as no provider was called
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

from tests.conformance.results import Result

ASPECTS: Final = (
    "status",
    "headers",
    "body",
    "attempts",
    "upstream_auth",
    "upstream_body",
    "upstream_headers",
    "timing",
)

# `location`, `cache-control` and the like are recorded, but they are the HTTP library's as much as the gateway's
_COMPARED_HEADERS: Final = frozenset(("content-type", "x-request-id", "x-stub-upstream"))
_COMPARED_PREFIXES: Final = ("retry-after", "x-ms-retry", "x-portkey-", "x-ratelimit-")
# request headers that say something about the HTTP client, and nothing about the gateway
_CLIENT_HEADERS: Final = frozenset(("accept", "x-stub-upstream"))
# recorded in steps of a half second, so the same wait may be one step apart
_TIMING_STEP_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Difference:
    """One aspect of one answer that is not as recorded.

    Attributes:
        request: Which request of the scenario it answers, from 0.
        truth: What the real gateway answered.
        got: What came.
    """

    request: int
    truth: Any
    got: Any


def differences(
    truth: Sequence[Result], got: Sequence[Result], hints: Mapping[str, Any] | None = None
) -> dict[str, list[Difference]]:
    """Each aspect that differs, and where; nothing when the results agree.

    Parameters:
        hints: What the scenario says under `compare`.
    """
    found: dict[str, list[Difference]] = {}
    missing: Result = {}
    for number, (expected, came) in enumerate(zip_longest(truth, got, fillvalue=missing)):
        for aspect, (wanted, seen) in _compared(expected, came, hints or {}).items():
            if wanted != seen:
                found.setdefault(aspect, []).append(Difference(number, wanted, seen))
    return found


def explain(found: Mapping[str, Sequence[Difference]]) -> str:
    """The differences for a person: for each aspect the lines that are not the same, `-` recorded and `+` got."""
    lines: list[str] = []
    for aspect, each in found.items():
        for difference in each:
            lines.append(f"{aspect} of answer {difference.request + 1}:")
            compared = difflib.unified_diff(_lines(difference.truth), _lines(difference.got), lineterm="", n=2)
            lines += [f"    {line}" for line in compared if not line.startswith(("---", "+++", "@@"))]
    return "\n".join(lines)


@dataclass(slots=True)
class Agreement:
    """How many scenarios agree, in all and by group and aspect."""

    total: Counter[str] = field(default_factory=Counter)
    agreeing: Counter[str] = field(default_factory=Counter)
    differing: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, group: str, found: Mapping[str, Sequence[Difference]]) -> None:
        """Count one scenario."""
        self.total[group] += 1
        self.agreeing[group] += not found
        self.differing.update((group, aspect) for aspect in found)

    @property
    def complete(self) -> bool:
        """Whether every scenario agrees."""
        return self.agreeing.total() == self.total.total()

    def __str__(self) -> str:
        width = max(map(len, (*self.total, "group"))) + 2
        rows = [f"{'group':<{width}}{'agree':>9}  " + "  ".join(ASPECTS)]
        for group, count in sorted(self.total.items()):
            counts = (self.differing[group, aspect] for aspect in ASPECTS)
            cells = "  ".join(f"{count - bad:>{len(aspect)}}" for aspect, bad in zip(ASPECTS, counts, strict=True))
            rows.append(f"{group:<{width}}{f'{self.agreeing[group]}/{count}':>9}  {cells}")
        rows.append(f"{'all':<{width}}{f'{self.agreeing.total()}/{self.total.total()}':>9}")
        return "\n".join(rows)


def _compared(truth: Result, got: Result, hints: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Aspects to the two values that must be equal."""
    if "statuses" in truth:
        return {"status": (truth, {key: got.get(key) for key in truth})}
    if hints.get("outcome") == "failure":
        failed = "client_error" in got or got.get("status", 0) >= 500
        return {
            "status": ("a failure", "a failure" if failed else got.get("status")),
            "attempts": ([], _calls(got)),
        }
    form = _shape if hints.get("body") == "shape" else _same
    return {
        "status": (_status(truth), _status(got)),
        "headers": (_headers(truth), _headers(got)),
        "body": (form(_content(truth)), form(_content(got))),
        "attempts": (_calls(truth), _calls(got)),
        "upstream_auth": (_each(truth, "auth"), _each(got, "auth")),
        "upstream_body": (_each(truth, "body"), _each(got, "body")),
        "upstream_headers": (_upstream_headers(truth), _upstream_headers(got)),
        "timing": (_timing(truth), _timing(truth) if _in_time(truth, got) else _timing(got)),
    }


def _status(result: Result) -> Any:
    return result.get("status", result.get("client_error"))


def _headers(result: Result) -> dict[str, str]:
    named = {name.lower(): value for name, value in (result.get("headers") or {}).items()}
    if "content-type" in named:
        named["content-type"] = named["content-type"].partition(";")[0].strip().lower()
    return {
        name: value for name, value in named.items() if name in _COMPARED_HEADERS or name.startswith(_COMPARED_PREFIXES)
    }


def _content(result: Result) -> dict[str, Any]:
    content = {key: result[key] for key in ("sse", "body", "text") if key in result}
    return content | ({"stream_end": result.get("stream_end")} if "sse" in content else {})


def _shape(value: Any) -> Any:
    match value:
        case dict():
            return {key: _shape(each) for key, each in value.items()}
        case list():
            return [_shape(each) for each in value]
        case _:
            return type(value).__name__


def _same(value: Any) -> Any:
    return value


def _attempts(result: Result) -> list[dict[str, Any]]:
    return result.get("attempts") or []


def _calls(result: Result) -> list[tuple[Any, ...]]:
    return [(each["upstream"], each.get("method"), each.get("path")) for each in _attempts(result)]


def _each(result: Result, key: str) -> list[Any]:
    return [attempt.get(key) for attempt in _attempts(result)]


def _upstream_headers(result: Result) -> list[dict[str, str]]:
    return [
        {name: value for name, value in (attempt.get("headers") or {}).items() if name not in _CLIENT_HEADERS}
        for attempt in _attempts(result)
    ]


def _timing(result: Result) -> dict[str, Any]:
    return {"elapsed": result.get("elapsed"), "gaps": _each(result, "gap")}


def _in_time(truth: Result, got: Result) -> bool:
    """Whether the times agree within a step; an answer may be late by one, never early. Untimed results agree."""
    wanted, seen = truth.get("elapsed"), got.get("elapsed")
    if wanted is None or seen is None:
        return True
    if not 0 <= seen - wanted <= _TIMING_STEP_S:
        return False
    gaps = zip(_each(truth, "gap"), _each(got, "gap"), strict=False)  # a missing attempt is another aspect
    return all(
        abs(expected - came) <= _TIMING_STEP_S for expected, came in gaps if expected is not None and came is not None
    )


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str).splitlines()
