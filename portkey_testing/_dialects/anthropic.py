"""Anthropic's Messages API, and what the gateway makes of it on both ways.

As Portkey's open-source gateway 1.15.2 was seen to translate; `strict` is its `strict_open_ai_compliance`. What it
sends is `anthropic_request`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from portkey_testing import _javascript, _synth
from portkey_testing._dialects import anthropic_request
from portkey_testing._dialects.base import (
    Stamps,
    UnmappableError,
    error,
    finish_reason,
    invalid,
    passed_on,
    present,
    upstream,
)
from portkey_testing._dialects.tables import Table, host
from portkey_testing._encode import DONE, compact, event
from portkey_testing._javascript import MISSING
from portkey_testing._policy import Target
from portkey_testing.journal import UpstreamRequest
from portkey_testing.replies import Answer, Reasoning, ToolCall
from portkey_testing.timeline import Cut, Frame, GatewayRequest

VERSION: Final = "2023-06-01"
BETA: Final = "messages-2023-12-15"

SIGNATURE: Final = "sig_fake"
"""What Anthropic signs a block of thinking with."""

_STOP_REASONS: Final[Mapping[str, str]] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_SILENT: Final = ("event: ping", "event: content_block_stop")
_READ: Final = ("content_block_delta", "content_block_start", "message_delta", "message_start", "error")
_CACHED: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")


class _Speaker:
    """What a model says, in Anthropic's words."""

    speaks = True
    recorded = True

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
        thinking = False
        for piece in _synth.pieces(answer, stamps.random):
            if isinstance(piece, Cut):
                yield piece
                return
            gap, at, part, text = piece
            if at != position:
                if position >= 0:
                    yield from _closed(position, thinking=thinking)
                position, thinking = at, isinstance(part, Reasoning)
                yield Frame(gap, _event("content_block_start", index=at, content_block=_opening(part, stamps)))
                gap = 0.0
            yield Frame(gap, _event("content_block_delta", index=at, delta=_delta(part, text)))
        if position >= 0:
            yield from _closed(position, thinking=thinking)
        stop = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
        yield Frame(0.0, _event("message_delta", delta=stop, usage={"output_tokens": completion}))
        yield Frame(0.0, _event("message_stop"))


class AnthropicDialect(_Speaker):
    """Chat completions, answered by Anthropic's messages."""

    translates = True
    translates_streams = True

    def request(self, target: Target, params: Mapping[str, Any], client: GatewayRequest) -> UpstreamRequest:
        url = (target.custom_host or host("anthropic")) + "/messages"
        headers = anthropic_headers(target, params, client)
        return upstream(url, headers, anthropic_request.body(params), target=target, client=client)

    def client_json(self, status: int, body: Any, *, strict: bool, created: int) -> Any:
        if not isinstance(body, Mapping | list):
            raise UnmappableError("a bare value is no message")
        if not isinstance(body, Mapping):
            return invalid("anthropic", compact(body))
        if status != 200 and "error" in body:
            return error("anthropic", body["error"], only=("type",))
        if "content" not in body:
            return invalid("anthropic", compact(body))
        return _completion(body, strict=strict, created=created)

    def client_stream(
        self, frames: Iterable[Frame | Cut], *, strict: bool, stamps: Stamps, model: Any = None
    ) -> Iterator[Frame | Cut]:
        translation = _StreamTranslation(stamps, strict=strict)
        gap = 0.0
        for step in frames:
            gap += step.gap
            if isinstance(step, Cut):
                break
            if not step.data:
                continue
            try:
                written = translation.chunk(step.data.decode("utf-8", "replace"))
            except (TypeError, ValueError):
                # An event it cannot read ends the client's stream, as if it were over.
                break
            if written:
                yield Frame(gap, written)
                gap = 0.0
        else:
            if gap:
                yield Frame(gap, b"")
            return
        yield Cut(gap, "end")


class AnthropicMessagesDialect(_Speaker):
    """Anthropic's own routes: what fits its table goes out, and answers come back as they are.

    Args:
        endpoint: The kind of request.
        table: What the gateway sends for it.
    """

    translates_streams = False

    def __init__(self, endpoint: str, table: Table) -> None:
        self._table = table
        self.translates = endpoint == "messages"
        self.speaks = endpoint == "messages"

    def request(self, target: Target, params: Mapping[str, Any], client: GatewayRequest) -> UpstreamRequest:
        url = self._table.url(target.custom_host, client.url)
        headers = anthropic_headers(target, params, client)
        return upstream(url, headers, self._table.body(params), target=target, client=client)

    def client_json(self, status: int, body: Any, *, strict: bool, created: int) -> Any:
        if not isinstance(body, Mapping | list):
            raise UnmappableError("a bare value is no message")
        if status != 200 and "error" in body and isinstance(body, Mapping):
            return error("anthropic", body["error"], only=("type",))
        return body if "model" in body else invalid("anthropic", compact(body))

    def client_stream(
        self, frames: Iterable[Frame | Cut], *, strict: bool, stamps: Stamps, model: Any = None
    ) -> Iterator[Frame | Cut]:
        return passed_on(frames)


