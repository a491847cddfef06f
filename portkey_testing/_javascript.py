"""JavaScript's reading of values, where it differs from Python's and the gateway's answers show it.

The values are those JSON has, and `MISSING`, which stands for `undefined`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

from pydantic_core import from_json

MISSING: Final = object()
"""A value that is not there."""

_PARSE_ERRORS: Final = (
    ("Expecting property name", "Expected property name or '}'"),
    ("Expecting ':' delimiter", "Expected ':' after property name"),
    ("Unterminated string", "Unterminated string"),
    ("Invalid control character", "Bad control character in string literal"),
    ("Invalid \\escape", "Bad escaped character"),
)

_UNDERLINED = re.compile(r"_(\w)")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_FLOAT = re.compile(r"\s*([+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|Infinity))")
_INTEGER = re.compile(r"\s*([+-]?\d+)")
_PATTERN_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}
_PATTERN_ERRORS: Final = (
    ("unterminated subpattern", "Unterminated group"),
    ("unterminated character set", "Unterminated character class"),
    ("nothing to repeat", "Nothing to repeat"),
    ("multiple repeat", "Nothing to repeat"),
    ("unbalanced parenthesis", "Unmatched ')'"),
    ("bad escape (end of pattern)", "\\ at end of pattern"),
    ("min repeat greater than max", "numbers out of order in {} quantifier"),
    ("bad character range", "Range out of order in character class"),
)


class InvalidPatternError(ValueError):
    """A regular expression that does not compile; the text is V8's, as far as it is known."""


def parse(source: str | bytes) -> Any:
    """`JSON.parse(source)`.

    Raises:
        ValueError: it is no JSON; Python reads `NaN` and `Infinity`, JavaScript does not.
    """
    try:
        return from_json(source, allow_inf_nan=False)
    except ValueError:
        # Several times quicker, it refuses halves of surrogate pairs, deep nesting and broken UTF-8, which are taken.
        return _decode(source if isinstance(source, str) else source.decode("utf-8", "replace"))


@lru_cache(maxsize=64)
def parse_shared(source: str) -> Any:
    """The same for a text that several readers look at, such as a config. None of them may change the value."""
    return parse(source)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


# Made once: json.loads makes a new decoder for each call that asks for anything unusual.
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def truthy(value: Any) -> bool:
    """Whether a condition holds for the value: objects and lists count, empty ones too."""
    return value is not MISSING and (isinstance(value, Mapping | list) or bool(value))


def readable(value: Any) -> Mapping[str, Any]:
    """The value as something whose fields are looked at: whatever is no object has none.

    Raises:
        TypeError: it is null, of which JavaScript takes no field.
    """
    if value is None:
        raise TypeError("null has no fields")
    return value if isinstance(value, Mapping) else {}


def text(value: Any) -> str:
    """`String(value)`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case list():
            return ",".join("" if item is None else text(item) for item in value)
        case Mapping():
            return "[object Object]"
        case _:
            return "undefined" if value is MISSING else str(value)


def number(value: Any) -> float | None:
    """`parseFloat(value)`: the number a text begins with; None is NaN."""
    found = _FLOAT.match(text(value))
    return float(found.group(1)) if found else None


def integer(value: Any) -> int | None:
    """`parseInt(value)`: the whole number a text begins with; None is NaN."""
    found = _INTEGER.match(text(value))
    return int(found.group(1)) if found else None


def same(left: Any, right: Any) -> bool:
    """`left === right` for two values that do not share objects: two equal objects are not the same one."""
    if isinstance(left, list | Mapping) or isinstance(right, list | Mapping):
        return False
    if isinstance(left, bool) or isinstance(right, bool) or left is MISSING or right is MISSING:
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    return type(left) is type(right) and bool(left == right)


def kind(value: Any) -> str:
    """What zod calls the type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def field(value: Any, name: str) -> Any:
    """`value.name`, where nothing but an object has one.

    Raises:
        TypeError: the value is null.
    """
    if value is None:
        raise TypeError(f"Cannot read properties of null (reading '{name}')")
    return value.get(name, MISSING) if isinstance(value, Mapping) else MISSING


def spread(value: Any) -> dict[str, Any]:
    """`{...value}`: the fields of an object, the items of a list or the signs of a text by their position."""
    match value:
        case Mapping():
            return dict(value)
        case list() | str():
            return {str(position): item for position, item in enumerate(value)}
        case _:
            return {}


