"""What the gateway makes of a provider's answer before it reaches the application.

The rules for content types, statuses and broken answers that hold for every provider; what a body means is the
dialect's. Behaviour copied from Portkey's open-source gateway 1.15.2 (its `responseHandlers` and `streamHandler`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from portkey_testing._dialects.base import Dialect, ProviderAnswer, Stamps
from portkey_testing._encode import compact
from portkey_testing.replies import Headers
from portkey_testing.timeline import Cut, Frame

JSON: Final = "application/json"

_TEXTS = ("text/plain", "text/html")
_NOT_PASSED_ON = frozenset({"content-length", "content-encoding", "transfer-encoding", "content-type"})


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """What the application gets, before the gateway's own headers are added.

    Attributes:
        status: HTTP status.
        content_type: None if there is none.
        headers: The provider's headers that pass through.
        body: A plain body.
        frames: An event stream in place of a body.
        exception: The gateway failed on the provider's answer: no routing headers, no fallback.
    """

    status: int
    content_type: str | None = JSON
    headers: Headers = ()
    body: bytes = b""
    frames: Iterable[Frame | Cut] | None = None
    exception: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """A provider's answer and what the gateway makes of it: an `Outcome` of routing.

    Attributes:
        raw: What the provider answered.
        answer: What the application would get.
        duration: Seconds the attempt took, to its headers or its failure.
        reply: What answered, as the test wrote it.
    """

    raw: ProviderAnswer
    answer: GatewayAnswer
    duration: float
    reply: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return self.raw.status

    @property
    def final_status(self) -> int:
        return self.answer.status

    @property
    def broken(self) -> bool:
        return self.raw.broken

    @property
    def exception(self) -> bool:
        return self.answer.exception


def failure(status: int, message: str, *, exception: bool = False, errors: list[str] | None = None) -> GatewayAnswer:
    """An error of the gateway itself, in its own shape."""
    body: dict[str, Any] = {"status": "failure", "message": message}
    if errors is not None:
        body["errors"] = errors
    return GatewayAnswer(status, body=compact(body).encode(), exception=exception)


def crash() -> GatewayAnswer:
    """What the gateway says when it could not make sense of a provider's answer."""
    return failure(500, "Something went wrong", exception=True)


def timed_out(milliseconds: float) -> ProviderAnswer:
    """The gateway gave up on a provider."""
    message = f"Request exceeded the timeout sent in the request: {milliseconds:g}ms"
    body = {"error": {"message": message, "type": "timeout_error", "param": None, "code": None}}
    return ProviderAnswer(408, (("content-type", JSON),), body=compact(body).encode(), own=True)


def unreachable(cause: str) -> ProviderAnswer:
    """No answer came from a provider; the gateway puts Node's words into a text answer."""
    text = f"Message: fetch failed Cause: {cause} Name: TypeError"
    return ProviderAnswer(500, (("content-type", "text/plain"),), body=text.encode(), broken=True)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the answers of one target.

    Attributes:
        provider: Name of its provider, for messages.
        dialect: What the provider speaks.
        strict: The application gets OpenAI's shape and nothing else.
        stamps: Ids and times the gateway makes up.
    """

    provider: str
    dialect: Dialect
    strict: bool
    stamps: Stamps

    def read(self, answer: ProviderAnswer, *, stream: bool) -> GatewayAnswer:
        """What the gateway makes of `answer` to a request that did, or did not, ask for a stream."""
        content_type = answer.header("content-type")
        kind = (content_type or "").split(";")[0].strip().lower()
        passed = tuple(pair for pair in answer.headers if pair[0] not in _NOT_PASSED_ON)
        if answer.status == 304:
            return crash()
        if answer.status == 204:
            return GatewayAnswer(204, "text/plain", passed)
        if answer.own or answer.status in (408, 412):
            return GatewayAnswer(answer.status, content_type, passed, _joined(answer))
        if stream and answer.status == 200 and kind not in _TEXTS:
            return self._streamed(answer, content_type, passed)
        if answer.frames is not None:
            return crash()
        if kind in _TEXTS:
            said: Any = {"html-message": answer.body.decode("utf-8", "replace")}
        else:
            try:
                said = json.loads(answer.body)
            except ValueError:
                return crash()
            if answer.status != 200 and not isinstance(said, dict | list):
                return crash()
        translated = self.dialect.client_json(
            self.provider, answer.status, said, strict=self.strict, stamps=self.stamps
        )
        return GatewayAnswer(answer.status, JSON, passed, compact(translated).encode())

    def _streamed(self, answer: ProviderAnswer, content_type: str | None, passed: Headers) -> GatewayAnswer:
        if answer.frames is not None:
            frames = self.dialect.client_stream(self.provider, answer.frames, strict=self.strict, stamps=self.stamps)
            return GatewayAnswer(200, "text/event-stream", passed, frames=frames)
        # A JSON answer to a request for a stream: OpenAI's passes, Anthropic's is taken for an event it is not.
        if self.provider != "anthropic":
            return GatewayAnswer(200, content_type, passed, answer.body)
        chunk = {
            "id": f"{self.provider}-{self.stamps.milliseconds}",
            "object": "chat.completion.chunk",
            "created": self.stamps.created,
            "provider": self.provider,
            "choices": [{"delta": {}, "index": 0, "logprobs": None, "finish_reason": None}],
        }
        return GatewayAnswer(200, content_type, passed, f"data: {compact(chunk)}\n\n".encode())


def _joined(answer: ProviderAnswer) -> bytes:
    if answer.frames is None:
        return answer.body
    return b"".join(step.data for step in answer.frames if isinstance(step, Frame))
