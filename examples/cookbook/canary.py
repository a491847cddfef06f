"""One call in ten tries the new model. Where that fails, the old one answers: a canary costs no user an answer."""

from __future__ import annotations

from typing import Any

from portkey_client import Portkey

STABLE = {"provider": "openai", "api_key": "OPENAI_KEY", "override_params": {"model": "gpt-4o"}}
CANARY = {"provider": "openai", "api_key": "OPENAI_KEY", "override_params": {"model": "gpt-4.1"}}

CONFIG: dict[str, Any] = {
    "strategy": {"mode": "fallback"},
    "targets": [
        {
            "strategy": {"mode": "loadbalance"},
            "targets": [STABLE | {"weight": 0.9}, CANARY | {"weight": 0.1}],
        },
        STABLE,
    ],
}

client = Portkey(api_key="PORTKEY_API_KEY", config=CONFIG)


def ask(question: str) -> str:
    """One question, one answer, of whichever model it falls to."""
    answer = client.chat.completions.create(messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content or ""