def anthropic_headers(target: Target, params: Mapping[str, Any], client: GatewayRequest) -> dict[str, str]:
    """The headers of Anthropic; the client's own count only where its headers choose the provider."""

    def given(name: str) -> Any:
        if target.from_headers:
            header = name.replace("_", "-")
            return client.headers.get(f"x-portkey-{header}") or client.headers.get(header)
        return target.options.get(name)

    key = target.api_key or (
        client.headers.get("x-api-key") if target.from_headers else target.options.get("anthropic_api_key")
    )
    settings = {}
    for name, usual in (("anthropic_beta", BETA), ("anthropic_version", VERSION)):
        wanted = given(name)
        wanted = params.get(name) if wanted is None else wanted
        settings[name.replace("_", "-")] = usual if wanted is None else _javascript.text(wanted).strip()
    return {"x-api-key": (key or "").strip(), **settings}


def _completion(body: Mapping[str, Any], *, strict: bool, created: int) -> dict[str, Any]:
    """A message as a chat completion."""
    blocks, usage = body["content"], body.get("usage")
    if not isinstance(blocks, list) or not isinstance(usage, Mapping):
        raise UnmappableError("a message without content blocks or usage")
    try:
        text = "".join(_javascript.text(block.get("text", MISSING)) for block in blocks if _kind(block) == "text")
        calls = [_client_call(block) for block in blocks if _kind(block) == "tool_use"]
    except (KeyError, TypeError, AttributeError) as cause:
        raise UnmappableError("these are no content blocks") from cause
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if not strict:
        message["content_blocks"] = [block for block in blocks if _kind(block) != "tool_use"]
    if calls:
        message["tool_calls"] = calls
    prompt, completion = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    read, written = (usage.get(name) or 0 for name in _CACHED)
    total = (prompt or 0) + (completion or 0) + read + written
    return {
        **present(id=body.get("id", MISSING)),
        "object": "chat.completion",
        "created": created,
        **present(model=body.get("model", MISSING)),
        "provider": "anthropic",
        "choices": [
            {
                "message": message,
                "index": 0,
                "logprobs": None,
                "finish_reason": finish_reason(body.get("stop_reason"), strict=strict),
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": total,
            "prompt_tokens_details": {"cached_tokens": read},
            **_cache_counts(usage),
        },
    }


def _cache_counts(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The token counts of Anthropic's prompt cache, where one of them is not zero."""
    return {name: usage[name] for name in _CACHED if name in usage} if any(map(usage.get, _CACHED)) else {}


def _kind(block: Any) -> Any:
    return _javascript.field(block, "type")


def _client_call(block: Mapping[str, Any]) -> dict[str, Any]:
    function = present(name=block.get("name", MISSING))
    if "input" in block:
        function["arguments"] = compact(block["input"])
    return {**present(id=block.get("id", MISSING)), "type": "function", "function": function}


class _StreamTranslation:
    """Anthropic's events to chunks; it carries what a chunk needs from the events before it."""

    def __init__(self, stamps: Stamps, *, strict: bool) -> None:
        self._strict = strict
        self._envelope: dict[str, Any] = {
            "id": f"anthropic-{stamps.milliseconds}",
            "object": "chat.completion.chunk",
            "created": stamps.created,
        }
        self._model: Any = MISSING
        self._usage: dict[str, Any] = {}
        self._tools = -1

    def chunk(self, written: str) -> bytes | None:
        """What the application gets for an event; None where that is nothing.

        The gateway knows an event by the name it begins with, and reads the rest as JSON.

        Raises:
            ValueError: it holds no JSON.
            TypeError: it holds null.
        """
        text = written.strip()
        if text.startswith(_SILENT):
            return None
        if text.startswith("event: message_stop"):
            return DONE
        for name in _READ:
            if text.startswith(f"event: {name}"):
                text = text.removeprefix(f"event: {name}").lstrip("\r\n")
        return self._event(_javascript.readable(json.loads(text.removeprefix("data: ").strip())))

    def _event(self, content: Mapping[str, Any]) -> bytes:
        kind = content.get("type")
        failure = content.get("error")
        if kind == "error" and isinstance(failure, Mapping):
            reason = present(finish_reason=failure.get("type", MISSING))
            return self._chunk({**reason, "delta": {"content": ""}}, model="") + DONE
        message = content.get("message")
        if kind == "message_start" and isinstance(message, Mapping) and isinstance(message.get("usage"), Mapping):
            self._model = message.get("model") or ""
            usage = message["usage"]
            self._usage = present(prompt_tokens=usage.get("input_tokens", MISSING)) | _cache_counts(usage)
            return self._delta({"content": "", "role": "assistant"})
        if kind == "message_delta" and isinstance(content.get("usage"), Mapping):
            return self._finished(content)
        return self._delta(self._piece(content))

    def _finished(self, content: Mapping[str, Any]) -> bytes:
        delta, usage = content.get("delta"), content["usage"]
        reason = delta.get("stop_reason") if isinstance(delta, Mapping) else None
        choice = {"index": 0, "delta": {}, "finish_reason": finish_reason(reason, strict=self._strict)}
        counted = [self._usage.get(name) or 0 for name in ("prompt_tokens", *_CACHED)]
        counts = {
            **self._usage,
            **present(completion_tokens=usage.get("output_tokens", MISSING)),
            "total_tokens": sum(counted) + (usage.get("output_tokens") or 0),
            "prompt_tokens_details": {"cached_tokens": self._usage.get("cache_read_input_tokens") or 0},
        }
        return self._chunk(choice, usage=counts)

    def _piece(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The delta for the start of a content block, a piece of one, or anything else."""
        block, delta = content.get("content_block"), content.get("delta")
        said = present(content=delta.get("text", MISSING)) if isinstance(delta, Mapping) else {}
        if content.get("type") == "content_block_start" and isinstance(block, Mapping):
            if block.get("type") == "tool_use":
                self._tools += 1
                function = {**present(name=block.get("name", MISSING)), "arguments": ""}
                call = {"index": self._tools, **present(id=block.get("id", MISSING)), "type": "function"}
                return {**said, "tool_calls": [{**call, "function": function}]}
        elif content.get("type") == "content_block_delta" and isinstance(delta, Mapping):
            arguments = delta.get("partial_json")
            if arguments is not None:
                return {**said, "tool_calls": [{"index": self._tools, "function": {"arguments": arguments}}]}
        if self._strict:
            return said
        shown = next((part for part in (delta, block) if isinstance(part, Mapping)), {})
        index = present(index=content.get("index", MISSING))
        return {
            **said,
            "content_blocks": [{**index, "delta": {name: value for name, value in shown.items() if name != "type"}}],
        }

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return self._chunk({"delta": delta, "index": 0, "logprobs": None, "finish_reason": None})

    def _chunk(self, choice: Mapping[str, Any], *, model: Any = MISSING, **more: Any) -> bytes:
        named = present(model=self._model if model is MISSING else model)
        return event(compact({**self._envelope, **named, "provider": "anthropic", "choices": [choice], **more}))


def _block(part: object, stamps: Stamps) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        call_id = part.call_id or stamps.new_id("toolu")
        return {"type": "tool_use", "id": call_id, "name": part.name, "input": json.loads(part.arguments)}
    if isinstance(part, Reasoning):
        return {"type": "thinking", "thinking": part.text, "signature": SIGNATURE}
    return {"type": "text", "text": getattr(part, "text", "")}


def _opening(part: object, stamps: Stamps) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.call_id or stamps.new_id("toolu"), "name": part.name, "input": {}}
    if isinstance(part, Reasoning):
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _delta(part: object, text: str) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        return {"type": "input_json_delta", "partial_json": text}
    return (
        {"type": "thinking_delta", "thinking": text}
        if isinstance(part, Reasoning)
        else {"type": "text_delta", "text": text}
    )


def _closed(position: int, *, thinking: bool) -> Iterator[Frame]:
    """The end of a content block; thinking is signed first."""
    if thinking:
        delta = {"type": "signature_delta", "signature": SIGNATURE}
        yield Frame(0.0, _event("content_block_delta", index=position, delta=delta))
    yield Frame(0.0, _event("content_block_stop", index=position))


def _stop_reason(answer: Answer) -> str:
    reason = _synth.finish_reason(answer)
    return _STOP_REASONS.get(reason, reason)


def _event(name: str, **fields: Any) -> bytes:
    return event(compact({"type": name, **fields}), name)
