"""OpenAI's language, which most providers speak.

Fields, limits and error wording as Portkey's open-source gateway 1.15.2 was seen to send and translate them; what the
gateway does differently for single providers of the family is `openai_like`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from portkey_testing import _javascript, _openai_answers
from portkey_testing._dialects import openai_like
from portkey_testing._dialects.base import CHAT, Stamps, UnmappableError, error, passed_on, upstream
from portkey_testing._dialects.tables import Table
from portkey_testing._encode import DONE, compact
from portkey_testing._encode import event as sse
from portkey_testing._policy import Target
from portkey_testing.journal import UpstreamRequest
from portkey_testing.replies import Answer
from portkey_testing.timeline import Cut, Events, Frame, GatewayRequest

RECORDED: Final = frozenset({"openai", "groq", "mistral-ai", "openrouter", "deepseek", "together-ai", "ollama"})
"""Providers whose chat completions were seen to be mapped."""

_UNTRANSLATED: Final[Mapping[str, frozenset[str]]] = {
    "openai": frozenset({"embed", "cancelFinetune", "imageEdit", "listFinetunes", "listResponseInputItems"}),
    "groq": frozenset({"createTranscription", "createTranslation"}),
}
"""Endpoints whose answers the gateway passes on unread."""

_PURPOSE: Final = "x-portkey-file-purpose"

_FORMS: Final = frozenset({"createTranscription", "createTranslation", "imageEdit", "uploadFile"})
"""Endpoints that take forms with files."""

_NAMED: Final = frozenset({"createModelResponse", "getModelResponse", "deleteModelResponse"})
"""Endpoints whose answers are given the name of the provider even where that is OpenAI."""


_OPENAI_HEADERS: Final = (
    ("openai-organization", "x-portkey-openai-organization", "openai_organization"),
    ("openai-project", "x-portkey-openai-project", "openai_project"),
    ("openai-beta", "x-portkey-openai-beta", "openai_beta"),
)
"""Headers of OpenAI's own, and what the application's headers and a target call them."""


class OpenAIDialect:
    """OpenAI, or a provider that speaks like it.

    Args:
        provider: Its name.
        endpoint: The kind of request.
        table: What the gateway sends for it.
    """

    def __init__(self, provider: str, endpoint: str, table: Table) -> None:
        self._provider = provider
        self._endpoint = endpoint
        self._table = table
        self._reply = openai_like.REPLIES.get((provider, endpoint))
        self._chunk = openai_like.CHUNKS.get((provider, endpoint))
        self.speaks = endpoint == CHAT
        self.recorded = provider in RECORDED if endpoint == CHAT else provider == "openai"
        self.translates = endpoint not in _UNTRANSLATED.get(provider, ())
        self.translates_streams = self._chunk is not None

    def request(self, target: Target, params: Mapping[str, Any], client: GatewayRequest) -> UpstreamRequest:
        url = self._table.url(target.custom_host, client.url)
        body = self._table.body(params) if client.method == "POST" else {}
        headers = openai_headers(self._provider, target, client)
        if self._endpoint in _FORMS and (content_type := client.headers.get("content-type")):
            headers["content-type"] = content_type
            if self._endpoint == "uploadFile" and _PURPOSE in client.headers:
                headers[_PURPOSE] = client.headers[_PURPOSE]
        return upstream(url, headers, body, target=target, client=client)

    def completion(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> dict[str, Any]:
        return _openai_answers.completion(answer, params, stamps, _model(params))

    def stream(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> Iterator[Frame | Cut]:
        return _openai_answers.stream(answer, params, stamps, _model(params))

    def client_json(self, status: int, body: Any, *, strict: bool, created: int) -> Any:
        if self._reply is not None:
            return self._reply(status, _object(body), openai_like.How(strict, created))
        if status != 200 and "error" in _object(body):
            return error(self._provider, body["error"])
        if self._provider == "openai" and self._endpoint not in _NAMED:
            return body
        return {**_javascript.spread(_object(body)), "provider": self._provider}

    def client_stream(
        self, frames: Iterable[Frame | Cut], *, strict: bool, stamps: Stamps, model: Any = None
    ) -> Iterator[Frame | Cut]:
        if self._chunk is None:
            return frames.frames if isinstance(frames, Events) else passed_on(frames)
        return self._translated(frames, self._chunk, strict=strict, stamps=stamps, model=model)

    def _translated(
        self, frames: Iterable[Frame | Cut], rule: openai_like.Chunk, *, strict: bool, stamps: Stamps, model: Any
    ) -> Iterator[Frame | Cut]:
        for step in frames:
            if isinstance(step, Cut):
                # The gateway logs that its provider went away and ends the client's stream as if it were over.
                yield Cut(step.gap, "end")
                return
            if not step.data:
                yield step
                continue
            written = step.data.decode("utf-8", "replace").strip().removeprefix("data: ").strip()
            if written == "[DONE]":
                yield Frame(step.gap, DONE)
                continue
            try:
                content = (
                    openai_like.waiting(stamps.milliseconds, model)
                    if self._provider == "openrouter" and openai_like.WAITING in written
                    else _javascript.readable(json.loads(written))
                )
                chunk = rule(content, openai_like.How(strict, stamps.created))
            except (AttributeError, IndexError, KeyError, TypeError, ValueError, UnmappableError):
                # An event it cannot read ends the client's stream, as if it were over.
                yield Cut(step.gap, "end")
                return
            yield Frame(step.gap, sse(compact(chunk)))


def openai_headers(provider: str, target: Target, client: GatewayRequest) -> dict[str, str]:
    """The headers of a provider that speaks like OpenAI."""
    if provider == "ollama":
        return {}
    # Without a key the gateway sends the word that JavaScript makes of it.
    key = "undefined" if target.api_key is None else target.api_key
    headers = {"authorization": f"Bearer {key}".strip()}
    if provider == "openrouter":
        headers |= {"http-referer": "https://portkey.ai/", "x-title": "portkey"}
    if provider != "openai":
        return headers
    given = client.headers if target.from_headers else target.options
    for name, header, option in _OPENAI_HEADERS:
        if value := given.get(header if target.from_headers else option):
            headers[name] = value.strip()
    if target.from_headers and "openai-beta" not in headers and (beta := client.headers.get("openai-beta")):
        headers["openai-beta"] = beta
    return headers


def _object(body: Any) -> Any:
    """An answer whose fields can be looked at; the gateway fails on a bare value."""
    if not isinstance(body, dict | list):
        raise UnmappableError(f"{_javascript.kind(body)} is no answer")
    return body


def _model(params: Mapping[str, Any]) -> str:
    return str(params.get("model", "gpt-3.5-turbo"))
