"""Which values OpenAI refuses for single fields of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from portkey_testing._encode import compact
from portkey_testing._refusals.openai_checks import (
    Check,
    all_of,
    anything,
    array_of,
    boolean,
    identifier,
    integer,
    number,
    one_of,
    record,
    string,
    tagged,
)
from portkey_testing._refusals.openai_schemas import schema_problem
from portkey_testing._refusals.openai_words import Problem, wrong_type

TOOLS_LIMIT: Final = 128

_STOPS: Final = array_of(string(), "strings", at_most=4)
_BIAS: Final = number(-100, 100)
_OBJECT: Final = record({})
_METADATA_VALUE: Final = string(512)


def _stop(param: str, value: Any) -> Problem | None:
    if isinstance(value, list):
        return _STOPS(param, value)
    return None if isinstance(value, str) else wrong_type(param, "one of a string or array of strings", value)


def _biases(param: str, value: Mapping[str, Any]) -> Problem | None:
    for token, bias in value.items():
        if not (token.isascii() and token.isdigit()):
            words = f"Invalid key in '{param}': {token}. You should only be submitting non-negative integers."
            return Problem(words, param)
        if (found := _BIAS(f"{param}.{token}", bias)) is not None:
            return replace(found, code=None)
    return None


def _metadata(param: str, value: Mapping[str, Any]) -> Problem | None:
    if len(value) > 16:
        return Problem(
            f"Invalid '{param}': too many properties. Expected an object with at most 16 properties, but got an object "
            f"with {len(value)} properties instead.",
            param,
            "object_above_max_properties",
        )
    for name, text in value.items():
        if len(name) > 64:
            return Problem(
                f"Invalid property name in '{param}': string too long. Expected a string with maximum length 64, but "
                f"got a string with length {len(name)} instead.",
                param,
            )
        if (found := _METADATA_VALUE(f"{param}.{name}", text)) is not None:
            return found
    return None


def _parameters(param: str, function: Mapping[str, Any]) -> Problem | None:
    """The schema of a function's parameters, which is judged together with its name and strictness."""
    parameters = function.get("parameters")
    if not parameters:
        return None
    found = schema_problem(compact(parameters), strict=function.get("strict") is True)
    if found is None:
        return None
    words = f"Invalid schema for function '{function['name']}': {found}"
    return Problem(words, f"{param}.parameters", "invalid_function_parameters")


def _structure(param: str, wanted: Mapping[str, Any]) -> Problem | None:
    """The schema of structured output; one that is not strict is only advice to the model."""
    schema = wanted.get("schema")
    if schema is None or wanted.get("strict") is not True:
        return None
    found = schema_problem(compact(schema), strict=True)
    if found is None:
        return None
    field = param.partition(".")[0]  # OpenAI names no more of the path here
    return Problem(f"Invalid schema for {field} '{wanted['name']}': {found}", field)


_FUNCTION: Final = record({"name": identifier}, {"description": string(1024), "strict": boolean, "parameters": _OBJECT})
_JSON_SCHEMA: Final = record(
    {"name": identifier}, {"description": anything, "strict": boolean, "schema": anything}, closed=True
)
_NAMED: Final = record({"name": identifier})

FIELDS: Final[Mapping[str, Check]] = {
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "n": integer(1, 128),
    "max_tokens": integer(1),
    "max_completion_tokens": integer(1),
    "seed": integer(),
    "logprobs": boolean,
    "top_logprobs": integer(0, 20),
    "stream": boolean,
    "store": boolean,
    "parallel_tool_calls": boolean,
    "user": string(),
    "safety_identifier": string(64),
    "prompt_cache_key": string(),
    "service_tier": one_of("auto", "default", "flex", "priority", silent=("scale",)),
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh"),
    "verbosity": one_of("low", "medium", "high"),
    "stop": _stop,
    "logit_bias": all_of(_OBJECT, _biases),
    "metadata": all_of(_OBJECT, _metadata),
    "stream_options": record({}, {"include_usage": boolean, "include_obfuscation": boolean}, closed=True),
    "modalities": array_of(one_of("text", "audio"), "strings"),
    "response_format": tagged(
        json_object=record({"type": anything}, closed=True),
        json_schema=record({"type": anything, "json_schema": all_of(_JSON_SCHEMA, _structure)}, closed=True),
        text=record({"type": anything}, closed=True),
    ),
    "tools": array_of(
        tagged(function=record({"function": all_of(_FUNCTION, _parameters)}), custom=record({"custom": _NAMED})),
        nonempty=True,
        at_most=TOOLS_LIMIT,
    ),
    "functions": array_of(_NAMED, nonempty=True, at_most=TOOLS_LIMIT),  # what tools were called before they were tools
    "audio": record({"voice": anything, "format": one_of("wav", "aac", "mp3", "flac", "opus", "pcm16")}),
    "prediction": record({"type": one_of("content"), "content": anything}),
}
