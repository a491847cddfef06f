"""The same requests and answers for every contender."""

from __future__ import annotations

import json
from typing import Any, Final

TARGETS_A_LEVEL: Final = 10


def _nested(levels: int) -> dict[str, Any]:
    """A config of that many levels, each with ten targets and, before them, the next level."""
    target: dict[str, Any] = {"provider": "openai", "api_key": "key"}
    targets = [target] * TARGETS_A_LEVEL
    if levels > 1:
        targets = [_nested(levels - 1), *targets]
    return {"strategy": {"mode": "fallback"}, "targets": targets}


URL: Final = "https://api.portkey.ai/v1/chat/completions"
BASE_URL: Final = "https://api.portkey.ai/v1"
MESSAGES: Final[list[Any]] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is the weather like in Oslo today, and what should I wear?"},
]
REQUEST: Final = {"model": "gpt-4o", "messages": MESSAGES}
CONFIG: Final = {"provider": "openai", "api_key": "key"}
FALLBACK: Final = {
    "strategy": {"mode": "fallback"},
    "targets": [{"provider": "openai", "api_key": "a"}, {"provider": "groq", "api_key": "b"}],
}
LANDING: Final = {"provider": "groq", "api_key": "b"}
"""Where `FALLBACK` ends up."""

NESTED: Final = _nested(5)
COMPLETION: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "It is 21 degrees and sunny. A T-shirt will do.",
                "refusal": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 31, "completion_tokens": 12, "total_tokens": 43},
    "system_fingerprint": "fp_1",
}
ANSWER: Final = json.dumps(COMPLETION).encode()
CHUNKS: Final = 2_000


def chunk(content: str | None, finish_reason: str | None = None) -> bytes:
    """One event of a stream."""
    delta = {"content": content} if content is not None else {}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "system_fingerprint": "fp_1",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
    }
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


EVENTS: Final = [*(chunk(f" word{i}") for i in range(CHUNKS)), chunk(None, "stop"), b"data: [DONE]\n\n"]
EIGHTY_A_READ: Final = [b"".join(EVENTS[start : start + 80]) for start in range(0, len(EVENTS), 80)]
