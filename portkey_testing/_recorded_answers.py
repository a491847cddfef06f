"""Single answers out of cassettes, and what the chunks of a stream amount to: for replies that were once real."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from portkey_client._accumulate import Accumulator
from portkey_client._sse import SSEDecoder
from portkey_client.types import ChatCompletionChunk
from portkey_testing.cassettes import EventStream, RecordedFailure, load_cassette
from portkey_testing.cassettes.events import unpack
from portkey_testing.cassettes.model import COMPLETE
from portkey_testing.timeline import Cut, Frame


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """An answer of the gateway, as it came.

    Attributes:
        status: HTTP status.
        content_type: None if there was none.
        delay: Seconds until the headers.
        body: A plain body.
        frames: The events of a stream; None for a plain answer.
        chunks: The chunks of a stream, as JSON text.
    """

    status: int
    content_type: str | None
    delay: float
    body: bytes = b""
    frames: tuple[Frame | Cut, ...] | None = None
    chunks: tuple[str, ...] = ()

    @property
    def completion(self) -> Any:
        """The completion it is, or amounts to.

        Raises:
            ValueError: it is no completion.
        """
        if self.frames is not None:
            return completion_of(self.chunks)
        found = json.loads(self.body)
        if not isinstance(found, dict) or "choices" not in found:
            raise ValueError("the recorded answer is no completion")
        return found


def completion_of(chunks: Iterable[str]) -> Any:
    """The completion that chunks amount to, in OpenAI's shape."""
    whole = Accumulator()
    for written in chunks:
        ChatCompletionChunk.model_validate_json(written)
        whole.add(written.encode())
    return whole.completion().model_dump(mode="json", exclude_unset=True)


def recorded_answer(path: str, number: int) -> RecordedAnswer:
    """Interaction `number`, from 1, of a cassette.

    Raises:
        CassetteError: the file is no cassette, or is damaged.
        LookupError: it has no such interaction, or that one failed without an answer.
    """
    file = Path(path)
    modified = file.stat().st_mtime_ns if file.exists() else 0
    return _loaded(path, number, modified)


@lru_cache(maxsize=64)
def _loaded(path: str, number: int, _modified: int) -> RecordedAnswer:
    interactions = load_cassette(path).interactions
    if not 1 <= number <= len(interactions):
        raise LookupError(f"{path} holds {len(interactions)} interactions, counted from 1; there is no number {number}")
    response = interactions[number - 1].response
    if isinstance(response, RecordedFailure):
        raise LookupError(  # noqa: TRY004  # the number is to blame, not a type
            f"{path}: interaction {number} has no answer: the connection failed with {response.fault!r}"
        )
    content_type = response.headers.get("content-type")
    delay = response.after_ms / 1000
    if not isinstance(response.body, EventStream):
        body = b"" if response.body is None else response.body.content()
        return RecordedAnswer(response.status, content_type, delay, body)
    frames: list[Frame | Cut] = []
    before = response.after_ms
    for when, data in unpack(response.body):
        frames.append(Frame(max(0, when - before) / 1000, data))
        before = max(before, when)
    if response.ended != COMPLETE:
        frames.append(Cut(0.0, "end"))
    events = SSEDecoder().feed(b"".join(step.data for step in frames if isinstance(step, Frame)))
    chunks = tuple(event.data for event in events if event.data.startswith("{"))
    return RecordedAnswer(response.status, content_type, delay, b"", tuple(frames), chunks)
