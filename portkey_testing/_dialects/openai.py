"""OpenAI's language, which most providers speak.

Fields, limits and error wording as Portkey's open-source gateway 1.15.2 was seen to send and translate them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from portkey_testing import _synth
from portkey_testing._dialects.base import Stamps, bounded
from portkey_testing._encode import DONE, Envelope, compact
from portkey_testing._policy import Target
from portkey_testing.journal import UpstreamRequest
from portkey_testing.replies import Answer, Refusal, Text, ToolCall
from portkey_testing.timeline import Cut, Frame, GatewayRequest

FIELDS: Final = (
    "model",
    "messages",
    "functions",
    "function_call",
    "max_tokens",
    "temperature",
    "top_p",
    "n",
    "stream",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
    "seed",
    "tools",
    "tool_choice",
    "response_format",
    "logprobs",
    "top_logprobs",
    "stream_options",
    "service_tier",
    "parallel_tool_calls",
    "max_completion_tokens",
    "store",
    "metadata",
    "modalities",
    "audio",
    "prediction",
    "reasoning_effort",
    "web_search_options",
    "prompt_cache_key",
    "safety_identifier",
    "verbosity",
)
"""What goes upstream; the gateway drops every other field without a word."""

LIMITS: Final[Mapping[str, tuple[float, float | None]]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "max_tokens": (0, None),
}

MODEL_IF_MISSING: Final = "glm-4.6"
"""The default another provider's set-up leaves in the table the gateway shares between all that speak OpenAI."""

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {"together-ai": {"max_tokens": 128}}
"""What the gateway adds for a provider where the request leaves it out."""

FINGERPRINT: Final = "fp_fake"

HOSTS: Final[Mapping[str, str]] = {
    "openai": "https://api.openai.com/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral-ai": "https://api.mistral.ai/v1",
    "openrouter": "https://openrouter.ai/api",
    "deepseek": "https://api.deepseek.com",
    "together-ai": "https://api.together.xyz",
}

VERSIONED_PATHS: Final = frozenset({"openrouter", "deepseek", "together-ai"})
"""Providers whose endpoint carries the `/v1` that others have in their host."""

RECORDED: Final = frozenset({"openai", "groq", "mistral-ai", "openrouter", "deepseek", "together-ai"})


