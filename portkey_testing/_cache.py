"""The answer cache of the hosted product, on the clock of the fake.

From Portkey's documentation, not from recordings: the open-source gateway ships without a cache.

* https://portkey.ai/docs/product/ai-gateway/cache-simple-and-semantic: what is a hit, and for how long.
* https://portkey.ai/docs/changelog/enterprise: streams are kept, too ("Implemented caching for stream requests"), and
  come back in chunks of 125 tokens ("Streaming Cache Responses Optimization").
* What guardrails make of a hit is in the open-source gateway, which leaves the cache itself to the product
  (`src/handlers/services/cacheService.ts`).

Where the product compares embeddings, this compares the words of the question.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from portkey_testing import _conversation, _javascript
from portkey_testing._encode import DONE, compact, event
from portkey_testing.timeline import Cut, Frame

Status: TypeAlias = Literal["HIT", "SEMANTIC HIT", "MISS", "SEMANTIC MISS", "REFRESH", "DISABLED"]

SHORTEST_S: Final = 60
LONGEST_S: Final = 90 * 24 * 3600
USUAL_S: Final = 7 * 24 * 3600
SIMILAR: Final = 0.95
"""Cosine similarity from which two questions count as the same."""

MOST_MESSAGES: Final = 4
MOST_TOKENS: Final = 8191

KEPT: Final = frozenset(
    ("chatComplete", "complete", "createModelResponse", "embed", "imageGenerate", "messages", "messagesCountTokens")
)
"""The gateway's names for the kinds of requests whose answers are kept."""

SEMANTIC: Final = ("chatComplete", "complete")
"""The gateway's names for the kinds of requests that similar ones are looked for."""

CHUNK_TOKENS: Final = 125
"""How many tokens a chunk of a kept stream has, where each of the provider's had one."""

_WORD = re.compile(r"\w+")
_NOISE: Final = re.compile(
    "a|an|the|of|in|on|at|to|for|from|by|with|and|or|is|are|was|were|be|do|does|did|can|could|would|will|shall|should|"
    "please|me|my|i|you|your|it|its|this|that|s|re|t"
)
"""Words that do not count; semantic caching is meant to see past them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request as the cache sees it.

    Attributes:
        partition: What keeps answers of different users apart.
        endpoint: The gateway's name for its kind.
        params: Its fields, overrides applied.
        semantic: Similar questions count, too.
        max_age: Seconds for which its answer is kept.
        refresh: A new answer is asked for.
    """

    partition: str
    endpoint: str
    params: Mapping[str, Any]
    semantic: bool
    max_age: float
    refresh: bool

    @property
    def key(self) -> str:
        """What an equal request has in common with it."""
        return json.dumps([self.partition, self.endpoint, self.params], sort_keys=True, ensure_ascii=False)

    @property
    def setting(self) -> str | None:
        """What a similar request has in common with it; None where similarity is not looked for."""
        if not self.semantic or self.endpoint not in SEMANTIC:
            return None
        messages = _conversation.messages_of(self.params)
        words = _WORD.findall(" ".join(_conversation.text_of(message.get("content")) for message in messages))
        asked = any(message.get("role") == "user" for message in messages)
        if not asked or len(messages) > MOST_MESSAGES or len(words) >= MOST_TOKENS:
            return None
        others = {name: value for name, value in self.params.items() if name != "messages"}
        return json.dumps([self.partition, self.endpoint, others], sort_keys=True, ensure_ascii=False)

    @property
    def words(self) -> Counter[str]:
        """The words asked; system messages do not count."""
        said = [
            _conversation.text_of(message.get("content"))
            for message in _conversation.messages_of(self.params)
            if message.get("role") not in ("system", "developer")
        ]
        return Counter(word for word in _WORD.findall(" ".join(said).casefold()) if not _NOISE.fullmatch(word))


