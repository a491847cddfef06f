"""OpenAI answers; while it has no capacity, Anthropic does. What is the caller's own mistake is not tried elsewhere."""

from __future__ import annotations

from portkey_client import Config, Portkey, Retry, Strategy, Target

NO_CAPACITY = [408, 429, 500, 502, 503, 504, 529]

CONFIG = Config(
    strategy=Strategy(mode="fallback", on_status_codes=NO_CAPACITY),
    targets=[
        Target(provider="openai", api_key="OPENAI_KEY", retry=Retry(attempts=1)),
        Target(
            provider="anthropic",
            api_key="ANTHROPIC_KEY",
            override_params={"model": "claude-sonnet-4-5", "max_tokens": 1024},
        ),
    ],
)

client = Portkey(api_key="PORTKEY_API_KEY", config=CONFIG)


def ask(question: str) -> str:
    """One question, one answer."""
    answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content or ""
