"""The client's rows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from benchmarks.data import ANSWER, BASE_URL, CONFIG, EIGHTY_A_READ, EVENTS, MESSAGES, REQUEST, URL
from benchmarks.rows import Row
from benchmarks.timing import Sample, batches

PEERS: Final = {"portkey-ai": "portkey_ai", "openai": "openai"}
CALLS_A_LOOP: Final = 20
"""Async calls made by one run of the event loop, so that starting it does not count."""
STREAMS_A_LOOP: Final = 5
"""The same of streams, which take longer."""


def rows() -> dict[str, Row]:
    """Import, first call, calls, streams, clients."""
    imported = {name: partial(_import, code) for name, code in _IMPORTS.items()}
    sizes = {name: partial(_memory_of, code) for name, code in _IMPORTS.items()}
    first_calls = {name: partial(_import, code) for name, code in _FIRST_CALLS.items()}
    split = "split + model_validate_json"
    return {
        "import": Row("import", "s", 1.1, "httpx + one model", imported, PEERS),
        "import-memory": Row("import, memory", "MB", 1.1, "httpx + one model", sizes, PEERS),
        "first-call": Row("import and first call", "s", None, "httpx + one model", first_calls, {}),
        "create": Row(
            "create() in process",
            "s",
            1.1,
            "httpx.Client.post + from_json",
            {
                "httpx.Client.post + from_json": _post,
                "ours": _create,
                "portkey-ai": _portkey_ai_create,
                "openai": _openai_create,
            },
            PEERS,
        ),
        "create-async": Row(
            "create() in process, async",
            "s",
            1.1,
            "httpx.AsyncClient.post + from_json",
            {"httpx.AsyncClient.post + from_json": _apost, "ours": _acreate},
            {},
        ),
        "stream": Row(
            "stream of 2,000 chunks, one event a read",
            "s",
            1.1,
            split,
            {
                split: partial(_split_and_validate, EVENTS),
                "ours": partial(_stream, EVENTS),
                "portkey-ai": _portkey_ai_stream,
                "openai": _openai_stream,
            },
            PEERS,
        ),
        "stream-coalesced": Row(
            "stream of 2,000 chunks, 80 events a read",
            "s",
            1.1,
            split,
            {split: partial(_split_and_validate, EIGHTY_A_READ), "ours": partial(_stream, EIGHTY_A_READ)},
            {},
        ),
        "stream-async": Row(
            "stream of 2,000 chunks, one event a read, async",
            "s",
            None,
            split,
            {
                split: partial(_split_and_validate, EVENTS),
                "the same from httpx.AsyncClient": _asplit_and_validate,
                "ours": _astream,
            },
            {},
        ),
        "new-client": Row(
            "one more client in a process",
            "s",
            1.5,
            "httpx.Client, SSL context ready",
            {"httpx.Client, SSL context ready": _new_httpx_client, "ours": _new_client, "portkey-ai": _new_portkey_ai},
            PEERS,
        ),
    }


_IMPORTS: Final[Mapping[str, str]] = {
    "httpx + one model": """
import httpx
from pydantic import BaseModel

class Model(BaseModel):
    name: str
""",
    "ours": "from portkey_client import ChatCompletions, Portkey",
    "portkey-ai": "from portkey_ai import Portkey",
    "openai": "from openai import OpenAI",
}

_FIRST_CALLS: Final[Mapping[str, str]] = {
    "httpx + one model": f"""
import httpx
from pydantic import BaseModel

class Message(BaseModel):
    content: str | None = None

class Choice(BaseModel):
    message: Message

class Completion(BaseModel):
    choices: list[Choice]

transport = httpx.MockTransport(lambda _: httpx.Response(200, content={ANSWER!r}))
client = httpx.Client(transport=transport)
Completion.model_validate_json(client.post({URL!r}, json={REQUEST!r}).content)
""",
    "ours": f"""
import httpx
from portkey_client import Portkey

transport = httpx.MockTransport(lambda _: httpx.Response(200, content={ANSWER!r}))
client = Portkey(api_key="key", http_client=httpx.Client(transport=transport))
client.chat.completions.create(model="gpt-4o", messages={MESSAGES!r})
""",
}

_TIMED: Final = """
import time
started = time.process_time()
{code}
print(time.process_time() - started)
"""
_SIZED: Final = """
{code}
from benchmarks.timing import peak_memory
print(peak_memory())
"""


def _import(code: str) -> Sample:
    return lambda: _printed(_TIMED.format(code=code))


def _memory_of(code: str) -> Sample:
    return lambda: _printed(_SIZED.format(code=code))


def _printed(code: str) -> float:
    """The number that a program prints, in a process that has imported nothing else."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def _answering() -> Any:
    import httpx

    headers = {"content-type": "application/json"}
    return httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, content=ANSWER))


def _post() -> Sample:
    import httpx
    from pydantic_core import from_json

    client = httpx.Client(transport=_answering())
    headers = {"x-portkey-api-key": "key", "x-portkey-provider": "openai"}
    return batches(lambda: from_json(client.post(URL, json=REQUEST, headers=headers).content))


