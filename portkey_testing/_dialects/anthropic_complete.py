"""Anthropic's old text completions, which `/v1/completions` of Portkey's open-source gateway 1.15.2 still reaches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from portkey_testing import _javascript
from portkey_testing._dialects.anthropic import anthropic_headers
from portkey_testing._dialects.base import (
    Stamps,
    UnmappableError,
    error,
    finish_reason,
    invalid,
    present,
    upstream,
)
from portkey_testing._dialects.tables import Table
from portkey_testing._encode import compact
from portkey_testing._encode import event as sse
from portkey_testing._javascript import MISSING
from portkey_testing._policy import Target
from portkey_testing.journal import UpstreamRequest
from portkey_testing.replies import Answer
from portkey_testing.timeline import Cut, Frame, GatewayRequest

_SEPARATOR: Final = b"\r\n\r\n"
"""What the gateway takes for the end of an event here, and only here."""

_USER: Final = "metadata.user_id"


class AnthropicCompleteDialect:
    """Completions, answered by Anthropic's completions.

    Args:
        table: What the gateway sends.
    """

    speaks = False
    recorded = True
    translates = True
    translates_streams = True

    def __init__(self, table: Table) -> None:
        self._table = table

    def request(self, target: Target, params: Mapping[str, Any], client: GatewayRequest) -> UpstreamRequest:
        url = self._table.url(target.custom_host, client.url)
        body = self._table.body(params)
        if _USER in body:
            body["metadata"] = {"user_id": body.pop(_USER)}
        return upstream(url, anthropic_headers(target, params, client), body, target=target, client=client)

    def completion(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> dict[str, Any]:
        raise ValueError("a chat completion is no answer to Anthropic's old interface")

    def stream(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> Iterator[Frame | Cut]:
        raise ValueError("a chat completion is no answer to Anthropic's old interface")

    def client_json(self, status: int, body: Any, *, strict: bool, created: int) -> Any:
        if body is None or (status == 200 and not isinstance(body, Mapping | list)):
            raise UnmappableError("a bare value is no completion")
        if status != 200:
            return error("anthropic", _javascript.readable(body).get("error"), only=("type",))
        if not isinstance(body, Mapping) or "completion" not in body:
            return invalid("anthropic", compact(body))
        return _completion(body, finish_reason(body.get("stop_reason"), strict=strict), created)

    def client_stream(
        self, frames: Iterable[Frame | Cut], *, strict: bool, stamps: Stamps, model: Any = None
    ) -> Iterator[Frame | Cut]:
        rest, gap = b"", 0.0
        for step in frames:
            gap += step.gap
            if isinstance(step, Cut):
                break
            *events, rest = (rest + step.data).split(_SEPARATOR)
            try:
                chunks = [_chunk(event, strict=strict, created=stamps.created) for event in events if event]
            except (TypeError, ValueError):
                # An event it cannot read ends the client's stream, as if it were over.
                break
            for chunk in chunks:
                yield Frame(gap, chunk)
                gap = 0.0
        else:
            try:
                last = _chunk(rest, strict=strict, created=stamps.created) if rest else b""
            except (TypeError, ValueError):
                last = b""
            yield Frame(gap, last)
            return
        yield Cut(gap, "end")


def _chunk(written: bytes, *, strict: bool, created: int) -> bytes:
    text = written.decode("utf-8", "replace").strip()
    if text.startswith("event: ping"):
        return b""
    text = text.removeprefix("event: completion").lstrip("\r\n").removeprefix("data: ").strip()
    if text == "[DONE]":
        return text.encode()
    piece = _javascript.readable(json.loads(text))
    reason = piece.get("stop_reason")
    said = finish_reason(reason, strict=strict) if reason else None
    return sse(compact(_completion(piece, said, created)))


def _completion(body: Mapping[str, Any], reason: Any, created: int) -> dict[str, Any]:
    return {
        **present(id=body.get("log_id", MISSING)),
        "object": "text_completion",
        "created": created,
        **present(model=body.get("model", MISSING)),
        "provider": "anthropic",
        "choices": [
            {
                **present(text=body.get("completion", MISSING)),
                "index": 0,
                "logprobs": None,
                "finish_reason": reason,
            }
        ],
    }
