"""How OpenAI words a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


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


def missing(param: str) -> Problem:
    return Problem(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def unknown(param: str) -> Problem:
    return Problem(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


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


def empty_string(param: str) -> Problem:
    words = (
        f"Invalid '{param}': empty string. Expected a string with minimum length 1, but got an empty string instead."
    )
    return Problem(words, param, "empty_string")


def too_long(param: str, value: str, limit: int) -> Problem:
    return Problem(
        f"Invalid '{param}': string too long. Expected a string with maximum length {limit}, but got a string with "
        f"length {len(value)} instead.",
        param,
        "string_above_max_length",
    )


def empty_array(param: str) -> Problem:
    words = f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead."
    return Problem(words, param, "empty_array")


def array_too_long(param: str, value: Sequence[Any], limit: int) -> Problem:
    return Problem(
        f"Invalid '{param}': array too long. Expected an array with maximum length {limit}, but got an array with "
        f"length {len(value)} instead.",
        param,
        "array_above_max_length",
    )


def no_match(param: str, pattern: str) -> Problem:
    return Problem(
        f"Invalid '{param}': string does not match pattern. Expected a string that matches the pattern '^{pattern}$'.",
        param,
        "invalid_value",
    )


def dotted(param: str) -> str:
    """A path as the older rules write it: `messages.[1].role`, where the newer ones write `messages[1].role`."""
    return param.replace("[", ".[")


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
