"""An application that talks to the gateway through the plain OpenAI SDK."""

from __future__ import annotations

from openai import OpenAI

from portkey_client import PORTKEY_GATEWAY_URL, create_headers

client = OpenAI(
    api_key="PORTKEY_API_KEY",
    base_url=PORTKEY_GATEWAY_URL,
    default_headers=create_headers(provider="@openai-prod", metadata={"team": "search"}),
    max_retries=0,  # retries belong into the gateway's config, where each target has its own
)


def ask(question: str) -> str:
    """One question, one answer."""
    answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content or ""
