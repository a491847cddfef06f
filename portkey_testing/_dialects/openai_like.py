"""What the gateway makes of the chat completions of providers that speak nearly like OpenAI.

Each provider has a reply rule and a chunk rule of its own, because the gateway rebuilds what it passes on and drops
what it does not know. As its version 1.15.2 does, and was seen to do where `RECORDED` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from portkey_testing._dialects.base import CHAT, UnmappableError, error, finish_reason, invalid, present
from portkey_testing._encode import compact
from portkey_testing._javascript import MISSING, spread, truthy

_ENVELOPE: Final = ("id", "object", "created", "model")
_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


WAITING: Final = "OPENROUTER PROCESSING"
"""What OpenRouter says in a comment while a request waits for its turn."""


def waiting(milliseconds: int, model: Any) -> dict[str, Any]:
    """The chunk that the gateway makes of such a comment; its time is in the wrong unit there, too."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    return {
        "id": str(milliseconds),
        "model": model or "",
        "object": "chat.completion.chunk",
        "created": milliseconds,
        "choices": [choice],
    }


class How(NamedTuple):
    """What an answer or a chunk depends on beside itself.

    Attributes:
        strict: The application gets OpenAI's shape and nothing else.
        created: Now, in seconds since 1970.
    """

    strict: bool
    created: int


Reply: TypeAlias = Callable[[int, Any, How], Any]
"""An answer, by its status, as the application gets it."""

Chunk: TypeAlias = Callable[[Any, How], Any]
"""An event of a stream as the application gets it."""


def _mistral(status: int, body: Any, how: How) -> Any:
    def choice(given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **_kept(given, "index"),
            "message": _kept(given["message"], "role", "content", "tool_calls"),
            "finish_reason": finish_reason(given.get("finish_reason"), strict=how.strict),
        }

    return _rebuilt("mistral-ai", status, body, choice)


def _deepseek(status: int, body: Any, how: How) -> Any:
    def choice(given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **_kept(given, "index"),
            "message": _kept(given["message"], "role", "content"),
            "finish_reason": finish_reason(given.get("finish_reason"), strict=how.strict),
        }

    return _rebuilt("deepseek", status, body, choice)


def _openrouter(status: int, body: Any, how: How) -> Any:
    def choice(given: Mapping[str, Any]) -> dict[str, Any]:
        message = given["message"]
        given_details = message.get("reasoning_details")
        details = {"reasoning_details": given_details} if truthy(given_details) else {}
        blocks: list[dict[str, Any]] = []
        if not how.strict:
            if message.get("reasoning"):
                blocks.append({"type": "thinking", "thinking": message["reasoning"], **details})
            blocks.append({"type": "text", **present(text=message.get("content", MISSING))})
        said = _kept(message, "role", "content")
        said |= {"content_blocks": blocks} if blocks else {}
        said |= {"tool_calls": message["tool_calls"]} if truthy(message.get("tool_calls")) else {}
        return {**_kept(given, "index"), "message": {**said, **details}, **_kept(given, "finish_reason")}

    rebuilt = _rebuilt("openrouter", status, body, choice)
    if "choices" in rebuilt:
        del rebuilt["usage"]
        rebuilt |= _kept(body, "usage")
    return rebuilt


def _together(status: int, body: Any, how: How) -> Any:
    def choice(each: Mapping[str, Any]) -> dict[str, Any]:
        calls = each["message"].get("tool_calls")
        return {
            "message": {
                "role": "assistant",
                **_kept(each["message"], "content"),
                "tool_calls": [_kept(call, "id", "type", "function") for call in calls] if truthy(calls) else None,
            },
            "index": 0,
            "logprobs": None,
            "finish_reason": finish_reason(each.get("finish_reason"), strict=how.strict),
        }

    return _together_error(status, body) or _rebuilt("together-ai", 200, body, choice)


def _together_completion(status: int, body: Any, _how: How) -> Any:
    def choice(each: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **_kept(each, "text"),
            "index": each.get("index") or 0,
            "logprobs": None,
            **_kept(each, "finish_reason"),
        }

    return _together_error(status, body) or _rebuilt("together-ai", 200, body, choice)


