"""From what a model says to the pieces it says it in: chunking, pace, breaks and token counts.

Providers differ in how they write a piece down, not in what the pieces are, so this knows no provider.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from portkey_testing import _conversation
from portkey_testing.replies import Answer, By, Pace, Part, Reasoning, Text, ToolCall
from portkey_testing.timeline import Cut

# Possessive, since nothing is ever given back: a quarter quicker.
_WORD = re.compile(r"\s*+\S++(?:\s++$)?+|\s+")
_RUN = re.compile(r"\w+|\W+")
_SHORT = 65_536
"""Characters up to which a text may be taken apart at once; a list of its pieces is quicker, and takes memory."""

_SAID_AGAIN = 2_000
"""Characters up to which the tokens of a text are remembered: a conversation is sent again with each of its turns."""

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


def choice_pieces(answer: Answer, random: Random, *, scored: bool = False) -> Iterator[tuple[int, Piece] | Cut]:
    """The pieces of all choices in turn, each with the index of its choice; `scored` makes each piece a token."""
    broken = answer.delivery.broken
    flow = (
        _interleaved(answer, random, scored=scored) if answer.others else _flow(answer, answer, random, scored=scored)
    )
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
    """A text in pieces; joined they are the text again, as given ones are: a reply refuses others."""
    if by == "whole":
        return iter([text] if text else [])
    if by == "char":
        return iter(text)
    if by == "word":
        return _found(_WORD, text)
    if by == "token":
        return _found(_TOKEN, text)
    if by == "random":
        return _random_sizes(text, random)
    if isinstance(by, int):
        return (text[start : start + by] for start in range(0, len(text), by))
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
    prompt = 0
    for message in _conversation.messages_of(params):
        prompt += _tokens(_conversation.text_of(message.get("content")))
    said = _said(answer)
    for choice in answer.others:
        said += _said(choice)
    return prompt, said


def usage_details(answer: Answer) -> dict[str, Any]:
    """What a usage says beside the three counts."""
    if answer.delivery.usage is not None:
        given: dict[str, Any] = json.loads(answer.delivery.usage)
        return {name: value for name, value in given.items() if name not in ("prompt_tokens", "completion_tokens")}
    thought = 0
    for choice in (answer, *answer.others):
        for part in choice.parts:
            if isinstance(part, Reasoning):
                thought += _tokens(part.text)
    return {"completion_tokens_details": {"reasoning_tokens": thought}} if thought else {}


def finish_reason(answer: Answer) -> str:
    """Why the model stopped, in OpenAI's words."""
    if answer.finish_reason is not None:
        return answer.finish_reason
    return "tool_calls" if answer.tool_calls else "stop"


def _flow(
    choice: Answer, answer: Answer, random: Random, index: int = 0, *, scored: bool
) -> Iterator[tuple[int, Piece]]:
    """The pieces of one choice of an answer, at the answer's pace."""
    pace = answer.delivery.pace
    gap = pace.ttft
    by = _given_tokens(choice) or "token" if scored else pace.by
    for position, (part, cut) in enumerate(zip(choice.parts, _cuts(choice, by), strict=True)):
        for fragment in _fragments(part, cut, random):
            yield index, Piece(gap, position, part, fragment)
            gap = _pause(pace, random)


def _interleaved(answer: Answer, random: Random, *, scored: bool) -> Iterator[tuple[int, Piece]]:
    """All choices at once, a piece of each in turn, at the pace of one stream."""
    said = (answer, *answer.others)
    flows = [_flow(choice, answer, random, index, scored=scored) for index, choice in enumerate(said)]
    gap = answer.delivery.pace.ttft
    while flows:
        for flow in list(flows):
            item = next(flow, None)
            if item is None:
                flows.remove(flow)
                continue
            index, piece = item
            yield index, piece._replace(gap=gap)
            gap = _pause(answer.delivery.pace, random)


def _given_tokens(answer: Answer) -> tuple[str, ...]:
    return tuple(token for token, _ in answer.logprobs or ())


def _cuts(answer: Answer, by: By) -> list[By]:
    """How each part is cut. Given pieces are those of the text, or of the only part; the others go word by word."""
    if not isinstance(by, tuple):
        return [by] * len(answer.parts)
    texts = any(isinstance(part, Text) for part in answer.parts)
    given = [not texts or isinstance(part, Text) for part in answer.parts]
    if "".join(by) != "".join(_written(part) for part, is_given in zip(answer.parts, given, strict=True) if is_given):
        # They are the pieces of another choice.
        return ["word"] * len(answer.parts)
    pieces = list(reversed(by))
    return [
        _dealt(pieces, len(_written(part))) if is_given else "word"
        for part, is_given in zip(answer.parts, given, strict=True)
    ]


def _dealt(pieces: list[str], length: int) -> tuple[str, ...]:
    """The next pieces, of that length together, off the end of a reversed list; one that is too long is cut in two."""
    dealt: list[str] = []
    while length:
        piece = pieces.pop()
        if len(piece) > length:
            pieces.append(piece[length:])
            piece = piece[:length]
        dealt.append(piece)
        length -= len(piece)
    return tuple(dealt)


def _fragments(part: Part, by: By, random: Random) -> Iterator[str]:
    if isinstance(part, ToolCall) and not part.arguments:
        # A call is made, even if nothing is written into it.
        return iter([""])
    written = _written(part)
    if by == "word" and (isinstance(part, ToolCall) or written.startswith(("{", "["))):
        # JSON has few blanks; models write it token by token.
        return _found(_RUN, written)
    return split(written, by, random)


def _written(part: Part) -> str:
    return part.arguments if isinstance(part, ToolCall) else part.text


def _found(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    if len(text) <= _SHORT:
        return iter(pattern.findall(text))
    return (match.group() for match in pattern.finditer(text))


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
    tokens = 0
    for part in answer.parts:
        tokens += _tokens(_written(part))
    return tokens


def _tokens(text: str) -> int:
    return _counted(text) if len(text) <= _SAID_AGAIN else _count(text)


def _count(text: str) -> int:
    return len(_RUN.findall(text)) if len(text) <= _SHORT else sum(1 for _ in _RUN.finditer(text))


_counted = lru_cache(maxsize=1024)(_count)
