"""What OpenAI's chat completions refuse, and in which words.

Limits come from OpenAI's published API description, wordings from error bodies quoted in public issue reports; where
only the rule is known, its wording follows that of a sibling. Two rules stand on reports against the documentation:
`metadata` needs `store` (QwenLM/qwen-code#243, tmc/langchaingo#1484), while two tools may share a name
(openai/openai-agents-python#4116). Absent and null are the same for what is optional.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from portkey_testing import _models
from portkey_testing._conversation import text_of
from portkey_testing._encode import compact

CONTENT_LIMIT: Final = 10_485_760
"""Characters of one message."""

TOOLS_LIMIT: Final = 128
NESTING_LIMIT: Final = 10
"""Levels of objects in a strict schema; it was 5 until 2025 (tidyverse/ellmer#671, openai/openai-java#732)."""

_OVERRIDE: Final = 'give the target its own with "override_params": {"model": ...}'
_NOT_JSON: Final = "We could not parse the JSON body of your request."

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_NAME_WORDS: Final = "^[a-zA-Z0-9_-]+$"
_PARTICIPANT = re.compile(r"[^\s<|\\/>]+")
_PARTICIPANT_WORDS: Final = r"^[^\s<|\\/>]+$"

_ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
_PARTS: Final[Mapping[str, str]] = {
    "text": "text",
    "image_url": "image_url",
    "input_audio": "input_audio",
    "refusal": "refusal",
    "audio": "audio",
    "file": "file",
}
"""Kinds of content parts, and the field each must have."""


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


def problem(body: Mapping[str, Any]) -> Problem | None:
    """The first reason to refuse `body`; None if OpenAI takes it."""
    return next(_problems(body), None)


def _problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    if _has_lone_surrogate(body):
        yield Problem(_NOT_JSON, advice="A string holds half of a surrogate pair, which is no character")
    yield from _model(body)
    if "messages" not in body:
        yield _missing("messages")
    yield from _messages(body.get("messages"))
    for name, value in body.items():
        if value is not None and (check := _FIELDS.get(name)) is not None:
            yield from check(name, value)
    yield from _combinations(body)
    yield from _tool_choice(body)
    yield from _model_limits(body)
    yield from _tool_flow(body["messages"])


def _model(body: Mapping[str, Any]) -> Iterator[Problem]:
    model = body.get("model")
    if not model:
        yield Problem("you must provide a model parameter")
    elif not isinstance(model, str):
        yield _wrong_type("model", "a string", model)
    elif (owner := _models.foreign_to("openai", model)) is not None:
        yield Problem(
            f"The model `{model}` does not exist or you do not have access to it.",
            code="model_not_found",
            status=404,
            advice=f"{model!r} is a model of {owner}; {_OVERRIDE}",
        )


# Single fields


def _number(low: float, high: float) -> Callable[[str, Any], Iterator[Problem]]:
    def check(name: str, value: Any) -> Iterator[Problem]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield _wrong_type(name, "a decimal", value)
        elif value < low:
            yield _out_of_range(name, "decimal", ">=", low, value)
        elif value > high:
            yield _out_of_range(name, "decimal", "<=", high, value)

    return check


def _integer(low: int | None = None, high: int | None = None) -> Callable[[str, Any], Iterator[Problem]]:
    def check(name: str, value: Any) -> Iterator[Problem]:
        # JavaScript, and so the gateway, knows no difference between 5 and 5.0.
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            yield _wrong_type(name, "an integer", value)
        elif low is not None and value < low:
            yield _out_of_range(name, "integer", ">=", low, value)
        elif high is not None and value > high:
            yield _out_of_range(name, "integer", "<=", high, value)

    return check


def _boolean(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield _wrong_type(name, "a boolean", value)


def _string(limit: int | None = None) -> Callable[[str, Any], Iterator[Problem]]:
    def check(name: str, value: Any) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield _wrong_type(name, "a string", value)
        elif limit is not None and len(value) > limit:
            yield _too_long(name, value, limit)

    return check


def _one_of(*values: str, silent: tuple[str, ...] = ()) -> Callable[[str, Any], Iterator[Problem]]:
    def check(name: str, value: Any) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield _wrong_type(name, "a string", value)
        elif value not in values and value not in silent:
            yield _unsupported_value(name, value, values)

    return check


def _stop(name: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, list):
        if len(value) > 4:
            yield _array_too_long(name, value, 4)
        for index, item in enumerate(value):
            if not isinstance(item, str):
                yield _wrong_type(f"{name}[{index}]", "a string", item)
    elif not isinstance(value, str):
        yield _wrong_type(name, "one of a string or array of strings", value)


def _logit_bias(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield _wrong_type(name, "an object", value)
        return
    for token, bias in value.items():
        for found in _number(-100, 100)(f"{name}.{token}", bias):
            yield Problem(found.message, found.param)


def _metadata(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield _wrong_type(name, "an object", value)
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
        yield from _string(512)(f"{name}.{key}", item)


def _stream_options(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield _wrong_type(name, "an object", value)
        return
    yield from _unknown_fields(name, value, ("include_usage", "include_obfuscation"))
    for key, item in value.items():
        if item is not None:
            yield from _boolean(f"{name}.{key}", item)


def _modalities(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield _wrong_type(name, "an array of strings", value)
        return
    for index, item in enumerate(value):
        yield from _one_of("text", "audio")(f"{name}[{index}]", item)


def _response_format(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield _wrong_type(name, "an object", value)
        return
    kind = value.get("type")
    if kind is None:
        yield _missing(f"{name}.type")
    elif kind not in ("json_object", "json_schema", "text"):
        yield _unsupported_value(f"{name}.type", kind, ("json_object", "json_schema", "text"))
    yield from _unknown_fields(name, value, ("type", "json_schema") if kind == "json_schema" else ("type",))
    if kind == "json_schema":
        yield from _json_schema(f"{name}.json_schema", value.get("json_schema"))


def _json_schema(name: str, given: Any) -> Iterator[Problem]:
    if given is None:
        yield _missing(name)
    elif not isinstance(given, Mapping):
        yield _wrong_type(name, "an object", given)
    else:
        yield from _required_name(f"{name}.name", given.get("name"))
        yield from _unknown_fields(name, given, ("name", "description", "schema", "strict"))
        schema = given.get("schema")
        if schema is not None and given.get("strict") is True:
            found = _schema_problem(compact(schema), strict=True)
            if found is not None:
                yield Problem(f"Invalid schema for response_format '{given['name']}': {found}", "response_format")


def _tools(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield _wrong_type(name, "an array of objects", value)
        return
    if not value:
        yield _empty_array(name)
    if len(value) > TOOLS_LIMIT:
        yield _array_too_long(name, value, TOOLS_LIMIT)
    for index, tool in enumerate(value):
        yield from _tool(f"{name}[{index}]", tool)


def _tool(name: str, tool: Any) -> Iterator[Problem]:
    if not isinstance(tool, Mapping):
        yield _wrong_type(name, "an object", tool)
        return
    kind = tool.get("type")
    if kind is None:
        yield _missing(f"{name}.type")
    elif kind not in ("function", "custom"):
        yield _unsupported_value(f"{name}.type", kind, ("function", "custom"))
    if kind == "custom":
        return
    function = tool.get("function")
    if function is None:
        yield _missing(f"{name}.function")
    elif not isinstance(function, Mapping):
        yield _wrong_type(f"{name}.function", "an object", function)
    else:
        yield from _required_name(f"{name}.function.name", function.get("name"))
        if (description := function.get("description")) is not None:
            yield from _string(1024)(f"{name}.function.description", description)
        if (parameters := function.get("parameters")) is not None:
            yield from _parameters(f"{name}.function.parameters", function, parameters)


def _parameters(name: str, function: Mapping[str, Any], parameters: Any) -> Iterator[Problem]:
    if not isinstance(parameters, Mapping):
        yield _wrong_type(name, "an object", parameters)
    elif parameters:
        found = _schema_problem(compact(parameters), strict=function.get("strict") is True)
        if found is not None:
            words = f"Invalid schema for function '{function['name']}': {found}"
            yield Problem(words, name, "invalid_function_parameters")


_FIELDS: Final[Mapping[str, Callable[[str, Any], Iterator[Problem]]]] = {
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "n": _integer(1, 128),
    "max_tokens": _integer(1),
    "max_completion_tokens": _integer(1),
    "seed": _integer(),
    "logprobs": _boolean,
    "top_logprobs": _integer(0, 20),
    "stream": _boolean,
    "store": _boolean,
    "parallel_tool_calls": _boolean,
    "user": _string(),
    "safety_identifier": _string(64),
    "prompt_cache_key": _string(),
    "service_tier": _one_of("auto", "default", "flex", "priority", silent=("scale",)),
    "reasoning_effort": _one_of("none", "minimal", "low", "medium", "high", "xhigh"),
    "verbosity": _one_of("low", "medium", "high"),
    "stop": _stop,
    "logit_bias": _logit_bias,
    "metadata": _metadata,
    "stream_options": _stream_options,
    "modalities": _modalities,
    "response_format": _response_format,
    "tools": _tools,
}


# Fields that need, or exclude, each other


def _combinations(body: Mapping[str, Any]) -> Iterator[Problem]:
    given = {name for name, value in body.items() if value is not None}
    if "stream_options" in given and body.get("stream") is not True:
        yield Problem(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options", None
        )
    if body.get("metadata") and body.get("store") is not True:
        yield Problem("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")
    if body.get("top_logprobs") and body.get("logprobs") is not True:
        yield Problem("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", "top_logprobs")
    if {"max_tokens", "max_completion_tokens"} <= given:
        yield Problem(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    if "audio" in (body.get("modalities") or ()) and "audio" not in given:
        yield _missing("audio")
    if "tools" not in given:
        for name in ("tool_choice", "parallel_tool_calls"):
            # `none` is what OpenAI documents as the default without tools.
            if name in given and body[name] != "none":
                yield Problem(f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name)
    wanted = body.get("response_format")
    if isinstance(wanted, Mapping) and wanted.get("type") == "json_object":
        said = (text_of(message.get("content")) for message in body["messages"])
        if not any("json" in text.lower() for text in said):
            yield Problem(
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
                "messages",
            )


def _tool_choice(body: Mapping[str, Any]) -> Iterator[Problem]:
    choice = body.get("tool_choice")
    if choice is None:
        return
    if isinstance(choice, str):
        yield from _one_of("none", "auto", "required")("tool_choice", choice)
    elif not isinstance(choice, Mapping):
        yield _wrong_type("tool_choice", "one of a string or object", choice)
    elif choice.get("type") == "function":
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if name is None:
            missing = "tool_choice.function" if function is None else "tool_choice.function.name"
            yield _missing(missing)
        elif name not in {tool["function"]["name"] for tool in body.get("tools") or () if "function" in tool}:
            yield Problem(
                f"Invalid value for 'tool_choice': Tool choice '{name}' not found in 'tools' parameter.", "tool_choice"
            )
    elif choice.get("type") is None:
        yield _missing("tool_choice.type")


def _model_limits(body: Mapping[str, Any]) -> Iterator[Problem]:
    """What reasoning models do not take, as their users report it (cline/cline#341, BerriAI/litellm#5671)."""
    model = body["model"]
    if not _models.reasons(model):
        return
    refused = {"function"} | ({"system", "developer"} if _models.refuses_system_messages(model) else set())
    for index, message in enumerate(body["messages"]):
        if (role := message["role"]) in refused:
            param = f"messages[{index}].role"
            words = f"Unsupported value: '{param}' does not support '{role}' with this model."
            yield Problem(words, param, "unsupported_value")
    if body.get("max_tokens") is not None:
        yield Problem(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
            "instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    for name, default in (("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0)):
        value = body.get(name)
        if value is not None and value != default:
            yield Problem(
                f"Unsupported value: '{name}' does not support {value} with this model. Only the default ({default}) "
                "value is supported.",
                name,
                "unsupported_value",
            )


# Messages


def _messages(messages: Any) -> Iterator[Problem]:
    if not isinstance(messages, list):
        yield _wrong_type("messages", "an array of objects", messages)
        return
    if not messages:
        yield _empty_array("messages")
    for index, message in enumerate(messages):
        yield from _message(index, message)


def _message(index: int, message: Any) -> Iterator[Problem]:
    where = f"messages[{index}]"
    if not isinstance(message, Mapping):
        yield _wrong_type(where, "an object", message)
        return
    role = message.get("role")
    if role is None:
        yield _missing(f"{where}.role")
    elif role not in _ROLES:
        yield _unsupported_value(f"{where}.role", role, _ROLES)
    yield from _content(index, message)
    name = message.get("name")
    if name is not None:
        yield from _string(64)(f"{where}.name", name)
        if not _PARTICIPANT.fullmatch(name):
            yield _no_match(f"{where}.name", _PARTICIPANT_WORDS)
    if role == "assistant" and message.get("tool_calls") is not None:
        yield from _tool_calls(index, message["tool_calls"])


def _content(index: int, message: Mapping[str, Any]) -> Iterator[Problem]:
    where = f"messages[{index}].content"
    content = message.get("content")
    if isinstance(content, str):
        if len(content) > CONTENT_LIMIT:
            yield _too_long(where, content, CONTENT_LIMIT)
    elif content is None:
        said_otherwise = any(message.get(name) for name in ("tool_calls", "function_call", "refusal", "audio"))
        if message["role"] == "function" or (message["role"] == "assistant" and said_otherwise):
            return
        if "content" in message or message["role"] == "assistant":
            yield Problem("Invalid value for 'content': expected a string, got null.", f"messages.[{index}].content")
        yield _missing(where)
    elif isinstance(content, list):
        if not content:
            yield _empty_array(where)
        for position, part in enumerate(content):
            yield from _part(index, message["role"], f"{where}[{position}]", part)
    else:
        yield _wrong_type(where, "one of a string or array of objects", content)


def _part(index: int, role: str, where: str, part: Any) -> Iterator[Problem]:
    if not isinstance(part, Mapping):
        yield _wrong_type(where, "an object", part)
        return
    kind = part.get("type")
    if kind is None:
        yield _missing(f"{where}.type")
    elif kind not in _PARTS:
        yield _unsupported_value(f"{where}.type", kind, tuple(_PARTS))
    elif kind == "image_url" and role != "user":
        yield Problem(
            f"Invalid 'messages[{index}]'. Image URLs are only allowed for messages with role 'user', but this message "
            f"with role '{role}' contains an image URL.",
            f"messages[{index}]",
            "invalid_value",
        )
    elif part.get(_PARTS[kind]) is None:
        yield _missing(f"{where}.{_PARTS[kind]}")
    elif kind == "text":
        yield from _string()(f"{where}.text", part["text"])
    elif kind == "image_url":
        image = part["image_url"]
        if not isinstance(image, Mapping):
            yield _wrong_type(f"{where}.image_url", "an object", image)
        elif image.get("url") is None:
            yield _missing(f"{where}.image_url.url")


def _tool_calls(index: int, calls: Any) -> Iterator[Problem]:
    where = f"messages[{index}].tool_calls"
    if not isinstance(calls, list):
        yield _wrong_type(where, "an array of objects", calls)
        return
    if not calls:
        yield _empty_array(where)
    seen: set[str] = set()
    for position, call in enumerate(calls):
        here = f"{where}[{position}]"
        if not isinstance(call, Mapping):
            yield _wrong_type(here, "an object", call)
            continue
        call_id = call.get("id")
        if call_id is None:
            yield _missing(f"{here}.id")
        yield from _string(40)(f"{here}.id", call_id)
        kind = call.get("type")
        if kind is None:
            yield _missing(f"{here}.type")
        elif kind not in ("function", "custom"):
            yield _unsupported_value(f"{here}.type", kind, ("function", "custom"))
        elif kind == "function":
            function = call.get("function")
            if not isinstance(function, Mapping):
                yield (
                    _missing(f"{here}.function")
                    if function is None
                    else _wrong_type(f"{here}.function", "an object", function)
                )
                continue
            for field in ("name", "arguments"):
                if function.get(field) is None:
                    yield _missing(f"{here}.function.{field}")
                yield from _string()(f"{here}.function.{field}", function.get(field))
        if call_id in seen:
            yield Problem(
                f"Invalid parameter: Duplicate value for 'tool_call_id' of '{call_id}' in message with role "
                "'assistant'.",
                f"messages.[{index}].tool_calls",
            )
        seen.add(str(call_id))


def _tool_flow(messages: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Each tool call is answered once, in the run of tool messages right after it."""
    open_calls: dict[str, int | None] = {}
    asked_at = -1
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            yield from _tool_result(index, message, asked_at, open_calls)
            continue
        yield from _unanswered(asked_at, open_calls)
        open_calls, asked_at = {}, -1
        if message["role"] == "assistant" and message.get("tool_calls"):
            asked_at = index
            open_calls = {call["id"]: None for call in message["tool_calls"]}
    yield from _unanswered(asked_at, open_calls)


def _tool_result(
    index: int, message: Mapping[str, Any], asked_at: int, open_calls: dict[str, int | None]
) -> Iterator[Problem]:
    if asked_at < 0:
        # The misspelling is the vendor's.
        yield Problem(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
            "'tool_calls'.",
            f"messages.[{index}].role",
        )
        return
    call_id = message.get("tool_call_id")
    param = f"messages.[{index}].tool_call_id"
    if call_id is None:
        yield Problem("Missing parameter 'tool_call_id': messages with role 'tool' must have a 'tool_call_id'.", param)
    elif call_id not in open_calls:
        yield Problem(
            f"Invalid parameter: 'tool_call_id' of '{call_id}' not found in 'tool_calls' of previous message.", param
        )
    elif (before := open_calls[call_id]) is not None:
        yield Problem(
            f"Invalid parameter: Duplicate value for 'tool_call_id' of '{call_id}', in messages[{before}] and "
            f"messages[{index}].",
            param,
        )
    else:
        open_calls[call_id] = index


def _unanswered(asked_at: int, open_calls: Mapping[str, int | None]) -> Iterator[Problem]:
    missing = [call_id for call_id, answered_at in open_calls.items() if answered_at is None]
    if missing:
        yield Problem(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages: " + ", ".join(missing),
            f"messages.[{asked_at}].role",
        )


# Schemas


@lru_cache(maxsize=256)
def _schema_problem(written: str, *, strict: bool) -> str | None:
    """What is wrong with the schema of a function or an answer, in OpenAI's words."""
    schema = json.loads(written)
    if not isinstance(schema, Mapping):
        return f"schema must be a JSON Schema of 'type: \"object\"', got '{_kind(schema)}'."
    kind = schema.get("type")
    if kind != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
    broken = best_match(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema))
    if broken is not None:
        return f"{broken.message}."
    return next(_schema_problems(schema, (), 1, strict=strict), None)


def _schema_problems(schema: Any, context: tuple[str, ...], level: int, *, strict: bool) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    properties = schema.get("properties") or {}
    if schema.get("type") == "array" and "items" not in schema and "prefixItems" not in schema:
        yield f"In context={context}, array schema missing items."
    is_object = schema.get("type") == "object" or bool(properties)
    if strict and is_object:
        if level > NESTING_LIMIT:
            yield f"{level} levels of nesting exceeds limit of {NESTING_LIMIT}."
        if schema.get("additionalProperties") is not False:
            yield f"In context={context}, 'additionalProperties' is required to be supplied and to be false."
        missing = [name for name in properties if name not in (schema.get("required") or ())]
        if missing:
            yield (
                f"In context={context}, 'required' is required to be supplied and to be an array including every key "
                f"in properties. Missing '{missing[0]}'."
            )
    deeper = level + 1 if is_object else level
    for name, child in properties.items():
        yield from _schema_problems(child, (*context, "properties", name), deeper, strict=strict)
    yield from _schema_problems(schema.get("items"), (*context, "items"), deeper, strict=strict)
    for index, child in enumerate(schema.get("anyOf") or ()):
        yield from _schema_problems(child, (*context, "anyOf", str(index)), level, strict=strict)
    for name, child in (schema.get("$defs") or {}).items():
        yield from _schema_problems(child, (*context, "$defs", name), 1, strict=strict)


# Words


def _missing(param: str) -> Problem:
    return Problem(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def _wrong_type(param: str, expected: str, value: Any) -> Problem:
    words = f"Invalid type for '{param}': expected {expected}, but got {_kind(value)} instead."
    return Problem(words, param, "invalid_type")


def _unsupported_value(param: str, value: Any, supported: tuple[str, ...]) -> Problem:
    named = [f"'{name}'" for name in supported]
    listed = " and ".join(named) if len(named) == 2 else ", ".join(named[:-1]) + f", and {named[-1]}"
    return Problem(f"Invalid value: '{value}'. Supported values are: {listed}.", param, "invalid_value")


def _out_of_range(param: str, kind: str, sign: str, limit: float, value: float) -> Problem:
    where, code = ("below minimum", "below_min") if sign == ">=" else ("above maximum", "above_max")
    words = f"Invalid '{param}': {kind} {where} value. Expected a value {sign} {limit:g}, but got {value} instead."
    return Problem(words, param, f"{kind}_{code}_value")


def _too_long(param: str, value: str, limit: int) -> Problem:
    return Problem(
        f"Invalid '{param}': string too long. Expected a string with maximum length {limit}, but got a string with "
        f"length {len(value)} instead.",
        param,
        "string_above_max_length",
    )


def _array_too_long(param: str, value: Sequence[Any], limit: int) -> Problem:
    return Problem(
        f"Invalid '{param}': array too long. Expected an array with maximum length {limit}, but got an array with "
        f"length {len(value)} instead.",
        param,
        "array_above_max_length",
    )


def _empty_array(param: str) -> Problem:
    words = f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead."
    return Problem(words, param, "empty_array")


def _no_match(param: str, pattern: str) -> Problem:
    return Problem(
        f"Invalid '{param}': string does not match pattern. Expected a string that matches the pattern '{pattern}'.",
        param,
        "invalid_value",
    )


def _unknown_fields(param: str, value: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[Problem]:
    for name in value:
        if name not in known:
            path = f"{param}.{name}"
            yield Problem(f"Unknown parameter: '{path}'.", path, "unknown_parameter")


def _required_name(param: str, value: Any) -> Iterator[Problem]:
    """The name of a function or a schema."""
    if value is None:
        yield _missing(param)
    elif not isinstance(value, str):
        yield _wrong_type(param, "a string", value)
    elif not value:
        yield Problem(
            f"Invalid '{param}': empty string. Expected a string with minimum length 1, but got an empty string "
            "instead.",
            param,
            "empty_string",
        )
    elif len(value) > 64:
        yield _too_long(param, value, 64)
    elif not _NAME.fullmatch(value):
        yield _no_match(param, _NAME_WORDS)


def _kind(value: Any) -> str:
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


def _has_lone_surrogate(value: Any) -> bool:
    """Half a surrogate pair passes JSON, JavaScript and Python, but is nothing that UTF-8 can carry."""
    try:
        compact(value).encode()
    except UnicodeEncodeError:
        return True
    return False
