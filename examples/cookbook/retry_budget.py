"""A retry budget: however the providers fail, a user waits 20 seconds at most, and a question is asked 4 times at most.

Retries multiply where several layers make them, so one layer makes them here: the gateway. The client makes none of
its own, and the deadline of its calls is the budget.
"""

from __future__ import annotations

from typing import Any

from portkey_client import Portkey, PortkeyError, Timeout

BUDGET_SECONDS = 20.0
BUDGET_ATTEMPTS = 4

CONFIG: dict[str, Any] = {
    "strategy": {"mode": "fallback"},
    "targets": [
        {
            "provider": "openai",
            "api_key": "OPENAI_KEY",
            "request_timeout": 4_000,  # milliseconds, for each attempt
            "retry": {"attempts": 2},  # after 1 and after 2 seconds; a timeout is not retried but falls back
        },
        {
            "provider": "anthropic",
            "api_key": "ANTHROPIC_KEY",
            "request_timeout": 6_000,
            "override_params": {"model": "claude-sonnet-4-5", "max_tokens": 1024},
        },
    ],
}

client = Portkey(api_key="PORTKEY_API_KEY", config=CONFIG, timeout=Timeout(total=BUDGET_SECONDS), max_retries=0)


def ask(question: str) -> str | None:
    """One question, one answer, or None where nobody had one in time."""
    try:
        answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}])
    except PortkeyError:
        return None
    return answer.choices[0].message.content
