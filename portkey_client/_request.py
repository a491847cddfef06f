"""From parameters to the bytes of a request body, with every mistake named before anything is sent. Pure."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import UUID

from pydantic import BaseModel

from .errors import InvalidRequestError
from .types import NOT_GIVEN, NotGiven

MAX_DEPTH: Final = 200
_MAX_INT_BITS: Final = 14_000
"""Beyond that Python may refuse to write an int in digits, and no field of the API has a use for it."""


def is_given(value: object) -> bool:
    """Whether a parameter was given. The OpenAI SDK's own markers count as not given, without importing it."""
    return not isinstance(value, NotGiven) and type(value).__name__ not in ("NotGiven", "Omit")


def chat_body(
    named: Mapping[str, Any], extra_body: object, others: Mapping[str, Any], *, streamed: bool | None = None
) -> dict[str, Any]:
    """The body of a chat completion. A later source overrides an earlier one: `named`, `extra_body`, `others`.

    `streamed` is what `stream` has to be, None where it may be either.

    Raises:
        InvalidRequestError: A parameter that cannot be meant.
    """
    # Most are left out, and told apart from markers of other SDKs without a call.
    body = {name: value for name, value in named.items() if value is not NOT_GIVEN and is_given(value)}
    if extra_body is not None and is_given(extra_body):
        if not isinstance(extra_body, Mapping):
            raise InvalidRequestError(f"extra_body= must be a mapping, got {_kind(extra_body)}", param="extra_body")
        body.update(extra_body)
    body.update((name, value) for name, value in others.items() if is_given(value))
    body["messages"] = messages_list(body.get("messages"))
    model, stream = body.get("model", ""), body.get("stream")
    if not isinstance(model, str):
        raise InvalidRequestError(
            f"model= must be a str, got {_kind(model)}; leave it out where the config names the model", param="model"
        )
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequestError(f"stream= must be a bool, got {_kind(stream)}", param="stream")
    if streamed is not None and bool(stream) is not streamed:
        raise InvalidRequestError(
            f"stream= cannot be {stream} here: parse() gives a whole answer, stream() its events", param="stream"
        )
    return body


def messages_list(messages: object) -> list[Any]:
    """The messages as a list.

    Raises:
        InvalidRequestError: They are not a list of messages; each is a mapping or a model.
    """
    if isinstance(messages, (str, bytes, Mapping, BaseModel)) or not isinstance(messages, Iterable):
        raise InvalidRequestError(
            f"messages= must be a list of messages such as {{'role': 'user', 'content': 'Hi'}}, got {_kind(messages)}",
            param="messages",
        )
    listed = list(messages)
    for index, message in enumerate(listed):
        if not isinstance(message, Mapping) and not (hasattr(message, "model_dump") and not isinstance(message, type)):
            raise InvalidRequestError(
                f"messages[{index}] must be a message, a mapping or a model with a role, got {_kind(message)}",
                param=f"messages[{index}]",
            )
    return listed


def encode_body(body: Mapping[str, Any]) -> bytes:
    """The body as compact JSON in UTF-8. Models are dumped with the fields that were set, dates become ISO texts.

    Raises:
        InvalidRequestError: Something in it has no JSON; the text names where it stands.
    """
    try:
        return _ENCODER.encode(body).encode()
    except (TypeError, ValueError, RecursionError) as error:
        param, reason = next(_misfits(body, "", 0), ("", str(error)))
        raise InvalidRequestError(f"{param or 'the body'} cannot be sent as JSON: {reason}", param=param) from error


def encode_query(query: Mapping[str, Any]) -> str:
    """A query string: a mapping as value becomes `key[inner]=value`, a list `key[]=value` for each item, None nothing.

    Raises:
        InvalidRequestError: It is no mapping, or holds something that no query can carry.
    """
    if not isinstance(query, Mapping):
        raise InvalidRequestError(f"extra_query= must be a mapping, got {_kind(query)}", param="extra_query")
    try:
        return urlencode(list(_query_pairs(query)))
    except (UnicodeEncodeError, RecursionError) as error:
        raise InvalidRequestError(f"extra_query= cannot be sent: {error}", param="extra_query") from error


def path_segment(name: str, value: object) -> str:
    """`value` as one percent-encoded segment of a path.

    Raises:
        InvalidRequestError: It is empty or not a str, so the request would go to another path.
    """
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(f"Expected a non-empty value for `{name}` (a str), got {_kind(value)}", param=name)
    if value in (".", ".."):
        return value.replace(".", "%2E")
    return quote(value, safe="")


def _query_pairs(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in query.items():
        if isinstance(value, Mapping):
            yield from _query_pairs({f"{key}[{inner}]": item for inner, item in value.items()})
        elif isinstance(value, list | tuple):
            for item in value:
                yield from _query_pairs({f"{key}[]": item})
        elif isinstance(value, bool):
            yield key, "true" if value else "false"
        elif isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
            yield key, str(value)
        elif value is not None and is_given(value):
            raise InvalidRequestError(f"extra_query: {key} must be a text or a number, got {_kind(value)}", param=key)


def _default(value: Any) -> Any:
    if isinstance(value, BaseModel) or (hasattr(value, "model_dump") and not isinstance(value, type)):
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterator):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


# Kept: building an encoder costs more than most bodies. It refuses NaN, which is not JSON.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default)


def _misfits(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """What in `value` has no JSON: where it stands and why."""
    children: Iterable[tuple[str, Any]] = ()
    if depth > MAX_DEPTH:
        yield re.split(r"[.\[]", path)[0], "it is nested too deeply, or holds itself"
    elif isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str | int | float | bool | None):
                yield path, f"its key {_kind(key)} is no text"
            elif not isinstance(key, bool | None):
                yield from ((path, f"its key {_SHORT.repr(key)} will not do: {why}") for _, why in _misfits(key, "", 0))
        children = ((f"{path}.{key}" if path else str(key), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        children = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"{value} is not a JSON number"
    elif isinstance(value, int) and value.bit_length() > _MAX_INT_BITS:
        yield path, "the number has too many digits"
    elif isinstance(value, str):
        lone = next((character for character in value if "\ud800" <= character <= "\udfff"), None)
        if lone is not None:
            yield path, f"it holds {lone!r}, half of a surrogate pair, which has no UTF-8"
    elif value is not None and not isinstance(value, bool | int | float):
        yield from _unfit_object(value, path, depth)
    for place, item in children:
        yield from _misfits(item, place, depth + 1)


def _unfit_object(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    convert: Callable[[Any], Any] = _default
    try:
        converted = convert(value)
    except (TypeError, ValueError) as error:
        hint = "; parse() takes a class" if isinstance(value, type) and path == "response_format" else ""
        yield path, f"{_kind(value)} has no JSON ({error}){hint}"
    else:
        yield from _misfits(converted, path, depth + 1)


_SHORT: Final = reprlib.Repr()  # which stands what holds itself, and what has no `repr()`
_SHORT.maxstring = _SHORT.maxother = 80


def _kind(value: object) -> str:
    return f"{type(value).__name__} {_SHORT.repr(value)}"
