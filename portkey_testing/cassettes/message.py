"""The message that the deltas of a stream add up to, for people to read and as a check of the events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from portkey_testing.cassettes._yaml import Json


def assemble(chunks: Iterable[Mapping[str, Any]]) -> Json:
    """The message that the deltas of these chunks add up to: a list if there are several choices, None if none."""
    messages: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and isinstance(delta := choice.get("delta"), dict):
                index = choice.get("index")
                _fold(messages.setdefault(index if type(index) is int else 0, {}), delta)
    whole = [_whole(messages[index]) for index in sorted(messages)]
    return None if not whole else whole[0] if list(messages) == [0] else whole


_ONCE: Final = frozenset({"id", "type", "role"})
"""Texts that some providers repeat in each delta: the first one counts."""


class _Text(list[str]):
    """The pieces of a text that is still growing, joined once at the end: a long stream costs no more per event."""


def _fold(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        old = message.get(name)
        if isinstance(value, str):
            if not isinstance(old, _Text):
                message[name] = _Text([value])
            elif name not in _ONCE or old == [""]:
                old.append(value)
        elif value is None:
            message.setdefault(name, None)
        elif isinstance(value, dict):
            if not isinstance(old, dict):
                old = message[name] = {}
            _fold(old, value)
        elif isinstance(value, list):
            if not isinstance(old, list) or isinstance(old, _Text):
                old = message[name] = []
            _fold_list(old, value)
        else:
            message[name] = value


def _fold_list(items: list[Any], delta: list[Any]) -> None:
    for entry in delta:
        index = entry.get("index") if isinstance(entry, dict) else None
        if index is None:
            items.append(entry)
            continue
        known = next((item for item in items if isinstance(item, dict) and item.get("index") == index), None)
        if known is None:
            items.append(known := {})
        _fold(known, entry)


def _whole(value: Any) -> Any:
    """`value` with its texts joined, and the halves of characters that were cut between two events with them."""
    if isinstance(value, _Text):
        return _whole("".join(value))
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_whole(name): _whole(member) for name, member in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
