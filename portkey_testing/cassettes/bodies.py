"""A body as the most readable value that loses nothing of what it means."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from portkey_testing.cassettes._yaml import Unwritable, write
from portkey_testing.cassettes.model import BinaryBody, JsonBody, TextBody


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key stands twice: nobody knows what that means")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is beyond the numbers of JSON")
    return number


_json: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite).decode


def body_of(data: bytes) -> JsonBody | TextBody | BinaryBody | None:
    """The body that these bytes are."""
    if not data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return BinaryBody(data)
    try:
        return JsonBody(_json(text))
    except (ValueError, RecursionError):
        return TextBody(text)


def writable(body: JsonBody) -> JsonBody | TextBody:
    """`body`, as text if the YAML of cassettes cannot hold its JSON."""
    try:
        write({"body": [body.value]})
    except Unwritable:
        # Escaped, because a lone surrogate is no character of UTF-8.
        return TextBody(json.dumps(body.value, separators=(",", ":")))
    return body