def _together_embeddings(status: int, body: Any, _how: How) -> Any:
    nothing = {"prompt_tokens": 0, "total_tokens": 0}
    return _together_error(status, body) or _embeddings("together-ai", body, lambda: nothing)


def _together_error(status: int, body: Any) -> dict[str, Any] | None:
    given = body if isinstance(body, Mapping) else {}
    if status == 200:
        return None
    wrong = given.get("error", MISSING)
    if isinstance(wrong, str):
        return error("together-ai", {"message": wrong})
    if isinstance(wrong, Mapping | list) or wrong is None:
        fields = wrong if isinstance(wrong, Mapping) else {}
        details = {name: value for name, value in fields.items() if truthy(value)}
        return error("together-ai", {"message": "", **details})
    return error("together-ai", given, only=("type",)) if given.get("message") else None


def _groq_speech(_status: int, body: Any, _how: How) -> Any:
    return {**spread(body), "provider": "groq"}


def _ollama(status: int, body: Any, _how: How) -> Any:
    given = body if isinstance(body, Mapping) else {}
    if status != 200 and "error" in given:
        return error("ollama", given["error"], only=("type",))
    if "choices" not in given:
        return invalid("ollama", compact(body))
    return {**_kept(given, *_ENVELOPE), "provider": "ollama", **_kept(given, "choices", "usage")}


def _mistral_embeddings(status: int, body: Any, _how: How) -> Any:
    if status != 200 and "message" in body and isinstance(body, Mapping):
        return error("mistral-ai", body)
    return _embeddings("mistral-ai", body, lambda: _kept(body["usage"], "prompt_tokens", "total_tokens"))


