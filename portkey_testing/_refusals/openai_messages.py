"""Which conversations OpenAI refuses: single messages, and tool calls that go unanswered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from portkey_testing._refusals.openai_checks import (
    all_of,
    anything,
    array_of,
    identifier,
    one_of,
    record,
    string,
    tagged,
)
from portkey_testing._refusals.openai_words import Problem, dotted, missing, no_match, wrong_type

CONTENT_LIMIT: Final = 10_485_760
"""Characters of one message."""

CALLS_LIMIT: Final = 128
"""Tool calls of one message (openai/openai-dotnet#317)."""

_PLAIN: Final = ("system", "assistant", "user", "developer")
"""Roles of messages that may be nothing but a text."""

_PARTICIPANT: Final = re.compile(r"[^\s<|\\/>]+")

_ROLE: Final = record({"role": one_of("system", "assistant", "user", "function", "tool", "developer")})
_TEXT: Final = string(CONTENT_LIMIT)
_NAME: Final = string(64)
_PARTS: Final = array_of(
    tagged(
        text=record({"text": string()}),
        image_url=record({"image_url": record({"url": string()}, {"detail": one_of("low", "high", "auto")})}),
        input_audio=record({"input_audio": record({"data": string(), "format": one_of("wav", "mp3")})}),
        refusal=record({"refusal": anything}),
        audio=record({"audio": anything}),
        file=record({"file": anything}),
    ),
    nonempty=True,
)
_CALLS: Final = array_of(
    all_of(
        record({"id": string(40)}),
        tagged(function=record({"function": record({"name": identifier, "arguments": string()})}), custom=anything),
    ),
    nonempty=True,
    at_most=CALLS_LIMIT,
)


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


def _content(param: str, message: Mapping[str, Any]) -> Problem | None:
    content, role = message.get("content"), message["role"]
    where = f"{param}.content"
    if isinstance(content, str):
        return _TEXT(where, content)
    if content is None:
        said_otherwise = any(message.get(name) for name in ("tool_calls", "function_call", "refusal", "audio"))
        if role == "function" or (role == "assistant" and said_otherwise):
            return None
        if "content" in message or role == "assistant":
            return Problem("Invalid value for 'content': expected a string, got null.", dotted(where))
        return missing(where)
    if not isinstance(content, list):
        return wrong_type(where, "one of a string or array of objects", content)
    found = _PARTS(where, content)
    if found is None and role != "user" and any(part["type"] == "image_url" for part in content):
        words = (
            f"Invalid '{param}'. Image URLs are only allowed for messages with role 'user', but this message with role "
            f"'{role}' contains an image URL."
        )
        return Problem(words, param, "invalid_value")
    return found


def _name(param: str, message: Mapping[str, Any]) -> Problem | None:
    name = message.get("name")
    where = f"{param}.name"
    if name is not None:
        return _NAME(where, name) or (None if _PARTICIPANT.fullmatch(name) else no_match(where, _PARTICIPANT.pattern))
    if message["role"] != "function":
        return None
    return Problem("Missing parameter 'name': messages with role 'function' must have a 'name'.", dotted(where))


def _tool_calls(param: str, message: Mapping[str, Any]) -> Problem | None:
    calls = message.get("tool_calls")
    if calls is None or message["role"] != "assistant":
        return None
    where = f"{param}.tool_calls"
    if (found := _CALLS(where, calls)) is not None:
        return found
    seen: set[str] = set()
    for call in calls:
        if call["id"] in seen:
            words = f"Duplicate value for 'tool_call_id' of '{call['id']}' in message with role 'assistant'."
            return Problem(f"Invalid parameter: {words}", dotted(where))
        seen.add(call["id"])
    return None


messages_problem: Final = array_of(all_of(_ROLE, _content, _name, _tool_calls), nonempty=True)
"""What is wrong with single messages."""


def image_problem(messages: Sequence[Mapping[str, Any]]) -> Problem | None:
    """What a model that only reads refuses (browser-use/web-ui#274)."""
    for index, message in enumerate(messages):
        content = message.get("content")
        for position, part in enumerate(content if isinstance(content, list) else ()):
            if part["type"] == "image_url":
                return Problem(
                    "Invalid content type. image_url is only supported by certain models.",
                    dotted(f"messages[{index}].content[{position}].type"),
                )
    return None


def tool_flow_problem(messages: Sequence[Mapping[str, Any]]) -> Problem | None:
    """Each tool call is answered once, in the run of tool messages right after it."""
    answered_at: dict[str, int | None] = {}  # by the ids of the calls
    asked_at: int | None = None
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if asked_at is None:
                # The misspelling is the vendor's.
                words = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                return Problem(f"Invalid parameter: {words}", f"messages.[{index}].role")
            if (found := _result_problem(index, message.get("tool_call_id"), answered_at)) is not None:
                return found
            answered_at[message["tool_call_id"]] = index
            continue
        if (found := _unanswered(asked_at, answered_at)) is not None:
            return found
        calls = message["tool_calls"] if message["role"] == "assistant" and message.get("tool_calls") else ()
        answered_at = {call["id"]: None for call in calls}
        asked_at = index if calls else None
    return _unanswered(asked_at, answered_at)


def _result_problem(index: int, call_id: Any, answered_at: Mapping[str, int | None]) -> Problem | None:
    param = f"messages[{index}].tool_call_id"
    if call_id is None:
        words = "Missing parameter 'tool_call_id': messages with role 'tool' must have a 'tool_call_id'."
        return Problem(words, dotted(param))
    if not isinstance(call_id, str):
        return wrong_type(param, "a string", call_id)
    if call_id not in answered_at:
        words = f"Invalid parameter: 'tool_call_id' of '{call_id}' not found in 'tool_calls' of previous message."
        return Problem(words, dotted(param))
    if (before := answered_at[call_id]) is not None:
        words = f"Duplicate value for 'tool_call_id' of '{call_id}', in messages[{before}] and messages[{index}]."
        return Problem(f"Invalid parameter: {words}", dotted(param))
    return None


def _unanswered(asked_at: int | None, answered_at: Mapping[str, int | None]) -> Problem | None:
    left = [call_id for call_id, index in answered_at.items() if index is None]
    if not left:
        return None
    return Problem(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. The following tool_call_ids did not have response messages: " + ", ".join(left),
        f"messages.[{asked_at}].role",
    )