def camel(value: Any) -> Any:
    """The value with its names, at any depth, in camelCase, as the gateway makes them of those of a config."""
    match value:
        case Mapping():
            return {_UNDERLINED.sub(lambda found: found[1].upper(), name): camel(each) for name, each in value.items()}
        case list():
            return [camel(each) for each in value]
        case _:
            return value


def length(value: str) -> int:
    """`value.length`: UTF-16 units, of which an emoji has two."""
    return len(value.encode("utf-16-le", "surrogatepass")) // 2


def head(value: str, count: int) -> str:
    """`value.slice(0, count)`, which may cut an emoji in half."""
    if value.isascii() or length(value) == len(value):
        return value[:count]
    return value.encode("utf-16-le", "surrogatepass")[: 2 * count].decode("utf-16-le", "replace")


def parse_error(body: str) -> str:
    """What V8 says of a text that is not JSON."""
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        at = error.pos
        if at >= len(body):
            return "Unexpected end of JSON input"
        for mark, words in _PARSE_ERRORS:
            if error.msg.startswith(mark):
                return f"{words} in JSON at position {at}"
        if error.msg.startswith("Extra data"):
            return f"Unexpected non-whitespace character after JSON at position {at}"
        if error.msg.startswith("Expecting ',' delimiter"):
            after = "']' after array element" if _in_array(body[:at]) else "'}' after property value"
            return f"Expected ',' or {after} in JSON at position {at}"
        return f"Unexpected token '{body[at]}', {_surroundings(body, at)} is not valid JSON"
    return ""


def _in_array(before: str) -> bool:
    """Whether the innermost bracket that is open at the end of `before` is a square one."""
    opened: list[str] = []
    for sign in _STRING.sub("", before):
        if sign in "[{":
            opened.append(sign)
        elif sign in "]}" and opened:
            opened.pop()
    return opened[-1:] == ["["]


def _surroundings(body: str, at: int) -> str:
    """The text around a position, as V8 quotes it: all of it, or ten signs on either side."""
    start, end = max(at - 10, 0), min(at + 10, len(body))
    if len(body) <= 40:
        return f'"{body}"'
    return f'{"..." if start else ""}"{body[start:end]}"{"..." if end < len(body) else ""}'


@lru_cache(maxsize=256)
def pattern(source: str, flags: str = "") -> re.Pattern[str]:
    """`new RegExp(source, flags)`.

    Raises:
        InvalidPatternError: it does not compile. A look-behind of variable length does not either, in Python.
    """
    multiline = "m" in flags
    try:
        translated = "".join(_translated(source, multiline=multiline))
        return re.compile(translated, sum(_PATTERN_FLAGS.get(flag, 0) for flag in flags))
    except re.error as error:
        reason = next((words for mark, words in _PATTERN_ERRORS if mark in str(error)), str(error))
        raise InvalidPatternError(f"Invalid regular expression: /{source}/{flags}: {reason}") from error


def _translated(source: str, *, multiline: bool) -> Iterator[str]:
    """A regular expression of JavaScript in Python's spelling."""
    in_class = False
    at = 0
    while at < len(source):
        sign = source[at]
        pair = source[at : at + 2]
        at += 1
        if sign == "\\" and len(pair) == 2:
            at += 1
            if pair == r"\k" and not in_class:
                name, _, _ = source[at + 1 :].partition(">")
                yield f"(?P={name})"
                at += len(name) + 2
            else:
                yield _escape(pair, in_class=in_class)
        elif in_class:
            in_class = sign != "]"
            yield r"\[" if sign == "[" else sign
        elif sign == "[":
            if source.startswith(("]", "^]"), at):
                yield "(?!)" if source[at] == "]" else r"[\s\S]"
                at += 1 if source[at] == "]" else 2
            else:
                in_class = True
                yield sign
                if source.startswith("^", at):
                    yield "^"
                    at += 1
        elif source.startswith("(?<", at - 1) and source[at + 2 : at + 3] not in ("=", "!"):
            yield "(?P<"
            at += 2
        else:
            yield r"\Z" if sign == "$" and not multiline else sign


def _escape(pair: str, *, in_class: bool) -> str:
    """An escape sequence; digits and word characters are ASCII only, and any letter may be escaped."""
    match pair[1]:
        case "d":
            return "0-9" if in_class else "[0-9]"
        case "w":
            return "A-Za-z0-9_" if in_class else "[A-Za-z0-9_]"
        case "D" | "W" | "b" | "B" if not in_class:
            return f"(?a:{pair})"
        case letter if letter.isascii() and letter.isalpha() and letter not in "bBdDsSwWnrtfvxuUN":
            return letter
        case _:
            return pair
