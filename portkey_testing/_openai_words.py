"""How OpenAI words a refusal, and the checks of plain values that most of its rules are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_NAME_WORDS: Final = "^[a-zA-Z0-9_-]+$"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why OpenAI refuses a request.

    Attributes:
        message: Its words.
        param: The parameter it names.
        code: Its error code.
        status: HTTP status.
        advice: What the author of the request can do, where the words do not say it.
    """

    message: str
    param: str | None = None
    code: str | None = None
    status: int = 400
    advice: str = ""


Check: TypeAlias = Callable[[str, Any], Iterator[Problem]]
"""What is wrong with a value, given the path of its parameter."""


def number(low: float, high: float) -> Callable[[str, Any], Iterator[Problem]]:
    def check(name: str, value: Any) -> Iterator[Problem]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield wrong_type(name, "a decimal", value)
        elif value < low:
            yield out_of_range(name, "decimal", ">=", low, value)
        elif value > high:
            yield out_of_range(name, "decimal", "<=", high, value)

    return check


def integer(low: int | None = None, high: int | None = None) -> Callable[[str, Any], Iterator[Problem]]:
    def check(name: str, value: Any) -> Iterator[Problem]:
        # JavaScript, and so the gateway, knows no difference between 5 and 5.0.
        if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
            yield wrong_type(name, "an integer", value)
        elif low is not None and value < low:
            yield out_of_range(name, "integer", ">=", low, value)
        elif high is not None and value > high:
            yield out_of_range(name, "integer", "<=", high, value)

    return check


def boolean(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield wrong_type(name, "a boolean", value)


def string(limit: int | None = None) -> Callable[[str, Any], Iterator[Problem]]:
    def check(name: str, value: Any) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield wrong_type(name, "a string", value)
        elif limit is not None and len(value) > limit:
            yield too_long(name, value, limit)

    return check


def one_of(*values: str, silent: tuple[str, ...] = ()) -> Callable[[str, Any], Iterator[Problem]]:
    def check(name: str, value: Any) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield wrong_type(name, "a string", value)
        elif value not in values and value not in silent:
            yield unsupported_value(name, value, values)

    return check


def missing(param: str) -> Problem:
    return Problem(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def wrong_type(param: str, expected: str, value: Any) -> Problem:
    words = f"Invalid type for '{param}': expected {expected}, but got {kind_of(value)} instead."
    return Problem(words, param, "invalid_type")


def unsupported_value(param: str, value: Any, supported: tuple[str, ...]) -> Problem:
    named = [f"'{name}'" for name in supported]
    listed = " and ".join(named) if len(named) < 3 else ", ".join(named[:-1]) + f", and {named[-1]}"
    return Problem(f"Invalid value: '{value}'. Supported values are: {listed}.", param, "invalid_value")


def out_of_range(param: str, kind: str, sign: str, limit: float, value: float) -> Problem:
    where, code = ("below minimum", "below_min") if sign == ">=" else ("above maximum", "above_max")
    words = f"Invalid '{param}': {kind} {where} value. Expected a value {sign} {limit:g}, but got {value} instead."
    return Problem(words, param, f"{kind}_{code}_value")


def too_long(param: str, value: str, limit: int) -> Problem:
    return Problem(
        f"Invalid '{param}': string too long. Expected a string with maximum length {limit}, but got a string with "
        f"length {len(value)} instead.",
        param,
        "string_above_max_length",
    )


def array_too_long(param: str, value: Sequence[Any], limit: int) -> Problem:
    return Problem(
        f"Invalid '{param}': array too long. Expected an array with maximum length {limit}, but got an array with "
        f"length {len(value)} instead.",
        param,
        "array_above_max_length",
    )


def empty_array(param: str) -> Problem:
    words = f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead."
    return Problem(words, param, "empty_array")


def no_match(param: str, pattern: str) -> Problem:
    return Problem(
        f"Invalid '{param}': string does not match pattern. Expected a string that matches the pattern '{pattern}'.",
        param,
        "invalid_value",
    )


def unknown_fields(param: str, value: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[Problem]:
    for name in value:
        if name not in known:
            path = f"{param}.{name}"
            yield Problem(f"Unknown parameter: '{path}'.", path, "unknown_parameter")


def required_name(param: str, value: Any) -> Iterator[Problem]:
    """The name of a function or a schema."""
    if value is None:
        yield missing(param)
    elif not isinstance(value, str):
        yield wrong_type(param, "a string", value)
    elif not value:
        yield Problem(
            f"Invalid '{param}': empty string. Expected a string with minimum length 1, but got an empty string "
            "instead.",
            param,
            "empty_string",
        )
    elif len(value) > 64:
        yield too_long(param, value, 64)
    elif not _NAME.fullmatch(value):
        yield no_match(param, _NAME_WORDS)


def kind_of(value: Any) -> str:
    """The JSON type of a value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
