"""What OpenAI checks of a value: numbers, texts, and the objects and arrays made of them.

A check is given the path of a parameter and its value, and returns the first thing that is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from portkey_testing._refusals.openai_words import (
    Problem,
    array_too_long,
    empty_array,
    empty_string,
    missing,
    no_match,
    out_of_range,
    too_long,
    unknown,
    unsupported_value,
    wrong_type,
)

Check: TypeAlias = Callable[[str, Any], Problem | None]

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")
_NAME_LIMIT: Final = 64


def number(low: float, high: float) -> Check:
    def check(param: str, value: Any) -> Problem | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return wrong_type(param, "a decimal", value)
        if value < low:
            return out_of_range(param, "decimal", ">=", low, value)
        return out_of_range(param, "decimal", "<=", high, value) if value > high else None

    return check


def integer(low: int | None = None, high: int | None = None) -> Check:
    def check(param: str, value: Any) -> Problem | None:
        # JavaScript, and so the gateway, knows no difference between 5 and 5.0.
        if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
            return wrong_type(param, "an integer", value)
        if low is not None and value < low:
            return out_of_range(param, "integer", ">=", low, value)
        return out_of_range(param, "integer", "<=", high, value) if high is not None and value > high else None

    return check


def boolean(param: str, value: Any) -> Problem | None:
    return None if isinstance(value, bool) else wrong_type(param, "a boolean", value)


def string(limit: int | None = None) -> Check:
    def check(param: str, value: Any) -> Problem | None:
        if not isinstance(value, str):
            return wrong_type(param, "a string", value)
        return too_long(param, value, limit) if limit is not None and len(value) > limit else None

    return check


def one_of(*values: str, silent: tuple[str, ...] = ()) -> Check:
    """One of some words; `silent` ones are taken, and not named where another is refused."""

    def check(param: str, value: Any) -> Problem | None:
        if not isinstance(value, str):
            return wrong_type(param, "a string", value)
        return None if value in values or value in silent else unsupported_value(param, value, values)

    return check


def identifier(param: str, value: Any) -> Problem | None:
    """The name of a function or a schema."""
    if not isinstance(value, str):
        return wrong_type(param, "a string", value)
    if not value:
        return empty_string(param)
    if len(value) > _NAME_LIMIT:
        return too_long(param, value, _NAME_LIMIT)
    return None if _NAME.fullmatch(value) else no_match(param, _NAME.pattern)


def array_of(item: Check, what: str = "objects", *, nonempty: bool = False, at_most: int | None = None) -> Check:
    def check(param: str, value: Any) -> Problem | None:
        if not isinstance(value, list):
            return wrong_type(param, f"an array of {what}", value)
        if nonempty and not value:
            return empty_array(param)
        if at_most is not None and len(value) > at_most:
            return array_too_long(param, value, at_most)
        for index, member in enumerate(value):
            if (found := item(f"{param}[{index}]", member)) is not None:
                return found
        return None

    return check


def record(
    required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, *, closed: bool = False
) -> Check:
    """An object with these fields, of which null ones count as absent; a closed one has no others."""
    fields = {**required, **(optional or {})}

    def check(param: str, value: Any) -> Problem | None:
        if not isinstance(value, dict):
            return wrong_type(param, "an object", value)
        for name, field in fields.items():
            given = value.get(name)
            if given is not None:
                if (found := field(f"{param}.{name}", given)) is not None:
                    return found
            elif name in required:
                return missing(f"{param}.{name}")
        stray = next((name for name in value if name not in fields), None) if closed else None
        return None if stray is None else unknown(f"{param}.{stray}")

    return check


def tagged(**kinds: Check) -> Check:
    """An object whose `type` says which of these it is."""
    untagged = record({"type": one_of(*kinds)})

    def check(param: str, value: Any) -> Problem | None:
        kind = value.get("type") if isinstance(value, dict) else None
        found = kinds.get(kind) if isinstance(kind, str) else None
        return (found or untagged)(param, value)

    return check


def all_of(*checks: Check) -> Check:
    """Several checks of one value; each may rely on those before it."""

    def check(param: str, value: Any) -> Problem | None:
        for one in checks:
            if (found := one(param, value)) is not None:
                return found
        return None

    return check


anything: Final = all_of()
"""Nothing is checked: for a field that may hold whatever it likes."""
