"""From what a model says to the pieces it says it in: chunking, pace, breaks and token counts.

Providers differ in how they write a piece down, not in what the pieces are, so this knows no provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any, NamedTuple

from portkey_testing import _conversation
from portkey_testing.replies import Answer, By, Pace, Part, ToolCall
from portkey_testing.timeline import Cut

_WORD = re.compile(r"\s*\S+(?:\s+$)?|\s+")
_TOKEN = re.compile(r"\w+|\W+")


class Piece(NamedTuple):
    """A fragment of one part of an answer.

    Attributes:
        gap: Seconds since the piece before.
        position: Which part of the answer.
        part: The part.
        text: The fragment; of the argument text for a tool call.
    """

    gap: float
    position: int
    part: Part
    text: str


def pieces(answer: Answer, random: Random) -> Iterator[Piece | Cut]:
    """The answer in pieces, with the time between them, up to the break if there is one."""
    pace, broken = answer.delivery.pace, answer.delivery.broken
    flow = _flow(answer, pace, random)
    if broken is None:
        yield from flow
    else:
        yield from islice(flow, broken.chunks)
        yield Cut(0.0, broken.fault)


def split(text: str, by: By) -> Iterator[str]:
    """A text in pieces; joined they are the text again.

    Raises:
        ValueError: `by` is a list of pieces that do not make up the text.
    """
    if by == "whole":
        return iter([text] if text else [])
    if by == "char":
        return iter(text)
    if by == "word":
        return (match.group() for match in _WORD.finditer(text))
    if isinstance(by, int):
        return (text[start : start + by] for start in range(0, len(text), by))
    if "".join(by) != text:
        raise ValueError(f"streamed(by={list(by)!r}): these pieces do not make up the text {text!r}")
    return iter(by)


def usage(answer: Answer, params: Mapping[str, Any]) -> tuple[int, int]:
    """Prompt and completion tokens: as given with the reply, else counted, a word or a run of other signs being one."""
    if answer.delivery.usage is not None:
        given = dict(answer.delivery.usage)
        return given["prompt_tokens"], given["completion_tokens"]
    messages = _conversation.messages_of(params)
    prompt = sum(_tokens(_conversation.text_of(message.get("content"))) for message in messages)
    said = sum(_tokens(part.arguments if isinstance(part, ToolCall) else part.text) for part in answer.parts)
    return prompt, said


def finish_reason(answer: Answer) -> str:
    """Why the model stopped, in OpenAI's words."""
    if answer.finish_reason is not None:
        return answer.finish_reason
    return "tool_calls" if answer.tool_calls else "stop"


def _flow(answer: Answer, pace: Pace, random: Random) -> Iterator[Piece]:
    gap = pace.ttft
    for position, part in enumerate(answer.parts):
        for fragment in _fragments(part, pace.by):
            yield Piece(gap, position, part, fragment)
            gap = _pause(pace, random)


def _fragments(part: Part, by: By) -> Iterator[str]:
    if isinstance(part, ToolCall):
        if by == "word" or (isinstance(by, Sequence) and not isinstance(by, str)):
            # JSON has few blanks; models write it token by token.
            return (match.group() for match in _TOKEN.finditer(part.arguments))
        return split(part.arguments, by)
    return split(part.text, by)


def _pause(pace: Pace, random: Random) -> float:
    if pace.tps is None:
        return 0.0
    pause = 1 / pace.tps
    return pause * (1 + random.uniform(-pace.jitter, pace.jitter)) if pace.jitter else pause


def _tokens(text: str) -> int:
    return len(_TOKEN.findall(text))
