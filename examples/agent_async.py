"""The agent of `agent.py`, asynchronous: several cities at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from examples.agent import CONFIG, MAX_TURNS, TOOLS, get_weather
from portkey_client import AsyncPortkey
from portkey_client.types import ChatCompletionMessage, MessageParam

client = AsyncPortkey(api_key="PORTKEY_API_KEY", config=CONFIG)


async def ask(question: str) -> str:
    """One question, one answer."""
    answer = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content or ""


async def ask_all(questions: list[str]) -> list[str]:
    """Several questions side by side."""
    return await asyncio.gather(*map(ask, questions))


async def stream_answer(question: str) -> AsyncIterator[str]:
    """One question, the answer as it comes."""
    messages = [{"role": "user", "content": question}]
    async with await client.chat.completions.create(model="gpt-4o", messages=messages, stream=True) as stream:
        async for chunk in stream:
            for choice in chunk.choices:
                if choice.delta.content:
                    yield choice.delta.content


async def run_agent(question: str) -> str:
    """Answer with the help of tools.

    Raises:
        RuntimeError: the model calls tools without end.
    """
    messages: list[MessageParam | ChatCompletionMessage] = [{"role": "user", "content": question}]
    for _ in range(MAX_TURNS):
        answer = await client.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS)
        message = answer.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message)
        for call in message.tool_calls:
            result = get_weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    raise RuntimeError(f"no answer after {MAX_TURNS} turns")
