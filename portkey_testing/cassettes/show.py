"""Draws interactions for people: as a tree with a time line, or as a Mermaid diagram for a pull request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from portkey_testing.cassettes import events, stream
from portkey_testing.cassettes.match import brief
from portkey_testing.cassettes.model import COMPLETE, EventStream, Interaction, RecordedFailure, RecordedResponse
from portkey_testing.cassettes.verify import payload

_CELLS: Final = 40
_WIDTH: Final = 110


def lines(interaction: Interaction, number: int) -> Iterator[str]:
    """One interaction as a tree. Times are in milliseconds from the request."""
    response = interaction.response
    yield f"{number}. {brief(interaction.request)}"
    if isinstance(response, RecordedFailure):
        yield f"└─ {response.after_ms} ms  no answer: {response.fault}"
        return
    yield f"├─ {response.after_ms} ms  {_status(response)}"
    yield from (f"│  {line}" for line in _said(response))
    arrivals = _arrivals(response)
    end = response.ended_ms or max([response.after_ms, *arrivals])
    yield f"│  {_time_line(arrivals, response.after_ms, end)}"
    yield f"└─ {end} ms  {_ending(response)}"


def summary(interaction: Interaction, number: int) -> dict[str, Any]:
    """One interaction for a program. Times are in milliseconds from the request."""
    request, response = interaction.request, interaction.response
    told: dict[str, Any] = {"number": number, "line": interaction.line, "method": request.method, "path": request.path}
    told["request"] = brief(request)
    if isinstance(response, RecordedFailure):
        return {**told, "fault": response.fault, "after_ms": response.after_ms}
    return {
        **told,
        "status": response.status,
        "provider": response.provider,
        "target": response.target,
        "after_ms": response.after_ms,
        "arrivals_ms": _arrivals(response),
        "ended": response.ended,
        "says": list(_said(response)),
    }


def mermaid(interactions: list[Interaction]) -> str:
    """Interactions as one Mermaid sequence diagram."""
    drawn = ["sequenceDiagram", "    participant application", "    participant gateway"]
    for number, interaction in enumerate(interactions, 1):
        response = interaction.response
        drawn.append(f"    application->>gateway: {_sign_free(f'{number}. {brief(interaction.request)}')}")
        if isinstance(response, RecordedFailure):
            drawn.append(f"    gateway--xapplication: {response.fault} after {response.after_ms} ms")
            continue
        drawn += [f"    Note over gateway: {_sign_free(line)}" for line in _said(response)]
        arrow = "-->>" if response.ended == COMPLETE else "--x"
        drawn.append(f"    gateway{arrow}application: {_sign_free(f'{_status(response)}, {_ending(response)}')}")
    return "\n".join(drawn)


def _status(response: RecordedResponse) -> str:
    words = [str(response.status), response.provider or "", response.target or ""]
    retries = response.headers.get("x-portkey-retry-attempt-count", "0")
    return " ".join([*filter(None, words), *([f"after {retries} retries"] if retries not in {"0", ""} else [])])


def _ending(response: RecordedResponse) -> str:
    how = {COMPLETE: "complete", "closed": "closed by the application"}.get(
        response.ended, f"broke off: {response.ended}"
    )
    if isinstance(response.body, EventStream):
        count = len(stream.split(b"".join(data for _, data in events.unpack(response.body))))
        how += f", {count} events in {len(_arrivals(response))} reads"
    return how


def _said(response: RecordedResponse) -> Iterator[str]:
    """What the answer says: messages with their tool calls, or an error."""
    body = response.body
    if isinstance(body, EventStream):
        messages = body.message if isinstance(body.message, list) else [body.message]
    else:
        value = payload(response)
        if isinstance(value, dict) and isinstance(error := value.get("error"), dict):
            yield _brief(f"error: {error.get('message')}")
        choices = value.get("choices") if isinstance(value, dict) else None
        messages = [choice.get("message") for choice in choices or () if isinstance(choice, dict)]
    for message in messages:
        if not isinstance(message, dict):
            continue
        if message.get("content"):
            yield _brief(f"{message.get('role', 'assistant')}: {message['content']}")
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            yield _brief(f"calls {function.get('name')}({function.get('arguments')})")


def _arrivals(response: RecordedResponse) -> list[int]:
    if isinstance(response.body, EventStream):
        return [when for when, _ in events.unpack(response.body)]
    return [] if response.body is None else [response.body_ms if response.body_ms is not None else response.after_ms]


def _time_line(arrivals: list[int], headers: int, end: int) -> str:
    """Time from the request to the end: `h` where the headers came, a block where bytes did."""
    scale = max(end, 1) / (_CELLS - 1)
    cells = ["·"] * _CELLS
    cells[min(round(headers / scale), _CELLS - 1)] = "h"
    for when in arrivals:
        cells[min(round(when / scale), _CELLS - 1)] = "█"
    return "".join(cells)


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _sign_free(text: str) -> str:
    """A text as Mermaid takes it: its own signs as entities, on one line."""
    return " ".join(text.split()).translate({ord("#"): "#35;", ord(";"): "#59;"})
