"""The client's rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from benchmarks.data import ANSWER, BASE_URL, CONFIG, EIGHTY_A_READ, EVENTS, MESSAGES, REQUEST, URL
from benchmarks.rows import Row
from benchmarks.timing import once, peak_memory, per_operation


def rows() -> dict[str, Row]:
    """Import, calls, streams, clients."""
    peers = {"portkey-ai": "portkey_ai", "openai": "openai"}
    return {
        "import": Row("import, time", "s", 1.1, "floor", {n: partial(_import, n, once) for n in _IMPORTS}, peers),
        "import-memory": Row(
            "import, memory", "MB", 1.1, "floor", {n: partial(_import, n, _memory_of) for n in _IMPORTS}, peers
        ),
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
            peers,
        ),
        "stream": Row(
            "stream of 2,000 chunks, one event a read",
            "s",
            1.1,
            "split + model_validate_json",
            {
                "split + model_validate_json": partial(_split_and_validate, EVENTS),
                "ours": partial(_stream, EVENTS),
                "portkey-ai": _portkey_ai_stream,
                "openai": _openai_stream,
            },
            peers,
        ),
        "stream-coalesced": Row(
            "stream of 2,000 chunks, 80 events a read",
            "s",
            1.1,
            "split + model_validate_json",
            {
                "split + model_validate_json": partial(_split_and_validate, EIGHTY_A_READ),
                "ours": partial(_stream, EIGHTY_A_READ),
            },
            {},
        ),
        "new-client": Row(
            "one more client in a process",
            "s",
            1.5,
            "httpx.Client, SSL context ready",
            {"httpx.Client, SSL context ready": _new_httpx_client, "ours": _new_client, "portkey-ai": _new_portkey_ai},
            peers,
        ),
    }


def _import_floor() -> object:
    import httpx
    from pydantic import BaseModel

    class Model(BaseModel):
        name: str

    return httpx, Model


def _import_ours() -> object:
    import portkey_client

    return portkey_client.Portkey, portkey_client.ChatCompletions


def _import_openai() -> object:
    import openai

    return openai.OpenAI


def _import_portkey_ai() -> object:
    import portkey_ai

    return portkey_ai.Portkey


_IMPORTS: dict[str, Callable[[], object]] = {
    "floor": _import_floor,
    "ours": _import_ours,
    "portkey-ai": _import_portkey_ai,
    "openai": _import_openai,
}


def _import(name: str, measure: Callable[[Callable[[], object]], float]) -> float:
    if "httpx" in sys.modules:
        raise RuntimeError("an import can only be measured in a process that has not made it")
    return measure(_IMPORTS[name])


def _memory_of(operation: Callable[[], object]) -> float:
    operation()
    return peak_memory()


def _answering() -> Any:
    import httpx

    headers = {"content-type": "application/json"}
    return httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, content=ANSWER))


def _post() -> float:
    import httpx
    from pydantic_core import from_json

    client = httpx.Client(transport=_answering())
    headers = {"x-portkey-api-key": "key", "x-portkey-provider": "openai"}
    return per_operation(lambda: from_json(client.post(URL, json=REQUEST, headers=headers).content))


def _create() -> float:
    import httpx

    from portkey_client import Portkey

    client = Portkey(api_key="key", config=CONFIG, http_client=httpx.Client(transport=_answering()))
    return per_operation(lambda: client.chat.completions.create(model="gpt-4o", messages=MESSAGES))


def _portkey_ai_create() -> float:
    import httpx
    import portkey_ai

    client = portkey_ai.Portkey(api_key="key", config=CONFIG, http_client=httpx.Client(transport=_answering()))
    return per_operation(lambda: client.chat.completions.create(model="gpt-4o", messages=MESSAGES))


def _openai_create() -> float:
    import httpx2
    import openai

    headers = {"content-type": "application/json"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=ANSWER))
    client = openai.OpenAI(api_key="key", base_url=BASE_URL, http_client=httpx2.Client(transport=transport))
    return per_operation(lambda: client.chat.completions.create(model="gpt-4o", messages=MESSAGES))


def _split_and_validate(reads: list[bytes]) -> float:
    from portkey_client import ChatCompletionChunk

    validate = ChatCompletionChunk.model_validate_json

    def run() -> None:
        for data in reads:
            for event in data.split(b"\n\n"):
                if event and event != b"data: [DONE]":
                    validate(event[6:])

    return per_operation(run)


def streaming(reads: Iterable[bytes], library: Any) -> Any:
    """A transport of `library` whose every answer is a stream in these reads."""

    class Reads(library.SyncByteStream):  # type: ignore[misc]  # httpx or httpx2, whichever is asked for
        def __iter__(self) -> Iterator[bytes]:
            yield from reads

    headers = {"content-type": "text/event-stream"}
    return library.MockTransport(lambda _: library.Response(200, headers=headers, stream=Reads()))


def _stream(reads: list[bytes]) -> float:
    import httpx

    from portkey_client import Portkey

    client = Portkey(api_key="key", config=CONFIG, http_client=httpx.Client(transport=streaming(reads, httpx)))
    return per_operation(lambda: _drain(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)))


def _portkey_ai_stream() -> float:
    import httpx
    import portkey_ai

    http_client = httpx.Client(transport=streaming(EVENTS, httpx))
    client = portkey_ai.Portkey(api_key="key", config=CONFIG, http_client=http_client)
    return per_operation(lambda: _drain(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)))


def _openai_stream() -> float:
    import httpx2
    import openai

    http_client = httpx2.Client(transport=streaming(EVENTS, httpx2))
    client = openai.OpenAI(api_key="key", base_url=BASE_URL, http_client=http_client)
    return per_operation(lambda: _drain(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)))


def _drain(stream: Iterable[object]) -> None:
    for _ in stream:
        pass


def _new_httpx_client() -> float:
    import httpx

    context = httpx.create_ssl_context()
    return per_operation(lambda: httpx.Client(verify=context).close())


def _new_client() -> float:
    from portkey_client import Portkey

    return per_operation(lambda: Portkey(api_key="key").close())


def _new_portkey_ai() -> float:
    import portkey_ai

    return per_operation(lambda: portkey_ai.Portkey(api_key="key"))
