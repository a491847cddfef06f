"""Reading a conversation in OpenAI's shape: who said what last, which turn it is, which tools were called and answered.

Requests come from applications and may be malformed, so nothing here trusts a type; what cannot be read is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

OBJECT: Final = (dict, Mapping)
ARRAY: Final = (list, Sequence)
"""For `isinstance`: what JSON is read as comes first, since it takes long to ask an abstract class."""


@dataclass(frozen=True, slots=True)
class ToolExchange:
    """One tool call of the model and what the application answered to it.

    Attributes:
        id: Id of the call.
        name: Name of the function.
        arguments: The arguments, or the text the model wrote where that is not a JSON object.
        result: The content of the tool message; None if the conversation holds none.
    """

    id: str
    name: str
    arguments: Any
    result: str | None


def messages_of(body: object) -> list[Mapping[str, Any]]:
    """The messages of a request body."""
    given = body.get("messages") if isinstance(body, OBJECT) else None
    if not isinstance(given, ARRAY) or isinstance(given, str):
        return []
    return [message for message in given if isinstance(message, OBJECT)]


def text_of(content: object) -> str:
    """The text of a message's content: a string, or the text parts of a list joined by newlines."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    return "\n".join(str(part["text"]) for part in content if isinstance(part, Mapping) and "text" in part)


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the user said last."""
    return next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")


def system_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """All system and developer messages, joined by newlines."""
    return "\n".join(text_of(m.get("content")) for m in messages if m.get("role") in ("system", "developer"))


def turn(messages: Sequence[Mapping[str, Any]]) -> int:
    """Which answer of the model is asked for, from 1: one more than the assistant messages so far."""
    return 1 + sum(1 for message in messages if message.get("role") == "assistant")


def tools_offered(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the functions a request offers."""
    return tuple(functions_offered(body))


def functions_offered(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The functions a request offers, by name."""
    tools = body.get("tools")
    functions = [tool.get("function") for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    return {
        str(function["name"]): function
        for function in functions
        if isinstance(function, Mapping) and "name" in function
    }


def has_fields(message: object, wanted: object) -> bool:
    """Whether a value is as wanted, where an object may have more fields than are asked for."""
    if isinstance(wanted, Mapping):
        return isinstance(message, Mapping) and all(
            name in message and has_fields(message[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(message, list)
            and len(message) == len(wanted)
            and all(has_fields(item, value) for item, value in zip(message, wanted, strict=True))
        )
    return message == wanted


def tool_exchanges(messages: Sequence[Mapping[str, Any]]) -> list[ToolExchange]:
    """Every tool call in the conversation, in order, with its result.

    Ids need only be unique within one assistant message, so a result belongs to the latest call of its id before it.
    """
    exchanges: list[ToolExchange] = []
    asked: dict[str, int] = {}
    for message in messages:
        if message.get("role") == "assistant":
            for call_id, name, arguments in _calls(message):
                asked[call_id] = len(exchanges)
                exchanges.append(ToolExchange(call_id, name, _parsed(arguments), None))
        elif message.get("role") == "tool" and (at := asked.get(str(message.get("tool_call_id")))) is not None:
            exchanges[at] = replace(exchanges[at], result=text_of(message.get("content")))
    return exchanges


def current_tool_exchanges(messages: Sequence[Mapping[str, Any]]) -> list[ToolExchange]:
    """The tool calls of the last assistant message that have results: those that this turn is about."""
    last = max((i for i, message in enumerate(messages) if message.get("role") == "assistant"), default=None)
    if last is None:
        return []
    return [exchange for exchange in tool_exchanges(messages[last:]) if exchange.result is not None]


def _calls(message: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, Sequence) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield str(call.get("id")), str(function.get("name")), str(function.get("arguments", ""))


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
