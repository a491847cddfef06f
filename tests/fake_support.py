"""Ways to reach a fake gateway: from a thread, from asyncio and from trio, with one interface for a test body."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import httpx
import pytest

from portkey_testing import FakeGateway

URL = "https://api.portkey.ai/v1/chat/completions"
USER = [{"role": "user", "content": "Weather in Oslo?"}]
GATEWAY_ERROR = (httpx.HTTPError, httpx.StreamError)

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("get_weather", "get_time")
]


def body(**fields: Any) -> dict[str, Any]:
    """A request; fields replace and add."""
    return {"model": "gpt-4o-mini", "messages": USER, **fields}


def headers(provider: str = "openai", config: Mapping[str, Any] | None = None, **more: str) -> dict[str, str]:
    """The headers of a request to one provider, or with a config."""
    route = {"x-portkey-provider": provider} if config is None else {"x-portkey-config": json.dumps(config)}
    named = {f"x-portkey-{name.replace('_', '-')}": value for name, value in more.items()}
    return {"content-type": "application/json", "authorization": "Bearer KEY", **route, **named}


class Answer:
    """A response that was read to its end, or to its failure.

    Attributes:
        status: HTTP status.
        headers: Response headers.
        text: The body, as far as it came.
        error: What was raised while the body was read.
    """

    def __init__(self, response: httpx.Response, content: bytes, error: Exception | None = None) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.content = content
        self.text = content.decode("utf-8", "replace")
        self.error = error

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def message(self) -> Any:
        return self.json["choices"][0]["message"]

    @property
    def said(self) -> Any:
        """The text of the answer, streamed or not."""
        if "event-stream" in self.headers.get("content-type", ""):
            return "".join(
                choice["delta"].get("content") or "" for chunk in self.chunks for choice in chunk.get("choices", ())
            )
        return self.message["content"]

    @property
    def events(self) -> list[str]:
        """The data of the events."""
        blocks = self.text.replace("\r\n", "\n").split("\n\n")
        lines = [[line[5:].strip() for line in block.split("\n") if line.startswith("data:")] for block in blocks]
        return ["\n".join(data) for data in lines if data]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]


class Side:
    """One way to call; `timeout` is what httpx would wait, in seconds."""

    def __init__(self, backend: str | None) -> None:
        self.backend = backend

    def ask(
        self,
        fake: FakeGateway,
        request: Mapping[str, Any] | bytes | None = None,
        *,
        timeout: float | None = 60.0,
        **route: Any,
    ) -> Answer:
        """Post one request and read the answer."""
        return self.ask_all(fake, [body() if request is None else request], timeout=timeout, **route)[0]

    def ask_all(
        self,
        fake: FakeGateway,
        requests: Sequence[Mapping[str, Any] | bytes],
        *,
        timeout: float | None = 60.0,
        **route: Any,
    ) -> list[Answer]:
        """Post requests one after the other, in one thread or task."""
        contents = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in requests]
        if self.backend is None:
            with httpx.Client(transport=fake.transport(), timeout=timeout) as client:
                return [self._ask(client, content, headers(**route)) for content in contents]

        async def run() -> list[Answer]:
            async with httpx.AsyncClient(transport=fake.transport(), timeout=timeout) as client:
                return [await self._aask(client, content, headers(**route)) for content in contents]

        return anyio.run(run, backend=self.backend)

    def _ask(self, client: httpx.Client, content: bytes, given: dict[str, str]) -> Answer:
        read = b""
        with client.stream("POST", URL, content=content, headers=given) as response:
            try:
                for piece in response.iter_bytes():
                    read += piece
            except GATEWAY_ERROR as error:
                return Answer(response, read, error)
        return Answer(response, read)

    async def _aask(self, client: httpx.AsyncClient, content: bytes, given: dict[str, str]) -> Answer:
        read = b""
        async with client.stream("POST", URL, content=content, headers=given) as response:
            try:
                async for piece in response.aiter_bytes():
                    read += piece
            except GATEWAY_ERROR as error:
                return Answer(response, read, error)
        return Answer(response, read)


SYNC = Side(None)
SIDES = [SYNC, Side("asyncio"), Side("trio")]
sides = pytest.mark.parametrize("side", SIDES, ids=["sync", "asyncio", "trio"])
