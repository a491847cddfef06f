"""A chat window: the text appears as it comes, Stop hangs up, and half an answer is never taken for a whole one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Literal

from portkey_client import APIError, AsyncPortkey

client = AsyncPortkey(api_key="PORTKEY_API_KEY", provider="@openai-prod")


@dataclass(frozen=True, slots=True)
class Bubble:
    """What the window shows of an answer.

    Attributes:
        text: The text so far.
        state: `waiting` for the first word, `writing`, `done`, `stopped` by the user, or `broken`.
    """

    text: str = ""
    state: Literal["waiting", "writing", "done", "stopped", "broken"] = "waiting"


async def show(question: str, stopped: Callable[[], bool]) -> AsyncIterator[Bubble]:
    """Every state of the window, from the first to the last."""
    bubble = Bubble()
    yield bubble
    try:
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": question}], stream=True
        )
        async with stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    if choice.delta.content:
                        bubble = Bubble(bubble.text + choice.delta.content, "writing")
                        yield bubble
                if stopped():
                    yield replace(bubble, state="stopped")
                    return
    except APIError:
        yield replace(bubble, state="broken")
    else:
        yield replace(bubble, state="done")
