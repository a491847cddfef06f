"""The fake gateway's rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

from benchmarks.client import streaming
from benchmarks.data import ANSWER, CHUNKS, CONFIG, FALLBACK, LANDING, MESSAGES, NESTED, URL
from benchmarks.rows import Row
from benchmarks.timing import Sample, batches, peak_memory, per_operation

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
            "what a further attempt adds to a faked call",
            "s",
            0.1,
            "respx static route",
            {"respx static route": _static_route, "ours": lambda: _more(_fallen_back(), _faked(LANDING))},
            {},
        ),
        "routing": Row(
            "what 50 targets, nested 5 deep, add to a faked call",
            "s",
            1.0,
            "respx static route",
            {"respx static route": _static_route, "ours": lambda: _more(_faked(NESTED), _faked(CONFIG))},
            {},
        ),
        "routing-cold": Row(
            "what it adds that their config was not seen before",
            "s",
            1.0,
            "respx static route",
            {
                "respx static route": _static_route,
                "ours": lambda: _more(_sending(NESTED, new=True), _sending(NESTED, new=False)),
            },
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
            "what 200 rules add to a faked call, the last one matches",
            "s",
            0.2,
            "respx static route",
            {"respx static route": _static_route, "ours": lambda: _more(_rules(), _faked(CONFIG))},
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


def _static_route() -> Sample:
    import httpx
    import respx

    client = _client(CONFIG)
    router = respx.mock(assert_all_called=False)
    route = router.post(URL).mock(return_value=httpx.Response(200, content=ANSWER))

    def ask() -> None:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        router.calls.clear()
        route.calls.clear()

    return _while_mounted(lambda: router, ask)


def _faked(config: Any) -> Sample:
    from portkey_testing import FakeGateway

    fake = FakeGateway()
    fake.always("It is 21 degrees and sunny. A T-shirt will do.")
    return _asking(fake, _client(config))


def _sending(config: Any, *, new: bool) -> Sample:
    """Faked calls that bring their config along, each another one if it is to be `new`."""
    from portkey_testing import FakeGateway

    fake = FakeGateway()
    fake.always("It is 21 degrees and sunny. A T-shirt will do.")
    client = _client(None)
    written, numbers = json.dumps(config), count()

    def ask() -> None:
        key = f'"key-{next(numbers)}"' if new else '"key-1"'
        headers = {"x-portkey-config": written.replace('"key"', key)}
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, extra_headers=headers)
        fake.calls.clear()

    return _while_mounted(fake.mounted, ask)


def _fallen_back() -> Sample:
    from portkey_testing import FakeGateway, error

    fake = FakeGateway()
    fake.provider("openai").always(error("overloaded"))
    fake.provider("groq").always("It is 21 degrees and sunny. A T-shirt will do.")
    return _asking(fake, _client(FALLBACK))


def _rules() -> Sample:
    from portkey_testing import FakeGateway

    fake = FakeGateway()
    for number in range(199):
        fake.when(message=f"question {number}").always(f"answer {number}")
    fake.when(message="Oslo").always("It is 21 degrees and sunny. A T-shirt will do.")
    return _asking(fake, _client(CONFIG))


def _asking(fake: Any, client: Any) -> Sample:
    def ask() -> None:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        fake.calls.clear()

    return _while_mounted(fake.mounted, ask)


def _while_mounted(mount: Callable[[], AbstractContextManager[Any]], ask: Callable[[], None]) -> Sample:
    """Calls while something is mounted, which it is for the batch only: another contender has its turn after it."""
    with mount():
        batch = batches(ask)

    def sample() -> float:
        with mount():
            ask()
            return batch()

    return sample


def _more(with_it: Sample, without: Sample) -> Sample:
    """How much more one takes than the other."""
    return lambda: with_it() - without()


def _mock_stream() -> Sample:
    import httpx

    from portkey_client import Portkey

    events = _recorded_events()
    client = Portkey(api_key="key", config=CONFIG, http_client=httpx.Client(transport=streaming(events, httpx)))
    return batches(lambda: _drain(client))


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


def _faked_stream() -> Sample:
    from portkey_testing import FakeGateway, text

    fake = FakeGateway()
    fake.always(text(_long_text(CHUNKS)))
    client = _client(CONFIG)

    def read() -> None:
        _drain(client)
        fake.calls.clear()

    return _while_mounted(fake.mounted, read)


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
