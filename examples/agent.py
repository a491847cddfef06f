"""A small agent as one would ship it: a fallback from OpenAI to Anthropic, a tool loop, a streamed answer.

Nothing in here knows about tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from portkey_client import Portkey
from portkey_client.types import ChatCompletionMessage, MessageParam

CONFIG: dict[str, Any] = {
    "strategy": {"mode": "fallback"},
    "targets": [
        {"provider": "openai", "api_key": "OPENAI_KEY", "retry": {"attempts": 1, "on_status_codes": [503]}},
        {
            "provider": "anthropic",
            "api_key": "ANTHROPIC_KEY",
            "override_params": {"model": "claude-sonnet-4-5", "max_tokens": 1024},
        },
    ],
}

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Temperature at a place, in degrees Celsius",
            "parameters": {
                "type": "object",
                "properties": {"location": {"type": "string"}},
                "required": ["location"],
            },
        },
    }
]

MAX_TURNS = 5

client = Portkey(api_key="PORTKEY_API_KEY", config=CONFIG)


def get_weather(location: str) -> str:
    """The thermometer of this example."""
    return {"Oslo": "21", "Bergen": "14"}.get(location, "unknown")


def ask(question: str) -> str:
    """One question, one answer."""
    answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content or ""


def stream_answer(question: str) -> Iterator[str]:
    """One question, the answer as it comes."""
    messages = [{"role": "user", "content": question}]
    with client.chat.completions.create(model="gpt-4o", messages=messages, stream=True) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                if choice.delta.content:
                    yield choice.delta.content


def run_agent(question: str, show: Callable[[str], object] | None = None, client: Portkey = client) -> str:
    """Answer with the help of tools, showing the text as it comes.

    Raises:
        RuntimeError: the model calls tools without end.
    """
    messages: list[MessageParam | ChatCompletionMessage] = [{"role": "user", "content": question}]
    for _ in range(MAX_TURNS):
        with client.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS, stream=True) as stream:
            for chunk in stream:
                for choice in chunk.choices:
                    if show and choice.delta.content:
                        show(choice.delta.content)
            message = stream.get_final_completion().choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message)
        for call in message.tool_calls:
            result = get_weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    raise RuntimeError(f"no answer after {MAX_TURNS} turns")