class OpenAIDialect:
    """OpenAI, or a provider that speaks like it."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.recorded = provider in RECORDED

    def request(self, target: Target, params: Mapping[str, Any], client: GatewayRequest) -> UpstreamRequest:
        body = {name: bounded(params[name], *LIMITS.get(name, (float("-inf"),))) for name in FIELDS if name in params}
        for name, value in {"model": MODEL_IF_MISSING, **DEFAULTS.get(self.provider, {})}.items():
            body.setdefault(name, value)
        # Without a key the gateway sends the word that JavaScript makes of it.
        key = "undefined" if target.api_key is None else target.api_key
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        headers.update(self._organisation(target, client))
        host = target.custom_host or HOSTS.get(self.provider, f"https://{self.provider}")
        path = "/v1/chat/completions" if self.provider in VERSIONED_PATHS else "/chat/completions"
        return UpstreamRequest("POST", host + path, headers, body)

    def completion(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> dict[str, Any]:
        text = "".join(part.text for part in answer.parts if isinstance(part, Text))
        refusal = "".join(part.text for part in answer.parts if isinstance(part, Refusal))
        message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": refusal or None}
        if not refusal and not answer.tool_calls:
            message["content"] = text
        if answer.tool_calls:
            message["tool_calls"] = [_tool_call(call, stamps) for call in answer.tool_calls]
        return {
            "id": stamps.new_id("chatcmpl"),
            "object": "chat.completion",
            "created": stamps.created,
            "model": params.get("model", MODEL_IF_MISSING),
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": _synth.finish_reason(answer)}
            ],
            "usage": _usage(answer, params),
            "system_fingerprint": FINGERPRINT,
        }

    def stream(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> Iterator[Frame | Cut]:
        options = params.get("stream_options")
        wants_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        envelope = Envelope(
            stamps.new_id("chatcmpl"),
            stamps.created,
            str(params.get("model", MODEL_IF_MISSING)),
            {"system_fingerprint": FINGERPRINT},
            usage=wants_usage,
        )
        begun = False
        position, index = -1, -1
        for piece in _synth.pieces(answer, stamps.random):
            if isinstance(piece, Cut):
                yield piece
                return
            gap, at, part, text = piece
            if not begun:
                begun = True
                yield Frame(gap, envelope.delta(_opening(part)))
                gap = 0.0
            if isinstance(part, Text):
                yield Frame(gap, envelope.text(text))
            elif isinstance(part, Refusal):
                yield Frame(gap, envelope.delta({"refusal": text}))
            else:
                if at != position:
                    index += 1
                    yield Frame(gap, envelope.delta({"tool_calls": [{"index": index, **_started(part, stamps)}]}))
                    gap = 0.0
                yield Frame(gap, envelope.delta({"tool_calls": [{"index": index, "function": {"arguments": text}}]}))
            position = at
        if not begun:
            yield Frame(answer.delivery.pace.ttft, envelope.delta(_opening(Text(""))))
        yield Frame(0.0, envelope.delta({}, _synth.finish_reason(answer)))
        if wants_usage:
            yield Frame(0.0, envelope.usage(_usage(answer, params)))
        yield Frame(0.0, DONE)

    def client_json(self, provider: str, status: int, body: Any, *, strict: bool, stamps: Stamps) -> Any:
        if not isinstance(body, Mapping):
            return {str(i): item for i, item in enumerate(body)} if isinstance(body, list) else body
        if status != 200 and provider == "deepseek":
            # The gateway expects DeepSeek's message at the top, where DeepSeek does not put it.
            return _client_error(provider, body, f"Invalid response received from {provider}: {compact(body)}")
        if status != 200 and "error" in body:
            return _client_error(provider, body["error"])
        if provider == "openai":
            return body
        if provider == "mistral-ai" and isinstance(body.get("choices"), list):
            body = {**body, "choices": [_without_logprobs(choice) for choice in body["choices"]]}
        return {**body, "provider": provider}

    def client_stream(
        self, provider: str, frames: Iterable[Frame | Cut], *, strict: bool, stamps: Stamps
    ) -> Iterator[Frame | Cut]:
        for step in frames:
            if isinstance(step, Cut):
                # The gateway logs that its provider went away and ends the client's stream as if it were over.
                yield Cut(step.gap, "end")
                return
            yield step

    def _organisation(self, target: Target, client: GatewayRequest) -> dict[str, str]:
        if self.provider != "openai":
            return {}
        found = {
            "openai-organization": target.options.get("openai_organization"),
            "openai-project": target.options.get("openai_project"),
        }
        if target.from_headers:
            for name in ("organization", "project", "beta"):
                value = client.headers.get(f"x-portkey-openai-{name}")
                if value is None and name == "beta":
                    value = client.headers.get("openai-beta")
                found[f"openai-{name}"] = value
        return {name: value for name, value in found.items() if value is not None}


def _without_logprobs(choice: Any) -> Any:
    return {key: value for key, value in choice.items() if key != "logprobs"} if isinstance(choice, Mapping) else choice


def _client_error(provider: str, error: Any, message: str | None = None) -> dict[str, Any]:
    details = error if isinstance(error, Mapping) else {}
    return {
        "error": {
            "message": message or f"{provider} error: {details.get('message', 'undefined')}",
            "type": details.get("type"),
            "param": details.get("param"),
            "code": details.get("code"),
        },
        "provider": provider,
    }


def _opening(part: object) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        return {"role": "assistant", "content": None}
    return {"role": "assistant", "content": "", "refusal": None}


def _started(call: ToolCall, stamps: Stamps) -> dict[str, Any]:
    call_id = call.call_id or stamps.new_id("call")
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": ""}}


def _tool_call(call: ToolCall, stamps: Stamps) -> dict[str, Any]:
    call_id = call.call_id or stamps.new_id("call")
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _usage(answer: Answer, params: Mapping[str, Any]) -> dict[str, int]:
    prompt, completion = _synth.usage(answer, params)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
