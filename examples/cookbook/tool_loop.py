"""A tool loop: the model asks for tools until it can answer. The fallback may change the provider between two turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from portkey_client import Portkey
from portkey_client.types import ChatCompletionMessage, MessageParam

CONFIG: dict[str, Any] = {
    "strategy": {"mode": "fallback"},
    "targets": [
        {"provider": "openai", "api_key": "OPENAI_KEY"},
        {
            "provider": "anthropic",
            "api_key": "ANTHROPIC_KEY",
            "override_params": {"model": "claude-sonnet-4-5", "max_tokens": 1024},
        },
    ],
}

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Degrees in a city", "parameters": CITY}}
]
MAX_TURNS = 5

client = Portkey(api_key="PORTKEY_API_KEY", config=CONFIG)


def answer(question: str, tools: Mapping[str, Callable[..., str]]) -> str:
    """Answer with the help of tools.

    Raises:
        RuntimeError: the model calls tools without end.
    """
    messages: list[MessageParam | ChatCompletionMessage] = [{"role": "user", "content": question}]
    for _ in range(MAX_TURNS):
        message = client.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS).choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message)
        for call in message.tool_calls:
            result = _run(tools, call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    raise RuntimeError(f"no answer after {MAX_TURNS} turns")


def _run(tools: Mapping[str, Callable[..., str]], name: str, arguments: str) -> str:
    """The result of a tool; a mistake of the model is told to the model, which often corrects it."""
    try:
        return tools[name](**json.loads(arguments))
    except (KeyError, TypeError, ValueError) as error:
        return f"error: {error}"
