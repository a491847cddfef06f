"""What a provider answers when a script speaks for it: a reply, put into the provider's own words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from portkey_testing import _mapping
from portkey_testing._dialects import dialect_of
from portkey_testing._dialects.base import ProviderAnswer, Stamps
from portkey_testing._encode import compact
from portkey_testing._validation import Refused
from portkey_testing.failures import DishonestReply
from portkey_testing.faults import wire_fault
from portkey_testing.replies import (
    Answer,
    Completion,
    ErrorReply,
    FaultReply,
    Headers,
    Native,
    Refusal,
    Reply,
    Text,
    ToolCall,
    error_catalogue,
)
from portkey_testing.timeline import Frame

NEVER: Final = math.inf
"""The delay of an answer that does not come."""

_NODE_WORDS: Final[Mapping[str, str]] = {
    "refused": "Error: connect ECONNREFUSED 127.0.0.1:443",
    "dns": "Error: getaddrinfo ENOTFOUND provider.invalid",
    "tls": "Error: self-signed certificate",
    "reset_before_headers": "Error: read ECONNRESET",
}
"""How the gateway's runtime words a broken connection; any other is a socket closed by the other side."""


def answer(reply: Reply, provider: str, params: Mapping[str, Any], stamps: Stamps) -> ProviderAnswer:
    """The reply in the provider's words.

    Raises:
        DishonestReply: that provider cannot say it.
    """
    delivery = reply.delivery
    match reply:
        case Answer():
            return _model_answer(reply, provider, params, stamps)
        case Completion():
            if params.get("stream") is True or provider == "anthropic":
                return _model_answer(_parts_of(reply), provider, params, stamps)
            return _json(200, json.loads(reply.body), delivery.headers, delivery.delay)
        case ErrorReply():
            return _error(reply, provider, params)
        case Native():
            return _native(reply)
        case FaultReply(name=name):
            fault = wire_fault(name)
            if fault.waits:
                return ProviderAnswer(200, delay=NEVER)
            return _mapping.unreachable(_NODE_WORDS.get(name, "SocketError: other side closed"))
    raise TypeError(f"a {type(reply).__name__} is no answer of a provider")


def refusal(refused: Refused) -> ProviderAnswer:
    """The provider's refusal of a request."""
    return _json(refused.status, refused.body, (), 0.0)


def _model_answer(reply: Answer, provider: str, params: Mapping[str, Any], stamps: Stamps) -> ProviderAnswer:
    dialect = dialect_of(provider)
    delivery = reply.delivery
    headers: Headers = (("x-request-id", stamps.new_id("req")), *delivery.headers)
    if params.get("stream") is True:
        frames = dialect.stream(reply, params, stamps)
        return ProviderAnswer(200, (("content-type", "text/event-stream"), *headers), delivery.delay, frames=frames)
    try:
        body = dialect.completion(reply, params, stamps)
    except ValueError as cause:
        raise DishonestReply(
            f"{provider} answers tool calls with parsed arguments, so it cannot send the text of {reply}: {cause}. "
            "Stream the answer, or script it for a provider that sends text."
        ) from cause
    found = _json(200, body, headers, delivery.delay)
    if delivery.broken is None:
        return found
    # The connection breaks within the body, and the gateway is left with half of it.
    return ProviderAnswer(200, found.headers, found.delay, found.body[: len(found.body) // 2])


def _error(reply: ErrorReply, provider: str, params: Mapping[str, Any]) -> ProviderAnswer:
    catalogue = error_catalogue()
    entries = catalogue.get(provider, catalogue["openai"])
    entry = entries.get(reply.name) or catalogue["openai"][reply.name]
    retry_after = reply.retry_after if reply.retry_after is not None else entry.get("retry_after")
    values = {"{model}": str(params.get("model")), "{retry_after}": "" if retry_after is None else f"{retry_after:g}"}
    body = _filled(entry["body"], values)
    if reply.message is not None:
        body["error"]["message"] = reply.message
    headers = {name: _filled(value, values) for name, value in entry["headers"].items()}
    if retry_after is not None:
        headers["retry-after"] = f"{math.ceil(retry_after)}"
        if provider != "anthropic":
            headers["retry-after-ms"] = f"{retry_after * 1000:g}"
    return _json(entry["status"], body, (*headers.items(), *reply.delivery.headers), reply.delivery.delay)


def _native(reply: Native) -> ProviderAnswer:
    delivery = reply.delivery
    typed: Headers = () if reply.content_type is None else (("content-type", reply.content_type),)
    headers = (*typed, *delivery.headers)
    if reply.events is None:
        return ProviderAnswer(reply.status, headers, delivery.delay, (reply.body or "").encode())
    return ProviderAnswer(reply.status, headers, delivery.delay, frames=_native_frames(reply))


def _native_frames(reply: Native) -> Iterator[Frame]:
    events = reply.events or ()
    broken = reply.delivery.broken
    for position, event in enumerate(events if broken is None else events[: broken.chunks]):
        yield Frame(reply.gap if position else 0.0, event.encode())
    # The gateway ends the client's stream in the same way when the provider breaks off.


def _parts_of(reply: Completion) -> Answer:
    """A whole completion as the parts that a stream, or another provider, says."""
    choice = json.loads(reply.body)["choices"][0]
    message = choice["message"]
    parts: list[Text | Refusal | ToolCall] = []
    if message.get("content"):
        parts.append(Text(message["content"]))
    if message.get("refusal"):
        parts.append(Refusal(message["refusal"]))
    parts.extend(
        ToolCall(call["function"]["name"], call["function"]["arguments"], call.get("id"))
        for call in message.get("tool_calls") or ()
    )
    return Answer(parts=tuple(parts), finish_reason=choice.get("finish_reason"), delivery=reply.delivery)


def _json(status: int, body: Any, headers: Headers, delay: float) -> ProviderAnswer:
    return ProviderAnswer(status, (("content-type", "application/json"), *headers), delay, compact(body).encode())


def _filled(template: Any, values: Mapping[str, str]) -> Any:
    """A template with its placeholders filled in, at any depth."""
    if isinstance(template, str):
        for name, value in values.items():
            template = template.replace(name, value)
        return template
    if isinstance(template, Mapping):
        return {key: _filled(value, values) for key, value in template.items()}
    return template
