"""Why a model stopped: each provider has words of its own, and the gateway passes them on unless it is strict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "function_call", "error"]

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    # Anthropic and Bedrock: https://docs.anthropic.com/en/api/handling-stop-reasons
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    # Google: https://ai.google.dev/api/generate-content#FinishReason
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "malformed_function_call": "error",
    # Cohere: https://docs.cohere.com/reference/chat
    "complete": "stop",
    "tool_call": "tool_calls",
    # Others say it OpenAI's way, in one case or the other.
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "function_call",
}


def normalize_finish_reason(reason: str | None) -> FinishReason | None:
    """OpenAI's word for a provider's finish reason; an unknown one is a `stop`, as the gateway has it.

    Unless strict, the gateway passes on the provider's own word; a provider's error inside a stream becomes
    one too (`overloaded_error`).
    """
    if reason is None:
        return None
    word = reason.lower()
    return "error" if is_error_reason(word) else _FINISH_REASONS.get(word, "stop")


def is_error_reason(reason: str) -> bool:
    """Whether a finish reason says that the provider failed."""
    return reason == "error" or reason.endswith("_error")
