"""Which values OpenAI refuses for single fields of a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from portkey_testing._encode import compact
from portkey_testing._openai_schemas import schema_problem
from portkey_testing._openai_words import (
    Check,
    Problem,
    array_too_long,
    boolean,
    empty_array,
    integer,
    missing,
    number,
    one_of,
    required_name,
    string,
    unknown_fields,
    unsupported_value,
    wrong_type,
)

TOOLS_LIMIT: Final = 128


def _stop(name: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, list):
        if len(value) > 4:
            yield array_too_long(name, value, 4)
        for index, item in enumerate(value):
            if not isinstance(item, str):
                yield wrong_type(f"{name}[{index}]", "a string", item)
    elif not isinstance(value, str):
        yield wrong_type(name, "one of a string or array of strings", value)


def _logit_bias(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield wrong_type(name, "an object", value)
        return
    for token, bias in value.items():
        if not (token.isascii() and token.isdigit()):
            yield Problem(
                f"Invalid key in '{name}': {token}. You should only be submitting non-negative integers.", name
            )
        for found in number(-100, 100)(f"{name}.{token}", bias):
            yield Problem(found.message, found.param)


def _metadata(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield wrong_type(name, "an object", value)
        return
    if len(value) > 16:
        yield Problem(
            f"Invalid '{name}': too many properties. Expected an object with at most 16 properties, but got an object "
            f"with {len(value)} properties instead.",
            name,
            "object_above_max_properties",
        )
    for key, item in value.items():
        if len(key) > 64:
            yield Problem(
                f"Invalid property name in '{name}': string too long. Expected a string with maximum length 64, but "
                f"got a string with length {len(key)} instead.",
                name,
            )
        yield from string(512)(f"{name}.{key}", item)


def _stream_options(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield wrong_type(name, "an object", value)
        return
    yield from unknown_fields(name, value, ("include_usage", "include_obfuscation"))
    for key, item in value.items():
        if item is not None:
            yield from boolean(f"{name}.{key}", item)


def _modalities(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield wrong_type(name, "an array of strings", value)
        return
    for index, item in enumerate(value):
        yield from one_of("text", "audio")(f"{name}[{index}]", item)


def _response_format(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield wrong_type(name, "an object", value)
        return
    kind = value.get("type")
    if kind is None:
        yield missing(f"{name}.type")
    elif kind not in ("json_object", "json_schema", "text"):
        yield unsupported_value(f"{name}.type", kind, ("json_object", "json_schema", "text"))
    yield from unknown_fields(name, value, ("type", "json_schema") if kind == "json_schema" else ("type",))
    if kind == "json_schema":
        yield from _json_schema(f"{name}.json_schema", value.get("json_schema"))


def _json_schema(name: str, given: Any) -> Iterator[Problem]:
    if given is None:
        yield missing(name)
    elif not isinstance(given, Mapping):
        yield wrong_type(name, "an object", given)
    else:
        yield from required_name(f"{name}.name", given.get("name"))
        yield from unknown_fields(name, given, ("name", "description", "schema", "strict"))
        if (strict := given.get("strict")) is not None:
            yield from boolean(f"{name}.strict", strict)
        schema = given.get("schema")
        if schema is not None and given.get("strict") is True:
            found = schema_problem(compact(schema), strict=True)
            if found is not None:
                yield Problem(f"Invalid schema for response_format '{given['name']}': {found}", "response_format")


def _tools(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield wrong_type(name, "an array of objects", value)
        return
    if not value:
        yield empty_array(name)
    if len(value) > TOOLS_LIMIT:
        yield array_too_long(name, value, TOOLS_LIMIT)
    for index, tool in enumerate(value):
        yield from _tool(f"{name}[{index}]", tool)


def _tool(name: str, tool: Any) -> Iterator[Problem]:
    if not isinstance(tool, Mapping):
        yield wrong_type(name, "an object", tool)
        return
    kind = tool.get("type")
    if kind is None:
        yield missing(f"{name}.type")
    elif kind not in ("function", "custom"):
        yield unsupported_value(f"{name}.type", kind, ("function", "custom"))
    if kind == "custom":
        yield from _custom(f"{name}.custom", tool.get("custom"))
        return
    function = tool.get("function")
    if function is None:
        yield missing(f"{name}.function")
    elif not isinstance(function, Mapping):
        yield wrong_type(f"{name}.function", "an object", function)
    else:
        yield from required_name(f"{name}.function.name", function.get("name"))
        if (description := function.get("description")) is not None:
            yield from string(1024)(f"{name}.function.description", description)
        if (strict := function.get("strict")) is not None:
            yield from boolean(f"{name}.function.strict", strict)
        if (parameters := function.get("parameters")) is not None:
            yield from _parameters(f"{name}.function.parameters", function, parameters)


def _custom(name: str, given: Any) -> Iterator[Problem]:
    if given is None:
        yield missing(name)
    elif not isinstance(given, Mapping):
        yield wrong_type(name, "an object", given)
    else:
        yield from required_name(f"{name}.name", given.get("name"))


def _functions(name: str, value: Any) -> Iterator[Problem]:
    """What tools were called before they were tools."""
    if not isinstance(value, list):
        yield wrong_type(name, "an array of objects", value)
        return
    if not value:
        yield empty_array(name)
    if len(value) > TOOLS_LIMIT:
        yield array_too_long(name, value, TOOLS_LIMIT)
    for index, function in enumerate(value):
        if isinstance(function, Mapping):
            yield from required_name(f"{name}[{index}].name", function.get("name"))
        else:
            yield wrong_type(f"{name}[{index}]", "an object", function)


def _audio(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield wrong_type(name, "an object", value)
        return
    for field in ("voice", "format"):
        if value.get(field) is None:
            yield missing(f"{name}.{field}")
    yield from one_of("wav", "aac", "mp3", "flac", "opus", "pcm16")(f"{name}.format", value["format"])


def _prediction(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield wrong_type(name, "an object", value)
        return
    for field in ("type", "content"):
        if value.get(field) is None:
            yield missing(f"{name}.{field}")
    yield from one_of("content")(f"{name}.type", value["type"])


def _parameters(name: str, function: Mapping[str, Any], parameters: Any) -> Iterator[Problem]:
    if not isinstance(parameters, Mapping):
        yield wrong_type(name, "an object", parameters)
    elif parameters:
        found = schema_problem(compact(parameters), strict=function.get("strict") is True)
        if found is not None:
            words = f"Invalid schema for function '{function['name']}': {found}"
            yield Problem(words, name, "invalid_function_parameters")


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
    "logit_bias": _logit_bias,
    "metadata": _metadata,
    "stream_options": _stream_options,
    "modalities": _modalities,
    "response_format": _response_format,
    "tools": _tools,
    "functions": _functions,
    "audio": _audio,
    "prediction": _prediction,
}
