"""The fake gateway's rows."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.client import streaming
from benchmarks.data import ANSWER, CHUNKS, CONFIG, FALLBACK, MESSAGES, NESTED, URL
from benchmarks.rows import Row
from benchmarks.timing import peak_memory, per_operation

MILLION = 1_000_000


def rows() -> dict[str, Row]:
    """Faked calls and streams, matching, the fixture, memory."""
    return {
        "faked-call": Row(
            "one faked call through respx",
            "s",
            1.2,
            "respx static route",
            {"respx static route": _static_route, "ours": lambda: _faked(CONFIG)},
            {},
        ),
        "faked-fallback": Row(
            "the same with a second attempt",
            "s",
            1.3,
            "respx static route",
            {"respx static route": _static_route, "ours": _fallen_back},
            {},
        ),
        "routing": Row(
            "what 50 targets, nested 5 deep, add to a faked call",
            "s",
            1.0,
            "respx static route",
            {"respx static route": _static_route, "ours": lambda: _faked(NESTED) - _faked(CONFIG)},
            {},
        ),
        "faked-stream": Row(
            "faked stream of 2,000 chunks",
            "s",
            1.3,
            "MockTransport generator",
            {"MockTransport generator": _mock_stream, "ours": _faked_stream},
            {},
        ),
        "fixture": Row(
            "fixture set up and torn down",
            "s",
            1.2,
            "respx.mock",
            {"respx.mock": _respx_mock, "ours": _fixture},
            {},
        ),
        "rules": Row(
            "200 rules, the last one matches",
            "s",
            1.4,
            "respx static route",
            {"respx static route": _static_route, "ours": _rules},
            {},
        ),
        "million": Row(
            "a stream of a million chunks, memory",
            "MB",
            1.1,
            "a stream of a thousand",
            {"a stream of a thousand": lambda: _long(1_000), "ours": lambda: _long(MILLION)},
            {},
        ),
    }


def _client(config: Any) -> Any:
    from portkey_client import Portkey

    return Portkey(api_key="key", config=config)


def _static_route() -> float:
    import httpx
    import respx

    client = _client(CONFIG)
    with respx.mock:
        respx.post(URL).mock(return_value=httpx.Response(200, content=ANSWER))
        return per_operation(lambda: _ask_respx(client))


def _ask_respx(client: Any) -> None:
    import respx

    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    respx.mock.calls.clear()


def _faked(config: Any) -> float:
    from portkey_testing import FakeGateway

    fake = FakeGateway()
    fake.always("It is 21 degrees and sunny. A T-shirt will do.")
    client = _client(config)
    with fake.mount():
        return per_operation(lambda: _ask(fake, client))


def _fallen_back() -> float:
    from portkey_testing import FakeGateway, error

    fake = FakeGateway()
    fake.provider("openai").always(error("overloaded"))
    fake.provider("groq").always("It is 21 degrees and sunny. A T-shirt will do.")
    client = _client(FALLBACK)
    with fake.mount():
        return per_operation(lambda: _ask(fake, client))


def _rules() -> float:
    from portkey_testing import FakeGateway

    fake = FakeGateway()
    for number in range(199):
        fake.when(message=f"question {number}").always(f"answer {number}")
    fake.when(message="Oslo").always("It is 21 degrees and sunny. A T-shirt will do.")
    client = _client(CONFIG)
    with fake.mount():
        return per_operation(lambda: _ask(fake, client))


def _ask(fake: Any, client: Any) -> None:
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    fake.calls.clear()


def _mock_stream() -> float:
    import httpx

    from portkey_client import Portkey

    events = _recorded_events()
    client = Portkey(api_key="key", config=CONFIG, http_client=httpx.Client(transport=streaming(events, httpx)))
    return per_operation(lambda: _drain(client))


def _recorded_events() -> list[bytes]:
    """What the fake sends, so that both sides of the comparison read the same bytes."""
    import httpx

    from portkey_testing import FakeGateway, text

    fake = FakeGateway()
    fake.always(text(_long_text(CHUNKS)))
    with httpx.Client(transport=fake.transport()) as client:
        body = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
        with client.stream("POST", URL, json=body, headers={"x-portkey-config": json.dumps(CONFIG)}) as response:
            return list(response.iter_raw())


def _faked_stream() -> float:
    from portkey_testing import FakeGateway, text

    fake = FakeGateway()
    fake.always(text(_long_text(CHUNKS)))
    client = _client(CONFIG)
    with fake.mount():
        return per_operation(lambda: _drain(client))


def _drain(client: Any) -> None:
    for _ in client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True):
        pass


def _long_text(words: int) -> str:
    return " ".join(f"word{number}" for number in range(words))


def _long(chunks: int) -> float:
    """Peak memory after a stream of that many one-letter chunks was read."""
    from portkey_testing import FakeGateway, text

    fake = FakeGateway()
    fake.always(text("x" * chunks).streamed(by="char"))
    with fake.mount():
        _drain(_client(CONFIG))
    return peak_memory()


def _respx_mock() -> float:
    import respx

    def run() -> None:
        with respx.mock:
            pass

    return per_operation(run)


def _fixture() -> float:
    from portkey_testing import FakeGateway

    def run() -> None:
        with FakeGateway().mount():
            pass

    return per_operation(run)
