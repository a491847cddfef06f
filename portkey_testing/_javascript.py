"""JavaScript's reading of values, where it differs from Python's and the gateway's answers show it.

The values are those JSON has, and `MISSING`, which stands for `undefined`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

from pydantic_core import from_json

from portkey_testing.failures import NotSimulated

MISSING: Final = object()
"""A value that is not there."""

_UNDERLINED = re.compile(r"_(\w)")
_FLOAT = re.compile(r"\s*([+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|Infinity))")
_INTEGER = re.compile(r"\s*([+-]?\d+)")


def parse(source: str | bytes) -> Any:
    """`JSON.parse(source)`.

    Raises:
        ValueError: it is no JSON; Python reads `NaN` and `Infinity`, JavaScript does not.
        NotSimulated: it is nested deeper than Python reads, where JavaScript still does.
    """
    try:
        return from_json(source, allow_inf_nan=False)
    except ValueError:
        # Several times quicker, it refuses halves of surrogate pairs, deep nesting and broken UTF-8, which are taken.
        try:
            return _decode(source if isinstance(source, str) else source.decode("utf-8", "replace"))
        except RecursionError as cause:
            raise NotSimulated("JSON is nested deeper here than the fake reads; send it flatter.") from cause


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
