"""From what a model says to the pieces it says it in: chunking, pace, breaks and token counts.

Providers differ in how they write a piece down, not in what the pieces are, so this knows no provider.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from portkey_testing import _conversation
from portkey_testing.replies import Answer, By, Pace, Part, Reasoning, Text, ToolCall
from portkey_testing.timeline import Cut

_WORD = re.compile(r"\s*\S+(?:\s+$)?|\s+")
_RUN = re.compile(r"\w+|\W+")
_SHORT = 10_000
_TOKEN = re.compile(r"\s?\w{1,4}|\s?[^\w\s]{1,2}|\s+")


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


class TokenLogprob(NamedTuple):
    """A token of a text and how likely it was."""

    token: str
    logprob: float


def pieces(answer: Answer, random: Random) -> Iterator[Piece | Cut]:
    """One choice of an answer in pieces, with the time between them, up to the break if there is one."""
    for item in choice_pieces(answer, random):
        yield item if isinstance(item, Cut) else item[1]


def choice_pieces(answer: Answer, random: Random) -> Iterator[tuple[int, Piece] | Cut]:
    """The pieces of all choices in turn, each with the index of its choice."""
    pace, broken = answer.delivery.pace, answer.delivery.broken
    flow = _flow(answer, pace, random) if not answer.others else _interleaved(answer, pace, random)
    if broken is None:
        yield from flow
        return
    for count, item in enumerate(flow):
        if count == broken.chunks:
            break
        yield item
    yield Cut(0.0, broken.fault)


def steady_text(answer: Answer, random: Random) -> Iterator[str] | None:
    """The pieces of an answer that is nothing but one text, without pauses and breaks; None for any other.

    That is most of what tests stream, and the quick way is worth having.
    """
    delivery = answer.delivery
    if len(answer.parts) != 1 or answer.others or delivery.broken is not None or delivery.pace.tps is not None:
        return None
    part = answer.parts[0]
    return _fragments(part, delivery.pace.by, random) if isinstance(part, Text) else None


def split(text: str, by: By, random: Random) -> Iterator[str]:
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
    if by == "token":
        return (match.group() for match in _TOKEN.finditer(text))
    if by == "random":
        return _random_sizes(text, random)
    if isinstance(by, int):
        return (text[start : start + by] for start in range(0, len(text), by))
    if "".join(by) != text:
        raise ValueError(f"streamed(by={list(by)!r}): these pieces do not make up the text {text!r}")
    return iter(by)


def token_logprobs(answer: Answer) -> list[TokenLogprob]:
    """The tokens of the text with their log probabilities: as given with the reply, else made up from the tokens."""
    if answer.logprobs is not None:
        return [TokenLogprob(*pair) for pair in answer.logprobs]
    return [TokenLogprob(token, made_up_logprob(token)) for token in split(answer.text, "token", Random(0))]


def made_up_logprob(token: str) -> float:
    """A log probability that a token always has."""
    return -(1 + crc32(token.encode("utf-8", "replace")) % 300) / 1000


def usage(answer: Answer, params: Mapping[str, Any]) -> tuple[int, int]:
    """Prompt and completion tokens: as given with the reply, else counted, a word or a run of other signs being one."""
    if answer.delivery.usage is not None:
        given = json.loads(answer.delivery.usage)
        return given["prompt_tokens"], given["completion_tokens"]
    messages = _conversation.messages_of(params)
    prompt = sum(_tokens(_conversation.text_of(message.get("content"))) for message in messages)
    return prompt, sum(_said(choice) for choice in (answer, *answer.others))


def usage_details(answer: Answer) -> dict[str, Any]:
    """What a usage says beside the three counts."""
    if answer.delivery.usage is not None:
        given: dict[str, Any] = json.loads(answer.delivery.usage)
        return {name: value for name, value in given.items() if name not in ("prompt_tokens", "completion_tokens")}
    thought = sum(
        _tokens(part.text)
        for choice in (answer, *answer.others)
        for part in choice.parts
        if isinstance(part, Reasoning)
    )
    return {"completion_tokens_details": {"reasoning_tokens": thought}} if thought else {}


def finish_reason(answer: Answer) -> str:
    """Why the model stopped, in OpenAI's words."""
    if answer.finish_reason is not None:
        return answer.finish_reason
    return "tool_calls" if answer.tool_calls else "stop"


def _flow(answer: Answer, pace: Pace, random: Random, choice: int = 0) -> Iterator[tuple[int, Piece]]:
    gap = pace.ttft
    for position, part in enumerate(answer.parts):
        for fragment in _fragments(part, pace.by, random):
            yield choice, Piece(gap, position, part, fragment)
            gap = _pause(pace, random)


def _interleaved(answer: Answer, pace: Pace, random: Random) -> Iterator[tuple[int, Piece]]:
    """All choices at once, a piece of each in turn, at the pace of one stream."""
    flows = [_flow(choice, pace, random, index) for index, choice in enumerate((answer, *answer.others))]
    gap = pace.ttft
    while flows:
        for flow in list(flows):
            item = next(flow, None)
            if item is None:
                flows.remove(flow)
                continue
            choice, piece = item
            yield choice, piece._replace(gap=gap)
            gap = _pause(pace, random)


def _fragments(part: Part, by: By, random: Random) -> Iterator[str]:
    if isinstance(part, ToolCall):
        if by == "word" or (isinstance(by, Sequence) and not isinstance(by, str)):
            # JSON has few blanks; models write it token by token.
            return (match.group() for match in _RUN.finditer(part.arguments))
        return split(part.arguments, by, random)
    if isinstance(by, tuple) and not isinstance(part, Text):
        return split(part.text, "word", random)
    return split(part.text, by, random)


def _random_sizes(text: str, random: Random) -> Iterator[str]:
    start = 0
    while start < len(text):
        size = random.randint(1, 12)
        yield text[start : start + size]
        start += size


def _pause(pace: Pace, random: Random) -> float:
    if pace.tps is None:
        return 0.0
    pause = 1 / pace.tps
    return pause * (1 + random.uniform(-pace.jitter, pace.jitter)) if pace.jitter else pause


def _said(answer: Answer) -> int:
    return sum(_tokens(part.arguments if isinstance(part, ToolCall) else part.text) for part in answer.parts)


def _tokens(text: str) -> int:
    # The list is quicker, and too long for a text of megabytes.
    return len(_RUN.findall(text)) if len(text) < _SHORT else sum(1 for _ in _RUN.finditer(text))