def question(
    settings: Mapping[str, Any], headers: Mapping[str, str], endpoint: str, params: Mapping[str, Any]
) -> Question | None:
    """The request for the cache; None where it asks for none.

    Args:
        settings: `cache` of the target.
        headers: The request's headers.
        endpoint: The gateway's name for the kind of request.
        params: The request's fields, overrides applied.
    """
    mode = settings.get("mode")
    if mode not in ("simple", "semantic") or endpoint not in KEPT or headers.get("x-portkey-debug") == "false":
        return None
    namespace = headers.get("x-portkey-cache-namespace")
    # A namespace is the sole ground for keeping answers apart; without one it is the metadata.
    partition = f"namespace {namespace}" if namespace else f"metadata {headers.get('x-portkey-metadata', '')}"
    asked = settings.get("max_age")
    age = USUAL_S if not _javascript.truthy(asked) else float(str(asked))
    return Question(
        partition=partition,
        endpoint=endpoint,
        params=params,
        semantic=mode == "semantic",
        max_age=min(max(age, SHORTEST_S), LONGEST_S),
        refresh=headers.get("x-portkey-cache-force-refresh", "").lower() == "true",
    )


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: bytes
    until: float
    setting: str | None
    words: Counter[str]


class Cache:
    """The answers of one fake."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def look_up(self, asked: Question, now: float) -> tuple[Status, bytes | None]:
        """What the application is told, and the answer if there is one."""
        if asked.refresh:
            return "REFRESH", None
        exact = self._kept.get(asked.key)
        if exact is not None and now < exact.until:
            return "HIT", exact.answer
        setting = asked.setting
        if setting is None:
            return "MISS", None
        words = asked.words
        for kept in self._kept.values():
            if kept.setting == setting and now < kept.until and _cosine(words, kept.words) >= SIMILAR:
                return "SEMANTIC HIT", kept.answer
        return "SEMANTIC MISS", None

    def keep(self, asked: Question, answer: bytes, now: float) -> None:
        """Keep an answer; a refreshed one replaces those of similar questions."""
        setting, words = asked.setting, asked.words
        if asked.refresh and setting is not None:
            similar = [
                key
                for key, kept in self._kept.items()
                if kept.setting == setting and _cosine(words, kept.words) >= SIMILAR
            ]
            for key in similar:
                del self._kept[key]
        self._kept[asked.key] = _Kept(answer, now + asked.max_age, setting, words)

    def keeping(self, asked: Question, frames: Iterable[Frame | Cut], at: float) -> Iterator[Frame | Cut]:
        """The frames of a stream that begins at `at`; its events are kept once it has come to its end."""
        events = bytearray()
        for step in frames:
            at += step.gap
            if isinstance(step, Frame):
                events += step.data
            yield step
            if isinstance(step, Cut):
                return
        if asked.endpoint != "chatComplete" or events.endswith(DONE):
            self.keep(asked, bytes(events), at)


def replayed(events: bytes) -> Iterator[Frame]:
    """The events of a kept stream, with the texts of up to 125 chunks in one."""
    run: list[dict[str, Any]] = []
    for block in filter(None, events.split(b"\n\n")):
        chunk = _text_chunk(block)
        if run and (chunk is None or len(run) == CHUNK_TOKENS or _index(chunk) != _index(run[0])):
            yield Frame(0.0, _joined(run))
            run = []
        if chunk is None:
            yield Frame(0.0, block + b"\n\n")
        else:
            run.append(chunk)
    if run:
        yield Frame(0.0, _joined(run))


def _text_chunk(block: bytes) -> dict[str, Any] | None:
    """A chunk that carries nothing but text; None for any other event."""
    try:
        chunk = json.loads(block.removeprefix(b"data:"))
    except ValueError:
        return None
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or chunk.get("usage"):
        return None
    (choice,) = choices
    delta = choice.get("delta")
    plain = isinstance(delta, dict) and delta.keys() == {"content"} and isinstance(delta["content"], str)
    return chunk if plain and not choice.get("finish_reason") and not choice.get("logprobs") else None


def _index(chunk: Mapping[str, Any]) -> Any:
    return chunk["choices"][0].get("index")


def _joined(run: list[dict[str, Any]]) -> bytes:
    """One chunk that says what several said."""
    said = "".join(chunk["choices"][0]["delta"]["content"] for chunk in run)
    (choice,) = run[0]["choices"]
    return event(compact({**run[0], "choices": [{**choice, "delta": {"content": said}}]}))


def _cosine(left: Counter[str], right: Counter[str]) -> float:
    norm = math.sqrt(sum(n * n for n in left.values()) * sum(n * n for n in right.values()))
    if not norm:
        return float(left == right)
    # Rounded, so that equal questions in another order are equal.
    return round(sum(count * right[word] for word, count in left.items()) / norm, 9)
