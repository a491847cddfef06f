"""Which conversations OpenAI refuses: single messages, and tool calls that go unanswered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from portkey_testing._openai_words import (
    Problem,
    array_too_long,
    empty_array,
    missing,
    no_match,
    one_of,
    required_name,
    string,
    too_long,
    unsupported_value,
    wrong_type,
)

CONTENT_LIMIT: Final = 10_485_760
"""Characters of one message."""

CALLS_LIMIT: Final = 128
"""Tool calls of one message (openai/openai-dotnet#317)."""

_PARTICIPANT = re.compile(r"[^\s<|\\/>]+")
_PARTICIPANT_WORDS: Final = r"^[^\s<|\\/>]+$"

_ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
_PLAIN: Final = ("system", "assistant", "user", "developer")
"""Roles of messages that may be nothing but a text."""

_PARTS: Final[Mapping[str, str]] = {
    "text": "text",
    "image_url": "image_url",
    "input_audio": "input_audio",
    "refusal": "refusal",
    "audio": "audio",
    "file": "file",
}
"""Kinds of content parts, and the field each must have."""


def are_plain(messages: Any) -> bool:
    """Whether messages are roles and texts and nothing else, so that nothing can be wrong with them: most are."""
    if not isinstance(messages, list) or not messages:
        return False
    for message in messages:
        if not isinstance(message, dict) or len(message) != 2 or message.get("role") not in _PLAIN:
            return False
        content = message.get("content")
        if not isinstance(content, str) or len(content) > CONTENT_LIMIT:
            return False
    return True


def message_problems(messages: Any) -> Iterator[Problem]:
    """What is wrong with single messages, in order."""
    if not isinstance(messages, list):
        yield wrong_type("messages", "an array of objects", messages)
        return
    if not messages:
        yield empty_array("messages")
    for index, message in enumerate(messages):
        yield from _message(index, message)


def _message(index: int, message: Any) -> Iterator[Problem]:
    where = f"messages[{index}]"
    if not isinstance(message, Mapping):
        yield wrong_type(where, "an object", message)
        return
    role = message.get("role")
    if role is None:
        yield missing(f"{where}.role")
    elif role not in _ROLES:
        yield unsupported_value(f"{where}.role", role, _ROLES)
    yield from _content(index, message)
    name = message.get("name")
    if name is not None:
        yield from string(64)(f"{where}.name", name)
        if not _PARTICIPANT.fullmatch(name):
            yield no_match(f"{where}.name", _PARTICIPANT_WORDS)
    elif role == "function":
        yield Problem(
            "Missing parameter 'name': messages with role 'function' must have a 'name'.", f"messages.[{index}].name"
        )
    if role == "assistant" and message.get("tool_calls") is not None:
        yield from _tool_calls(index, message["tool_calls"])


def _content(index: int, message: Mapping[str, Any]) -> Iterator[Problem]:
    where = f"messages[{index}].content"
    content = message.get("content")
    if isinstance(content, str):
        if len(content) > CONTENT_LIMIT:
            yield too_long(where, content, CONTENT_LIMIT)
    elif content is None:
        said_otherwise = any(message.get(name) for name in ("tool_calls", "function_call", "refusal", "audio"))
        if message["role"] == "function" or (message["role"] == "assistant" and said_otherwise):
            return
        if "content" in message or message["role"] == "assistant":
            yield Problem("Invalid value for 'content': expected a string, got null.", f"messages.[{index}].content")
        yield missing(where)
    elif isinstance(content, list):
        if not content:
            yield empty_array(where)
        for position, part in enumerate(content):
            yield from _part(index, message["role"], f"{where}[{position}]", part)
    else:
        yield wrong_type(where, "one of a string or array of objects", content)


def _part(index: int, role: str, where: str, part: Any) -> Iterator[Problem]:
    if not isinstance(part, Mapping):
        yield wrong_type(where, "an object", part)
        return
    kind = part.get("type")
    if kind is None:
        yield missing(f"{where}.type")
    elif not isinstance(kind, str):
        yield wrong_type(f"{where}.type", "a string", kind)
    elif kind not in _PARTS:
        yield unsupported_value(f"{where}.type", kind, tuple(_PARTS))
    elif kind == "image_url" and role != "user":
        yield Problem(
            f"Invalid 'messages[{index}]'. Image URLs are only allowed for messages with role 'user', but this message "
            f"with role '{role}' contains an image URL.",
            f"messages[{index}]",
            "invalid_value",
        )
    elif part.get(_PARTS[kind]) is None:
        yield missing(f"{where}.{_PARTS[kind]}")
    elif kind == "text":
        yield from string()(f"{where}.text", part["text"])
    elif kind == "image_url":
        image = part["image_url"]
        if not isinstance(image, Mapping):
            yield wrong_type(f"{where}.image_url", "an object", image)
        elif image.get("url") is None:
            yield missing(f"{where}.image_url.url")
        else:
            yield from string()(f"{where}.image_url.url", image["url"])
            if (detail := image.get("detail")) is not None:
                yield from one_of("low", "high", "auto")(f"{where}.image_url.detail", detail)
    elif kind == "input_audio":
        yield from _sound(f"{where}.input_audio", part["input_audio"])


def _sound(where: str, sound: Any) -> Iterator[Problem]:
    if not isinstance(sound, Mapping):
        yield wrong_type(where, "an object", sound)
        return
    for field in ("data", "format"):
        if sound.get(field) is None:
            yield missing(f"{where}.{field}")
    yield from string()(f"{where}.data", sound["data"])
    yield from one_of("wav", "mp3")(f"{where}.format", sound["format"])


def image_problems(messages: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """What a model that only reads refuses (browser-use/web-ui#274)."""
    for index, message in enumerate(messages):
        content = message.get("content")
        for position, part in enumerate(content if isinstance(content, list) else ()):
            if part["type"] == "image_url":
                yield Problem(
                    "Invalid content type. image_url is only supported by certain models.",
                    f"messages.[{index}].content.[{position}].type",
                )


def _tool_calls(index: int, calls: Any) -> Iterator[Problem]:
    where = f"messages[{index}].tool_calls"
    if not isinstance(calls, list):
        yield wrong_type(where, "an array of objects", calls)
        return
    if not calls:
        yield empty_array(where)
    if len(calls) > CALLS_LIMIT:
        yield array_too_long(where, calls, CALLS_LIMIT)
    seen: set[str] = set()
    for position, call in enumerate(calls):
        here = f"{where}[{position}]"
        if not isinstance(call, Mapping):
            yield wrong_type(here, "an object", call)
            continue
        call_id = call.get("id")
        if call_id is None:
            yield missing(f"{here}.id")
        yield from string(40)(f"{here}.id", call_id)
        kind = call.get("type")
        if kind is None:
            yield missing(f"{here}.type")
        elif kind not in ("function", "custom"):
            yield unsupported_value(f"{here}.type", kind, ("function", "custom"))
        elif kind == "function":
            function = call.get("function")
            if not isinstance(function, Mapping):
                yield (
                    missing(f"{here}.function")
                    if function is None
                    else wrong_type(f"{here}.function", "an object", function)
                )
                continue
            yield from required_name(f"{here}.function.name", function.get("name"))
            if function.get("arguments") is None:
                yield missing(f"{here}.function.arguments")
            yield from string()(f"{here}.function.arguments", function["arguments"])
        if call_id in seen:
            yield Problem(
                f"Invalid parameter: Duplicate value for 'tool_call_id' of '{call_id}' in message with role "
                "'assistant'.",
                f"messages.[{index}].tool_calls",
            )
        seen.add(str(call_id))


def tool_flow(messages: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Each tool call is answered once, in the run of tool messages right after it."""
    open_calls: dict[str, int | None] = {}
    asked_at = -1
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            yield from _tool_result(index, message, asked_at, open_calls)
            continue
        if open_calls:
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
    elif not isinstance(call_id, str):
        yield wrong_type(f"messages[{index}].tool_call_id", "a string", call_id)
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
