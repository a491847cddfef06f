"""The SDKs in Python. Each is imported when it is used: an environment has one of them."""

from __future__ import annotations

import asyncio
import atexit
import json
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from portkey_client import createHeaders
from tests.clients.sdk import Ask, Said, SdkError, ToolCall

KEY = "PORTKEY_API_KEY"
MODEL = "gpt-4o"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenAIStyle:
    """An SDK with `client.chat.completions`: openai, or portkey-ai, which is built on it.

    Attributes:
        module: What it is imported as.
        asynchronous: Whether its asynchronous client is used.
    """

    module: str
    asynchronous: bool
    name: str
    retries_429: bool
    in_process: bool = True
    has_timeout: bool = True
    stores: bool = True
    swallows: bool = False

    def chat(self, base_url: str | None, ask: Ask) -> Said:
        params = {**ask.params, "model": MODEL, "messages": list(ask.messages), "stream": ask.stream}
        if self.module == "portkey_ai":
            params["timeout"] = ask.timeout  # its client has none

        def create(client: Any) -> Any:
            return client.chat.completions.create(**params)

        return self._run(base_url, ask, create, _folded if ask.stream else _said)

    def stored(self, base_url: str, method: str, completion_id: str | None, **params: Any) -> dict[str, Any]:
        identified = {} if completion_id is None else {"completion_id": completion_id}

        def call(client: Any) -> Any:
            completions = client.chat.completions
            if method == "messages":
                return completions.messages.list(**identified, **params)
            return getattr(completions, method)(**identified, **params)

        return self._run(base_url, Ask(), call, _dumped)

    def _run(self, base_url: str | None, ask: Ask, call: Callable[[Any], Any], read: Callable[[Any], T]) -> T:
        client = self._client(base_url, ask)
        connections = client.openai_client if self.module == "portkey_ai" else client
        with _translated():
            if not self.asynchronous:
                with connections:
                    return read(call(client))

            async def main() -> T:
                async with connections:
                    answer = call(client)
                    answer = await answer if isinstance(answer, Awaitable) else answer
                    return read([chunk async for chunk in answer] if ask.stream else answer)

            return asyncio.run(main())

    def _client(self, base_url: str | None, ask: Ask) -> Any:
        module = import_module(self.module)
        where = {} if base_url is None else {"base_url": base_url}
        if self.module == "portkey_ai":
            made = module.AsyncPortkey if self.asynchronous else module.Portkey
            client = made(api_key=KEY, config=dict(ask.config), **where)
            client.openai_client.max_retries = ask.max_retries  # the only way to set it
            return client
        headers = createHeaders(api_key=KEY, config=ask.config)
        made = module.AsyncOpenAI if self.asynchronous else module.OpenAI
        key = {} if base_url is None else {"api_key": "unused"}
        return made(**where, **key, default_headers=headers, max_retries=ask.max_retries, timeout=ask.timeout)


@dataclass(frozen=True, slots=True)
class LangChain:
    """langchain-openai's chat model."""

    asynchronous: bool
    name: str
    retries_429: bool = True
    in_process: bool = True
    has_timeout: bool = True
    stores: bool = False
    swallows: bool = False

    def chat(self, base_url: str | None, ask: Ask) -> Said:
        module = import_module("langchain_openai")
        where = {} if base_url is None else {"base_url": base_url, "api_key": "unused"}
        params = dict(ask.params)
        tools = params.pop("tools", None)
        headers = createHeaders(api_key=KEY, config=ask.config)
        model = module.ChatOpenAI(
            model=MODEL, default_headers=headers, max_retries=ask.max_retries, timeout=ask.timeout, **where, **params
        )
        bound = model if tools is None else model.bind_tools(tools)
        with _translated():
            if self.asynchronous:
                return _runner().run(self._achat(bound, ask))
            return self._put_together(list(bound.stream(ask.messages)) if ask.stream else [bound.invoke(ask.messages)])

    async def _achat(self, model: Any, ask: Ask) -> Said:
        if ask.stream:
            return self._put_together([chunk async for chunk in model.astream(ask.messages)])
        return self._put_together([await model.ainvoke(ask.messages)])

    def stored(self, base_url: str, method: str, completion_id: str | None, **params: Any) -> dict[str, Any]:
        raise NotImplementedError("langchain-openai has no stored completions")

    def _put_together(self, parts: list[Any]) -> Said:
        message = parts[0]
        for part in parts[1:]:
            message += part
        told = message.response_metadata
        return Said(
            id=told.get("id", ""),  # that of a stream is made up
            text=message.content,
            tool_calls=tuple(ToolCall(call["id"], call["name"], call["args"]) for call in message.tool_calls),
            finish_reason=told.get("finish_reason"),
            tokens=None if message.usage_metadata is None else message.usage_metadata["total_tokens"],
            pieces=tuple(part.content for part in parts if part.content) if len(parts) > 1 else (),
        )


@cache
def _runner() -> asyncio.Runner:
    """One event loop for all calls: the framework keeps its connections, which belong to the loop they were made in."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


@contextmanager
def _translated() -> Generator[None]:
    """What an SDK raises as an `SdkError`; what is not an `Exception` is the fake's, and stays what it is."""
    try:
        yield
    except Exception as error:
        status = getattr(error, "status_code", None)
        raise SdkError([cls.__name__ for cls in type(error).__mro__], status, str(error)) from error


def _said(completion: Any) -> Said:
    (choice,) = completion.choices
    calls = choice.message.tool_calls or ()
    return Said(
        id=completion.id,
        text=choice.message.content or "",
        tool_calls=tuple(ToolCall(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls),
        finish_reason=choice.finish_reason,
        tokens=completion.usage and completion.usage.total_tokens,
    )


def _folded(chunks: Any) -> Said:
    """A stream, put together as every application does it that shows the text as it comes."""
    identity, finish_reason, tokens = "", None, None
    pieces: list[str] = []
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        identity = identity or chunk.id
        tokens = chunk.usage.total_tokens if chunk.usage else tokens
        for choice in chunk.choices:
            finish_reason = choice.finish_reason or finish_reason
            pieces += [choice.delta.content] if choice.delta.content else []
            for part in choice.delta.tool_calls or ():
                call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                call["id"] += part.id or ""
                call["name"] += part.function.name or ""
                call["arguments"] += part.function.arguments or ""
    return Said(
        id=identity,
        text="".join(pieces),
        tool_calls=tuple(ToolCall(call["id"], call["name"], json.loads(call["arguments"])) for call in calls.values()),
        finish_reason=finish_reason,
        tokens=tokens,
        pieces=tuple(pieces),
    )


def _dumped(answer: Any) -> dict[str, Any]:
    dumped: Mapping[str, Any] = answer.model_dump()
    return dict(dumped)


OPENAI = (
    OpenAIStyle("openai", asynchronous=False, name="openai", retries_429=True),
    OpenAIStyle("openai", asynchronous=True, name="openai-async", retries_429=True),
)
PORTKEY_AI = (
    OpenAIStyle("portkey_ai", asynchronous=False, name="portkey-ai", retries_429=False),
    OpenAIStyle("portkey_ai", asynchronous=True, name="portkey-ai-async", retries_429=False),
)
LANGCHAIN = (
    LangChain(asynchronous=False, name="langchain"),
    LangChain(asynchronous=True, name="langchain-async", swallows=True),
)
