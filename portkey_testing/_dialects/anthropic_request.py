"""A chat completion's request in Anthropic's words, as Portkey's open-source gateway 1.15.2 was seen to put it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from portkey_testing import _javascript
from portkey_testing._dialects.base import UnmappableError, bounded, present
from portkey_testing._dialects.tables import DEFAULT_MODEL
from portkey_testing._javascript import MISSING

_MODEL_IF_MISSING: Final = "claude-2.1"
_SYSTEM_ROLES: Final = ("system", "developer")
_TOOL_EXTRAS: Final = ("allowed_callers", "input_examples")
_CACHED: Final[Mapping[str, Any]] = {"cache_control": {"type": "ephemeral"}}


def body(params: Mapping[str, Any]) -> dict[str, Any]:
    """What Anthropic gets.

    Raises:
        UnmappableError: the gateway fails on the request, for example on tool arguments that are no JSON.
    """
    try:
        return _body(params)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as cause:
        raise UnmappableError(f"the gateway cannot translate this request for Anthropic: {cause}") from cause


def _body(params: Mapping[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = {"model": params.get("model", DEFAULT_MODEL)}
    if sent["model"] == DEFAULT_MODEL:
        sent["model"] = _MODEL_IF_MISSING
    if "messages" in params:
        # What is no message has neither role nor content.
        given = params["messages"] if _javascript.truthy(params["messages"]) else []
        if not isinstance(given, list) or None in given:
            raise TypeError("messages are no list of messages")
        messages = [message if isinstance(message, Mapping) else {} for message in given]
        sent["messages"] = [_message(message) for message in messages if message.get("role") not in _SYSTEM_ROLES]
        system = [message for message in messages if message.get("role") in _SYSTEM_ROLES]
        sent["system"] = [block for message in system for block in _system_blocks(message)]
    if "tools" in params:
        sent["tools"] = [tool for given in params["tools"] or () for tool in _tools(given)]
    if "tool_choice" in params:
        sent["tool_choice"] = _tool_choice(params["tool_choice"])
    for name in ("max_tokens", "max_completion_tokens"):
        if name in params:
            sent["max_tokens"] = params[name]
    if "temperature" in params:
        sent["temperature"] = bounded(params["temperature"], 0, 1)
    if "top_p" in params:
        sent["top_p"] = bounded(params["top_p"], -1)
    for name, theirs in (
        ("top_k", "top_k"),
        ("stop", "stop_sequences"),
        ("stream", "stream"),
        ("thinking", "thinking"),
    ):
        if name in params:
            sent[theirs] = params[name]
    if "user" in params:
        sent["metadata"] = {"user_id": params["user"]}
    return sent


def _system_blocks(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        yield {**_cached(message), "type": "text", "text": content}
    elif isinstance(content, Mapping):
        raise TypeError("an object has no first part")
    elif isinstance(content, list) and _javascript.truthy(_javascript.field(content[0], "text")):
        for part in content:
            yield {"type": "text", **present(text=_javascript.field(part, "text")), **_cached(part)}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content = message.get("role", MISSING), message.get("content")
    if role == "assistant":
        return {
            "role": role,
            "content": [*_assistant_blocks(message), *map(_tool_use, message.get("tool_calls") or ())],
        }
    if role == "tool":
        answered = message.get("tool_call_id")
        result = {
            "type": "tool_result",
            "tool_use_id": "" if answered is None else answered,
            **present(content=message.get("content", MISSING)),
        }
        return {"role": "user", "content": [result]}
    if isinstance(content, list) and content:
        return {**present(role=role), "content": [block for part in content for block in _user_blocks(part)]}
    return present(role=role, content=message.get("content", MISSING))


def _assistant_blocks(message: Mapping[str, Any]) -> list[Any]:
    blocks = message.get("content_blocks")
    said = message.get("content") if blocks is None else blocks
    if isinstance(said, str):
        return [{"type": "text", "text": said}] if said else []
    return [part for part in said or () if _javascript.field(part, "type") != "tool_use"]


def _user_blocks(part: Any) -> Iterator[dict[str, Any]]:
    """A part of a user's message; what is neither text, image nor file is dropped."""
    match _javascript.field(part, "type"):
        case "text":
            yield {"type": "text", **present(text=part.get("text", MISSING)), **_cached(part)}
        case "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, Mapping) else None
            if url:
                yield from _image(str(url), part)
        case "file":
            yield from _file(part.get("file") or {})


def _image(url: str, part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if not url.startswith("data:"):
        yield {"type": "image", "source": {"type": "url", "url": url}}
        return
    described, _, rest = url.partition(";")
    data = rest.split(",")
    media_type = described.split(":")
    if ";" not in rest and len(media_type) == 2 and len(data) > 1 and data[1]:
        kind = "document" if media_type[1] == "application/pdf" else "image"
        source = {"type": "base64", "media_type": media_type[1], "data": data[1]}
        yield {"type": kind, "source": source, **_cached(part)}


def _file(file: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    media_type = file.get("mime_type") or "application/pdf"
    if file.get("file_url"):
        yield {"type": "document", "source": {"type": "url", "url": file["file_url"]}}
    elif file.get("file_data"):
        kind = "text" if media_type == "text/plain" else "base64"
        yield {"type": "document", "source": {"type": kind, "data": file["file_data"], "media_type": media_type}}


def _tool_use(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = function.get("arguments")
    marked = {"cache_control": call["cache_control"]} if _has(call, "cache_control") else {}
    return {
        "type": "tool_use",
        **present(name=function.get("name", MISSING), id=call.get("id", MISSING)),
        "input": json.loads(_javascript.text(arguments)) if isinstance(arguments, str | list) and arguments else {},
        **marked,
    }


def _tools(tool: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if _has(tool, "function"):
        function = _javascript.readable(tool["function"])
        given = function.get("parameters")
        schema = given if isinstance(given, Mapping) else {}
        usual: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "$defs": {}}
        extras = {name: function[name] for name in _TOOL_EXTRAS if _has(function, name)}
        if "defer_loading" in function:
            extras["defer_loading"] = function["defer_loading"]
        yield {
            **present(name=function.get("name", MISSING)),
            "description": function["description"] if _has(function, "description") else "",
            "input_schema": {**usual, **{name: schema[name] for name in usual if _has(schema, name)}},
            **_cached(tool),
            **extras,
        }
    elif tool.get("type"):
        settings = tool.get(tool["type"]) or {}
        others = {key: value for key, value in settings.items() if key != "type"}
        named = {"type": settings["name"]} if "name" in settings else {}
        yield {**others, "name": tool["type"], **named, **_cached(tool)}


def _tool_choice(choice: Any) -> dict[str, Any] | None:
    match choice:
        case "required":
            return {"type": "any"}
        case "auto" | "none":
            return {"type": choice}
        case list():
            raise TypeError("a list names no function")
        case Mapping():
            return {"type": "tool", **present(name=choice["function"].get("name", MISSING))}
        case _:
            return None


def _cached(part: Mapping[str, Any]) -> Mapping[str, Any]:
    return _CACHED if _has(part, "cache_control") else {}


def _has(given: Mapping[str, Any], name: str) -> bool:
    """Whether JavaScript takes what the field holds for true, as it does any object and any list."""
    return _javascript.truthy(given.get(name, MISSING))
