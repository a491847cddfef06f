"""Chunks in, completion out: what a stream amounts to, at any point of it. Pure.

Most streams are only looped over and nobody asks for the whole, so folding is put off: the JSON of the latest chunks is
kept, and folded some thousands at a time or when somebody asks. Texts stay in pieces until then. So a chunk costs
next to nothing, however long the answer is, and neither chunks nor their models pile up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json

from .types import ChatCompletions

_BATCH: Final = 4_096
_AT_ONCE: Final = 512
"""Chunks of a batch that are decoded together: as quick as all of them, for a tenth of the memory."""

_WHOLE: Final = frozenset({"id", "type", "role", "name", "index", "object", "format"})
"""Text fields that come once, or again and again, but never in pieces."""


_CONTENT: Final = {"content"}
_PLAIN: Final = {"delta", "finish_reason", "logprobs"}
_NOTHING: Final[Mapping[str, Any]] = {}


class Accumulator:
    """The completion that a stream amounts to so far."""

    __slots__ = ("_choices", "_latest", "_top")

    def __init__(self) -> None:
        self._latest: list[bytes] = []
        self._top: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, raw: bytes) -> None:
        """Take the JSON of one chunk, which has been found valid."""
        latest = self._latest
        latest.append(raw)
        if len(latest) >= _BATCH:
            self._catch_up()

    @property
    def empty(self) -> bool:
        """Whether no choice has been seen."""
        if not self._choices:
            self._catch_up()
        return not self._choices

    @property
    def unfinished(self) -> list[int]:
        """Indexes of the choices seen that have no finish reason yet, in order."""
        self._catch_up()
        return sorted(index for index, choice in self._choices.items() if not choice.get("finish_reason"))

    def completion(self) -> ChatCompletions:
        """The answer as it would have come in one piece, as far as it has come."""
        self._catch_up()
        choices = [_finished(index, self._choices[index]) for index in sorted(self._choices)]
        return ChatCompletions.model_validate({**self._top, "object": "chat.completion", "choices": choices})

    def _catch_up(self) -> None:
        latest = self._latest
        for start in range(0, len(latest), _AT_ONCE):
            self._fold_in(from_json(b"[" + b",".join(latest[start : start + _AT_ONCE]) + b"]"))
        latest.clear()

    def _fold_in(self, chunks: list[dict[str, Any]]) -> None:
        for chunk in chunks:
            for choice in chunk.pop("choices", None) or ():
                index = choice.pop("index", 0)
                so_far = self._choices.setdefault(index, {})
                if not _grew_text_only(so_far, choice):
                    _fold(so_far, choice)
            for key, value in chunk.items():
                # Azure's first chunk, about the prompt alone, has an empty id and model; the usage comes last.
                if (key == "usage" or not self._top.get(key)) and value not in (None, ""):
                    self._top[key] = value


def _finished(index: int, so_far: Mapping[str, Any]) -> dict[str, Any]:
    """A choice of the completion for what its deltas have come to."""
    choice: dict[str, Any] = {"index": index, "finish_reason": None, **_joined(so_far)}
    message: dict[str, Any] = {"role": "assistant", "content": None, **(choice.pop("delta", None) or {})}
    for call in message.get("tool_calls") or ():
        call.pop("index", None)
        if call.get("type") != "custom":  # OpenAI's custom tools have an input instead
            call["function"] = {"name": "", "arguments": "", **(call.get("function") or {})}
    if message.get("function_call") is not None:
        message["function_call"] = {"name": "", "arguments": "", **message["function_call"]}
    return {**choice, "message": message}


class _Pieces(list[str]):
    """A text in the pieces it came in."""

    def grow(self, text: str) -> None:
        self.append(text)
        if len(self) > _BATCH:  # many small texts take ten times the memory of one
            self[:] = ["".join(self)]


def _grew_text_only(so_far: dict[str, Any], choice: dict[str, Any]) -> bool:
    """Take a piece that brings nothing but text, as nearly all do, without looking at everything else."""
    delta = choice.get("delta")
    if delta is None or delta.keys() != _CONTENT or not choice.keys() <= _PLAIN:
        return False
    pieces, text = so_far.get("delta", _NOTHING).get("content"), delta["content"]
    if (
        pieces.__class__ is not _Pieces
        or text.__class__ is not str
        or choice.get("finish_reason")
        or choice.get("logprobs")
    ):
        return False
    pieces.grow(text)
    return True


def _fold(whole: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add to `whole` what `delta` brings: texts grow, objects are folded, list items are folded by their `index`."""
    for key, value in delta.items():
        known = whole.get(key)
        if value is None:
            whole.setdefault(key, None)
        elif isinstance(value, str) and key not in _WHOLE and key != "finish_reason":
            if isinstance(known, _Pieces):
                known.grow(value)
            elif key == "content" and isinstance(known, list):
                _fold_text(known, value)
            else:
                whole[key] = _Pieces([value])
        elif isinstance(value, Mapping):
            if not isinstance(known, dict):
                known = whole[key] = {}
            _fold(known, value)
        elif isinstance(value, list):
            if not isinstance(known, list) or isinstance(known, _Pieces):
                text = "".join(known) if isinstance(known, _Pieces) and key == "content" else ""
                known = whole[key] = []
                if text:
                    _fold_text(known, text)
            for item in value:
                _fold_item(known, item)
        elif value != "" or known is None:  # some servers repeat an empty id or name in every piece
            whole[key] = value


def _fold_text(parts: list[Any], text: str) -> None:
    """Add text to content in parts: Mistral's reasoning models think in parts and then answer in plain text."""
    last = parts[-1] if parts else None
    if isinstance(last, dict) and last.get("type") == "text":
        _fold(last, {"text": text})
    elif text:
        _fold_item(parts, {"type": "text", "text": text})


def _fold_item(items: list[Any], item: Any) -> None:
    """Add one item of a list: to the one with its `index`; a tool call without one goes on with the last."""
    if not isinstance(item, Mapping):
        items.append(item)
        return
    index = item.get("index")
    target: dict[str, Any] | None = None
    if index is not None:
        target = next((known for known in items if isinstance(known, dict) and known.get("index") == index), None)
    elif "function" in item and items and item.get("id") in (None, "", items[-1].get("id")):
        target = items[-1]
    if target is None:
        target = {}
        items.append(target)
    _fold(target, item)


def _joined(value: Any) -> Any:
    """A copy of `value` with every text in one piece."""
    if isinstance(value, _Pieces):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_joined(item) for item in value]
    return value
