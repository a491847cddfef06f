"""When what happened: attempts, waits and streamed answers as bars against one scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from portkey_testing.journal import Attempt, Call, Wait

_NARROWEST, _WIDEST = 10, 60
"""Cells of a bar that fills the whole time."""


def time_line(calls: Iterable[Call], until: float, columns: int) -> Iterator[tuple[str, str, bool | None]]:
    """The rows of a chart.

    Args:
        calls: What happened.
        until: Seconds on the clock where it ends.
        columns: Characters of a row.

    Yields:
        A label, all of the same length; the bar; and whether what it stands for went well, None for a wait.
    """
    rows = [row for call in calls for row in _rows(call)]
    longest = max((len(label) for label, *_ in rows), default=0)
    cells = max(_NARROWEST, min(_WIDEST, columns - longest - 2))
    scale = cells / until if until else 0.0
    for label, start, end, sign, ok in rows:
        first = min(round(start * scale), cells - 1)
        last = max(first + 1, min(round(end * scale), cells))
        yield label.ljust(longest), " " * first + sign * (last - first), ok


def _rows(call: Call) -> Iterator[tuple[str, float, float, str, bool | None]]:
    number, answered = f"{call.number}  ", call.started
    for step in call.route.steps:
        match step:
            case Attempt():
                answered = step.started + step.duration
                yield (
                    f"{number}{step.provider} #{step.number} {step.status}",
                    step.started,
                    answered,
                    "█",
                    step.status < 400,
                )
            case Wait():
                answered = step.started + step.seconds
                yield f"{number}wait", step.started, answered, "·", None
            case _:
                continue
        number = " " * len(number)
    end = call.started + (call.duration or 0.0)
    if call.request.stream and end > answered:
        yield f"{number}stream", answered, end, "▒", not call.broke_off