def _embeddings(provider: str, body: Any, usage: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    if not isinstance(body, Mapping) or "data" not in body:
        return invalid(provider, compact(body))
    try:
        vectors = [_kept(each, "object", "embedding", "index") for each in body["data"]]
        counts = usage()
    except (KeyError, TypeError) as cause:
        raise UnmappableError(f"{provider}: these are no embeddings") from cause
    return {
        **_kept(body, "object"),
        "data": vectors,
        **_kept(body, "model"),
        "usage": counts,
        "provider": provider,
    }


def _rebuilt(provider: str, status: int, body: Any, choice: Any) -> dict[str, Any]:
    """A completion with the fields the gateway knows, or the error it makes of anything else."""
    if not isinstance(body, Mapping):
        return invalid(provider, compact(body))
    if status != 200 and "message" in body:
        return error(provider, body)
    if "choices" not in body:
        return invalid(provider, compact(body))
    usage = body.get("usage")
    try:
        choices = [choice(each) for each in body["choices"]]
    except (KeyError, TypeError, AttributeError) as cause:
        raise UnmappableError(f"{provider}: these are no choices") from cause
    return {
        **_kept(body, *_ENVELOPE),
        "provider": provider,
        "choices": choices,
        "usage": _kept(usage, *_COUNTS) if isinstance(usage, Mapping) else {},
    }


def _groq_chunk(chunk: Any, _how: How) -> Any:
    envelope = {**_kept(chunk, *_ENVELOPE), "provider": "groq"}
    own = chunk.get("x_groq")
    choices = chunk.get("choices")
    first = choices[0] if choices else {}
    if isinstance(own, Mapping) and own.get("usage"):
        said = {"index": first.get("index") or 0, "delta": {}, "logprobs": None, **_kept(first, "finish_reason")}
        return {**envelope, "choices": [said], "usage": _counts(own["usage"])}
    delta = first.get("delta") or {}
    said = {
        "index": first.get("index") or 0,
        "delta": {
            "role": "assistant",
            "content": delta.get("content") or "",
            "tool_calls": delta.get("tool_calls") or [],
        },
        "logprobs": None,
        "finish_reason": first.get("finish_reason") or None,
    }
    usage = {"usage": _counts(chunk["usage"])} if truthy(chunk.get("usage")) else {}
    return {**envelope, "choices": [said] if choices else [], **usage}


def _mistral_chunk(chunk: Any, how: How) -> Any:
    usage = {"usage": chunk["usage"]} if truthy(chunk.get("usage")) else {}
    return {
        **_kept(chunk, *_ENVELOPE),
        "provider": "mistral-ai",
        "choices": [_first(chunk, strict=how.strict)],
        **usage,
    }


def _deepseek_chunk(chunk: Any, how: How) -> Any:
    return {
        **_kept(chunk, *_ENVELOPE),
        "provider": "deepseek",
        "choices": [_first(chunk, strict=how.strict)],
        **_kept(chunk, "usage"),
    }


def _ollama_chunk(chunk: Any, _how: How) -> Any:
    return {**_kept(chunk, *_ENVELOPE), "provider": "ollama", **_kept(chunk, "choices")}


def _openrouter_chunk(chunk: Any, how: How) -> Any:
    choices = chunk.get("choices")
    first = choices[0] if choices else {}
    delta = first.get("delta") or {}
    blocks = []
    if not how.strict:
        for name, field in (("thinking", "reasoning"), ("text", "content")):
            if delta.get(field):
                blocks.append({**_kept(first, "index"), "delta": {name: delta[field]}})
    said = {**delta, **({"content_blocks": blocks} if blocks else {})}
    return {
        **_kept(chunk, *_ENVELOPE),
        "provider": "openrouter",
        "choices": [{**_kept(first, "index"), "delta": said, **_kept(first, "finish_reason")}],
        **({"usage": chunk["usage"]} if truthy(chunk.get("usage")) else {}),
    }


def _together_chunk(chunk: Any, how: How) -> Any:
    choices: Sequence[Mapping[str, Any]] | None = chunk["choices"]
    if choices is None:
        raise UnmappableError("the chunk has no choices")
    first: Mapping[str, Any] = choices[0] if choices else {}
    reason = first.get("finish_reason")
    return {
        **_kept(chunk, "id", "object"),
        "created": how.created,
        **_kept(chunk, "model"),
        "provider": "together-ai",
        "choices": [
            {
                "delta": _kept(first["delta"], "content") if choices else {},
                "index": 0,
                "finish_reason": finish_reason(reason, strict=how.strict) if reason else None,
            }
        ],
    }


def _together_completion_chunk(chunk: Any, how: How) -> Any:
    choices: Sequence[Mapping[str, Any]] = chunk["choices"]
    return {
        **_kept(chunk, "id"),
        "object": "text_completion",
        "created": how.created,
        **_kept(chunk, "model"),
        "provider": "together-ai",
        "choices": [{**(_kept(choices[0], "text") if choices else {}), "index": 0, "finish_reason": ""}],
    }


def _first(chunk: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    try:
        first = chunk["choices"][0]
        reason = first.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as cause:
        raise UnmappableError("the chunk has no choice") from cause
    return {
        **_kept(first, "index", "delta"),
        "finish_reason": finish_reason(reason, strict=strict) if reason else None,
    }


def _counts(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {name: usage.get(name) or 0 for name in _COUNTS}


def _kept(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


REPLIES: Final[Mapping[tuple[str, str], Reply]] = {
    ("deepseek", CHAT): _deepseek,
    ("groq", "createSpeech"): _groq_speech,
    ("mistral-ai", CHAT): _mistral,
    ("mistral-ai", "embed"): _mistral_embeddings,
    ("ollama", CHAT): _ollama,
    ("openrouter", CHAT): _openrouter,
    ("together-ai", CHAT): _together,
    ("together-ai", "complete"): _together_completion,
    ("together-ai", "embed"): _together_embeddings,
}
"""The reply rules of providers and endpoints whose answers are not passed on as they are."""

CHUNKS: Final[Mapping[tuple[str, str], Chunk]] = {
    ("deepseek", CHAT): _deepseek_chunk,
    ("groq", CHAT): _groq_chunk,
    ("mistral-ai", CHAT): _mistral_chunk,
    ("ollama", CHAT): _ollama_chunk,
    ("openrouter", CHAT): _openrouter_chunk,
    ("together-ai", CHAT): _together_chunk,
    ("together-ai", "complete"): _together_completion_chunk,
}
"""The chunk rules, likewise."""
