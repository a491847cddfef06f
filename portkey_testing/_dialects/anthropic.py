"""Anthropic's Messages API, and what the gateway makes of it on both ways.

As Portkey's open-source gateway 1.15.2 was seen to translate; `strict` is its `strict_open_ai_compliance`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from portkey_testing import _synth
from portkey_testing._dialects.base import Stamps, bounded
from portkey_testing._encode import DONE, compact, event
from portkey_testing._policy import Target
from portkey_testing.journal import UpstreamRequest
from portkey_testing.replies import Answer, ToolCall
from portkey_testing.timeline import Cut, Frame, GatewayRequest

HOST: Final = "https://api.anthropic.com/v1"
VERSION: Final = "2023-06-01"
BETA: Final = "messages-2023-12-15"

FINISH_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
}
"""What a strict gateway calls Anthropic's stop reasons; one it does not know is `stop`."""

_STOP_REASONS: Final[Mapping[str, str]] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}

_AS_THEY_ARE: Final = ("model", "max_tokens", "top_p", "top_k", "stream", "thinking")

_DATA_URL = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)


class AnthropicDialect:
    recorded = True

    def request(self, target: Target, params: Mapping[str, Any], client: GatewayRequest) -> UpstreamRequest:
        given = client.headers if target.from_headers else {}
        headers = {
            "content-type": "application/json",
            "anthropic-version": given.get("anthropic-version") or str(params.get("anthropic_version") or VERSION),
            "anthropic-beta": given.get("anthropic-beta") or str(params.get("anthropic_beta") or BETA),
        }
        key = target.api_key or given.get("x-api-key")
        if key is not None:
            headers["x-api-key"] = key
        return UpstreamRequest("POST", (target.custom_host or HOST) + "/messages", headers, _request_body(params))

    def completion(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> dict[str, Any]:
        prompt, completion = _synth.usage(answer, params)
        return {
            "id": stamps.new_id("msg"),
            "type": "message",
            "role": "assistant",
            "model": params.get("model"),
            "content": [_block(part, stamps) for part in answer.parts],
            "stop_reason": _stop_reason(answer),
            "stop_sequence": None,
            "usage": {"input_tokens": prompt, "output_tokens": completion},
        }

    def stream(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> Iterator[Frame | Cut]:
        prompt, completion = _synth.usage(answer, params)
        message: dict[str, Any] = {
            "id": stamps.new_id("msg"),
            "type": "message",
            "role": "assistant",
            "model": params.get("model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": prompt, "output_tokens": 1},
        }
        yield Frame(0.0, _event("message_start", message=message))
        position = -1
        for piece in _synth.pieces(answer, stamps.random):
            if isinstance(piece, Cut):
                yield piece
                return
            gap, at, part, text = piece
            if at != position:
                if position >= 0:
                    yield Frame(0.0, _event("content_block_stop", index=position))
                position = at
                yield Frame(gap, _event("content_block_start", index=at, content_block=_opening(part, stamps)))
                gap = 0.0
            delta = (
                {"type": "input_json_delta", "partial_json": text}
                if isinstance(part, ToolCall)
                else {"type": "text_delta", "text": text}
            )
            yield Frame(gap, _event("content_block_delta", index=at, delta=delta))
        if position >= 0:
            yield Frame(0.0, _event("content_block_stop", index=position))
        stop = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
        yield Frame(0.0, _event("message_delta", delta=stop, usage={"output_tokens": completion}))
        yield Frame(0.0, _event("message_stop"))

    def client_json(self, provider: str, status: int, body: Any, *, strict: bool, stamps: Stamps) -> Any:
        if status != 200 and isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
            error = body["error"]
            return _error(provider, f"{provider} error: {error.get('message')}", error.get("type"))
        if not isinstance(body, Mapping) or not isinstance(body.get("content"), list):
            return _error(provider, f"Invalid response received from {provider}: {compact(body)}", None)
        blocks = [block for block in body["content"] if isinstance(block, Mapping)]
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text"),
        }
        if not strict:
            message["content_blocks"] = [block for block in blocks if block.get("type") != "tool_use"]
        calls = [_client_call(block) for block in blocks if block.get("type") == "tool_use"]
        if calls:
            message["tool_calls"] = calls
        usage = body.get("usage") or {}
        return {
            "id": body.get("id"),
            "object": "chat.completion",
            "created": stamps.created,
            "model": body.get("model"),
            "provider": provider,
            "choices": [
                {
                    "message": message,
                    "index": 0,
                    "logprobs": None,
                    "finish_reason": _finish_reason(body.get("stop_reason"), strict=strict),
                }
            ],
            "usage": _client_usage(usage, usage.get("output_tokens", 0)),
        }

    def client_stream(
        self, provider: str, frames: Iterable[Frame | Cut], *, strict: bool, stamps: Stamps
    ) -> Iterator[Frame | Cut]:
        translation = _StreamTranslation(provider, stamps, strict=strict)
        gap = 0.0
        for step in frames:
            gap += step.gap
            if isinstance(step, Cut):
                break
            try:
                written = b"".join(translation.chunks(step.data))
            except ValueError:
                # An event it cannot read ends the client's stream, as if it were over.
                break
            if written:
                yield Frame(gap, written)
                gap = 0.0
        else:
            return
        yield Cut(gap, "end")


class _StreamTranslation:
    """Anthropic's events to chunks; it carries what a chunk needs from the events before it."""

    def __init__(self, provider: str, stamps: Stamps, *, strict: bool) -> None:
        self._strict = strict
        self._shared: dict[str, Any] = {
            "id": f"{provider}-{stamps.milliseconds}",
            "object": "chat.completion.chunk",
            "created": stamps.created,
        }
        self._provider = provider
        self._model: Any = None
        self._usage: Mapping[str, Any] = {}
        self._tools = -1

    def chunks(self, data: bytes) -> Iterator[bytes]:
        """The chunks for the events in `data`.

        Raises:
            ValueError: an event holds no JSON.
        """
        for block in data.decode("utf-8", "replace").split("\n\n"):
            lines = [line[5:].strip() for line in block.split("\n") if line.startswith("data:")]
            if lines:
                yield from self._event(json.loads("\n".join(lines)))

    def _event(self, event_: Mapping[str, Any]) -> Iterator[bytes]:
        match event_.get("type"):
            case "message_start":
                message = event_["message"]
                self._model = message.get("model")
                self._usage = message.get("usage") or {}
                yield self._delta({"content": "", "role": "assistant"})
            case "content_block_start":
                yield self._delta(self._block_started(event_))
            case "content_block_delta":
                yield self._delta(self._block_delta(event_))
            case "message_delta":
                yield self._finished(event_)
            case "message_stop":
                yield DONE
            case "error":
                choice = {"finish_reason": event_["error"].get("type"), "delta": {"content": ""}}
                yield self._chunk(choice, model="")
                yield DONE

    def _block_started(self, event_: Mapping[str, Any]) -> dict[str, Any]:
        block = event_["content_block"]
        if block.get("type") == "tool_use":
            self._tools += 1
            function = {"name": block.get("name"), "arguments": ""}
            return {
                "tool_calls": [{"index": self._tools, "id": block.get("id"), "type": "function", "function": function}]
            }
        return self._content_block(event_["index"], block)

    def _block_delta(self, event_: Mapping[str, Any]) -> dict[str, Any]:
        delta = event_["delta"]
        if delta.get("type") == "input_json_delta":
            return {"tool_calls": [{"index": self._tools, "function": {"arguments": delta.get("partial_json")}}]}
        said = {"content": delta["text"]} if delta.get("type") == "text_delta" else {}
        return {**said, **self._content_block(event_["index"], delta)}

    def _content_block(self, index: int, content: Mapping[str, Any]) -> dict[str, Any]:
        if self._strict:
            return {}
        return {
            "content_blocks": [
                {"index": index, "delta": {key: value for key, value in content.items() if key != "type"}}
            ]
        }

    def _finished(self, event_: Mapping[str, Any]) -> bytes:
        usage = event_.get("usage") or {}
        choice = {
            "index": 0,
            "delta": {},
            "finish_reason": _finish_reason(event_["delta"].get("stop_reason"), strict=self._strict),
        }
        return self._chunk(choice, usage=_client_usage({**self._usage, **usage}, usage.get("output_tokens", 0)))

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return self._chunk({"delta": delta, "index": 0, "logprobs": None, "finish_reason": None})

    def _chunk(self, choice: Mapping[str, Any], **more: Any) -> bytes:
        model = {} if self._model is None else {"model": self._model}
        chunk = {**self._shared, **model, "provider": self._provider, "choices": [choice], **more}
        return event(compact(chunk))


def _request_body(params: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {name: params[name] for name in _AS_THEY_ARE if name in params}
    if "max_completion_tokens" in params:
        body["max_tokens"] = params["max_completion_tokens"]
    if "temperature" in params:
        body["temperature"] = bounded(params["temperature"], 0, 1)
    if "stop" in params:
        body["stop_sequences"] = params["stop"]
    if "user" in params:
        body["metadata"] = {"user_id": params["user"]}
    if isinstance(params.get("messages"), list):
        messages = [message for message in params["messages"] if isinstance(message, Mapping)]
        body["messages"] = [_message(m) for m in messages if m.get("role") not in ("system", "developer")]
        body["system"] = [
            block
            for m in messages
            if m.get("role") in ("system", "developer")
            for block in _system_blocks(m.get("content"))
        ]
    if isinstance(params.get("tools"), list):
        body["tools"] = [_tool(tool["function"]) for tool in params["tools"] if "function" in tool]
    if (choice := _tool_choice(params.get("tool_choice"))) is not None:
        body["tool_choice"] = choice
    return body


def _system_blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [{"type": "text", "text": part["text"]} for part in content or () if "text" in part]


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": content}
        return {"role": "user", "content": [result]}
    if role == "assistant":
        calls = [_tool_use(call["function"], call.get("id")) for call in message.get("tool_calls") or ()]
        return {"role": "assistant", "content": [*_assistant_blocks(content), *calls]}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return {"role": role, "content": [_content_part(part) for part in content]}
    return {"role": role, "content": content}


def _assistant_blocks(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [_content_part(part) for part in content or ()]


def _content_part(part: Any) -> Any:
    if not isinstance(part, Mapping) or part.get("type") != "image_url":
        return part
    url = str(part["image_url"].get("url", ""))
    found = _DATA_URL.fullmatch(url)
    if found is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": found.group(1), "data": found.group(2)}}


def _tool_use(function: Mapping[str, Any], call_id: Any) -> dict[str, Any]:
    arguments = function.get("arguments") or "{}"
    return {"type": "tool_use", "id": call_id, "name": function.get("name"), "input": json.loads(arguments)}


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    schema = function.get("parameters") or {}
    return {
        "name": function.get("name"),
        "description": function.get("description") or "",
        "input_schema": {
            "type": schema.get("type") or "object",
            "properties": schema.get("properties") or {},
            "required": schema.get("required") or [],
            "$defs": schema.get("$defs") or {},
        },
    }


def _tool_choice(choice: Any) -> dict[str, Any] | None:
    match choice:
        case "required":
            return {"type": "any"}
        case "auto" | "none":
            return {"type": choice}
        case {"function": {"name": name}}:
            return {"type": "tool", "name": name}
        case _:
            return None


def _error(provider: str, message: str, kind: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}, "provider": provider}


def _finish_reason(reason: Any, *, strict: bool) -> Any:
    return FINISH_REASONS.get(reason, "stop") if strict else reason


def _client_usage(usage: Mapping[str, Any], completion: int) -> dict[str, Any]:
    prompt = usage.get("input_tokens", 0)
    read, created = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    cached = {"cache_read_input_tokens": read, "cache_creation_input_tokens": created} if read or created else {}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion + read + created,
        "prompt_tokens_details": {"cached_tokens": read},
        **cached,
    }


def _client_call(block: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": block.get("name"), "arguments": compact(block.get("input"))}
    return {"id": block.get("id"), "type": "function", "function": function}


def _block(part: object, stamps: Stamps) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        call_id = part.call_id or stamps.new_id("toolu")
        return {"type": "tool_use", "id": call_id, "name": part.name, "input": json.loads(part.arguments)}
    return {"type": "text", "text": getattr(part, "text", "")}


def _opening(part: object, stamps: Stamps) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.call_id or stamps.new_id("toolu"), "name": part.name, "input": {}}
    return {"type": "text", "text": ""}


def _stop_reason(answer: Answer) -> str:
    reason = _synth.finish_reason(answer)
    return _STOP_REASONS.get(reason, reason)


def _event(name: str, **fields: Any) -> bytes:
    return event(compact({"type": name, **fields}), name)