def _create() -> Sample:
    import httpx

    from portkey_client import Portkey

    client = Portkey(api_key="key", config=CONFIG, http_client=httpx.Client(transport=_answering()))
    return batches(lambda: client.chat.completions.create(model="gpt-4o", messages=MESSAGES))


def _apost() -> Sample:
    import httpx
    from pydantic_core import from_json

    client = httpx.AsyncClient(transport=_answering())
    headers = {"x-portkey-api-key": "key", "x-portkey-provider": "openai"}

    async def ask() -> None:
        from_json((await client.post(URL, json=REQUEST, headers=headers)).content)

    return _in_a_loop(ask)


def _acreate() -> Sample:
    import httpx

    from portkey_client import AsyncPortkey

    client = AsyncPortkey(api_key="key", config=CONFIG, http_client=httpx.AsyncClient(transport=_answering()))
    return _in_a_loop(lambda: client.chat.completions.create(model="gpt-4o", messages=MESSAGES))


def _in_a_loop(ask: Callable[[], Awaitable[object]], calls: int = CALLS_A_LOOP) -> Sample:
    """A batch of async calls, one after the other."""

    async def run() -> None:
        for _ in range(calls):
            await ask()

    return batches(lambda: asyncio.run(run()), counts=calls)


def _portkey_ai_create() -> Sample:
    import httpx
    import portkey_ai

    client = portkey_ai.Portkey(api_key="key", config=CONFIG, http_client=httpx.Client(transport=_answering()))
    return batches(lambda: client.chat.completions.create(model="gpt-4o", messages=MESSAGES))


def _openai_create() -> Sample:
    import httpx2
    import openai

    headers = {"content-type": "application/json"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=ANSWER))
    client = openai.OpenAI(api_key="key", base_url=BASE_URL, http_client=httpx2.Client(transport=transport))
    return batches(lambda: client.chat.completions.create(model="gpt-4o", messages=MESSAGES))


def _split_and_validate(reads: list[bytes]) -> Sample:
    from portkey_client import ChatCompletionChunk

    validate = ChatCompletionChunk.model_validate_json

    def run() -> None:
        for data in reads:
            for event in data.split(b"\n\n"):
                if event and event != b"data: [DONE]":
                    validate(event[6:])

    return batches(run)


def streaming(reads: Iterable[bytes], library: Any) -> Any:
    """A transport of `library` whose every answer is a stream in these reads."""

    class Reads(library.SyncByteStream):  # type: ignore[misc]  # httpx or httpx2, whichever is asked for
        def __iter__(self) -> Iterator[bytes]:
            yield from reads

    headers = {"content-type": "text/event-stream"}
    return library.MockTransport(lambda _: library.Response(200, headers=headers, stream=Reads()))


def _stream(reads: list[bytes]) -> Sample:
    import httpx

    from portkey_client import Portkey

    client = Portkey(api_key="key", config=CONFIG, http_client=httpx.Client(transport=streaming(reads, httpx)))
    return batches(lambda: _drain(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)))


def _portkey_ai_stream() -> Sample:
    import httpx
    import portkey_ai

    http_client = httpx.Client(transport=streaming(EVENTS, httpx))
    client = portkey_ai.Portkey(api_key="key", config=CONFIG, http_client=http_client)
    return batches(lambda: _drain(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)))


def _openai_stream() -> Sample:
    import httpx2
    import openai

    http_client = httpx2.Client(transport=streaming(EVENTS, httpx2))
    client = openai.OpenAI(api_key="key", base_url=BASE_URL, http_client=http_client)
    return batches(lambda: _drain(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)))


def _astream() -> Sample:
    from portkey_client import AsyncPortkey

    client = AsyncPortkey(api_key="key", config=CONFIG, http_client=_streaming_async())

    async def read() -> None:
        stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        async for _ in stream:
            pass

    return _in_a_loop(read, STREAMS_A_LOOP)


def _asplit_and_validate() -> Sample:
    """What awaiting each read costs whoever streams with httpx."""
    from portkey_client import ChatCompletionChunk

    validate = ChatCompletionChunk.model_validate_json
    client = _streaming_async()

    async def read() -> None:
        async with client.stream("POST", URL, json=REQUEST) as response:
            async for data in response.aiter_raw():
                for event in data.split(b"\n\n"):
                    if event and event != b"data: [DONE]":
                        validate(event[6:])

    return _in_a_loop(read, STREAMS_A_LOOP)


def _streaming_async() -> Any:
    import httpx

    class Reads(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for read in EVENTS:
                yield read

    headers = {"content-type": "text/event-stream"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=Reads()))
    return httpx.AsyncClient(transport=transport)


def _drain(stream: Iterable[object]) -> None:
    for _ in stream:
        pass


def _new_httpx_client() -> Sample:
    import httpx

    context = httpx.create_ssl_context()
    return batches(lambda: httpx.Client(verify=context).close())


def _new_client() -> Sample:
    from portkey_client import Portkey

    return batches(lambda: Portkey(api_key="key").close())


def _new_portkey_ai() -> Sample:
    import portkey_ai

    return batches(lambda: portkey_ai.Portkey(api_key="key"))
