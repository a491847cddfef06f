"""The cassettes' rows, on files of the same 2,000 exchanges.

The peers read the format of vcrpy, which cassetter understands as well, and match by method, URL and body, as ours
does. They look through the recordings one by one, so that replaying all takes vcrpy a quarter of an hour: a few
requests, evenly spread over the file, tell what all of them cost.
"""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.data import ANSWER, COMPLETION, CONFIG, URL
from benchmarks.rows import Row
from benchmarks.timing import Sample

INTERACTIONS = 2_000
FEW, MANY = 10, 10_000
SPREAD = 8
"""Requests that stand for all where all would take too long."""


def rows() -> dict[str, Row]:
    """Loading, replaying all, and whether the size of the file makes a call dearer."""
    peers = {"vcrpy": "vcr", "cassetter": "cassetter"}
    return {
        "cassette-load": Row(
            "cassette of 2,000: load",
            "s",
            0.6,
            "yaml.CSafeLoader",
            {
                "yaml.CSafeLoader": _safe_load,
                "ours": _load,
                "vcrpy, its own file": _load_vcrpy,
                "cassetter, vcrpy's file": _load_cassetter,
            },
            {"vcrpy, its own file": "vcr", "cassetter, vcrpy's file": "cassetter"},
        ),
        "cassette-load-again": Row(
            "cassette of 2,000: load, parsed before",
            "s",
            0.1,
            "yaml.CSafeLoader",
            {"yaml.CSafeLoader": _safe_load, "ours": _load_again},
            {},
        ),
        "cassette-replay": Row(
            "cassette of 2,000: replay all, body matched",
            "s",
            1.5,
            "respx static route",
            {
                "respx static route": lambda: _static_calls(INTERACTIONS),
                "ours": lambda: _replay(INTERACTIONS),
                "vcrpy": _replay_vcrpy,
                "cassetter": _replay_cassetter,
            },
            peers,
        ),
        "cassette-size": Row(
            "one replayed call, of 10,000 next to of 10",
            "s",
            1.25,
            "of 10",
            {"of 10": lambda: _one_of(FEW), "ours": lambda: _one_of(MANY), "of 2,000": lambda: _one_of(INTERACTIONS)},
            {},
        ),
    }


def _sample(operation: Callable[[], object]) -> Sample:
    """Seconds of the processor that one call of `operation` takes."""

    def sample() -> float:
        gc.collect()
        started = time.process_time()
        operation()
        return time.process_time() - started

    return sample


def _question(number: int) -> list[Any]:
    return [{"role": "user", "content": f"Question {number}"}]


@cache
def _folder() -> Path:
    """A folder for this process, that goes with it."""
    _folder_kept.append(tempfile.TemporaryDirectory(prefix="portkey-bench-"))
    return Path(_folder_kept[0].name)


_folder_kept: list[tempfile.TemporaryDirectory[str]] = []


@cache
def _cassette(interactions: int) -> Path:
    """A cassette of one exchange with so many different questions, as it is recorded."""
    import httpx

    from portkey_client import Portkey
    from portkey_testing.cassettes import JsonBody, Recorder, RecordingTransport, codec, load_cassette

    file = _folder() / f"{interactions}.yaml"
    json_type = {"content-type": "application/json"}
    canned = httpx.MockTransport(lambda _: httpx.Response(200, headers=json_type, content=ANSWER))
    with (
        Recorder(file, "rewrite") as recorder,
        httpx.Client(transport=RecordingTransport(canned, recorder)) as http_client,
    ):
        client = Portkey(api_key="key", config=CONFIG, http_client=http_client)
        client.chat.completions.create(model="gpt-4o", messages=_question(0))
    recorded = load_cassette(file)
    (one,) = recorded.interactions

    def asking(number: int) -> Any:
        body = JsonBody({"model": "gpt-4o", "messages": _question(number)})
        return replace(one, request=replace(one.request, body=body))

    file.write_text(codec.encode(replace(recorded, interactions=tuple(map(asking, range(interactions))))))
    return file


@cache
def _vcrpy_cassette() -> Path:
    """The same exchanges as vcrpy writes them."""
    import yaml

    file = _folder() / "vcrpy.yaml"
    interactions = [
        {
            "request": {
                "method": "POST",
                "uri": URL,
                "headers": {"content-type": ["application/json"], "x-portkey-config": [json.dumps(CONFIG)]},
                "body": json.dumps({"messages": _question(number), "model": "gpt-4o"}, separators=(",", ":")),
            },
            "response": {
                "status": {"code": 200, "message": "OK"},
                "headers": {"content-type": ["application/json"]},
                "body": {"string": json.dumps(COMPLETION)},
            },
        }
        for number in range(INTERACTIONS)
    ]
    file.write_text(yaml.dump({"version": 1, "interactions": interactions}, Dumper=yaml.CSafeDumper))
    return file


def _ask(numbers: Sequence[int]) -> None:
    from portkey_client import Portkey

    client = Portkey(api_key="key", config=CONFIG)
    for number in numbers:
        client.chat.completions.create(model="gpt-4o", messages=_question(number))


def _safe_load() -> Sample:
    import yaml

    text = _cassette(INTERACTIONS).read_text(encoding="utf-8")
    return _sample(lambda: list(yaml.load_all(text, Loader=yaml.CSafeLoader)))


def _load() -> Sample:
    from portkey_testing.cassettes import Replay

    file = _cassette(INTERACTIONS)
    return _sample(lambda: Replay(file))


def _load_again() -> Sample:
    from portkey_testing.cassettes import Replay

    file = _cassette(INTERACTIONS)
    Replay(file, cache=_folder())
    return _sample(lambda: Replay(file, cache=_folder()))


def _load_vcrpy() -> Sample:
    from vcr.cassette import Cassette

    file = str(_vcrpy_cassette())
    return _sample(lambda: Cassette.load(path=file))


def _load_cassetter() -> Sample:
    from cassetter import use_cassette

    file = _vcrpy_cassette()

    def load() -> None:
        with use_cassette(file, record_mode="none"):
            pass

    return _sample(load)


def _static_calls(count: int) -> Sample:
    import httpx
    import respx

    def calls() -> None:
        with respx.mock:
            respx.post(URL).mock(return_value=httpx.Response(200, content=ANSWER))
            _ask(range(count))

    return _sample(calls)


def _replay(count: int) -> Sample:
    """All calls; without the loading, which has a row of its own."""
    from portkey_testing import FakeGateway

    file = _cassette(count)

    def sample() -> float:
        fake = FakeGateway()
        with fake.mount(), fake.replay(file):
            return _sample(lambda: _ask(range(count)))()

    return sample


def _one_of(count: int) -> Sample:
    """One call: the median of a few, evenly spread over the file."""
    from portkey_testing import FakeGateway

    file = _cassette(count)

    def sample() -> float:
        fake = FakeGateway()
        with fake.mounted(), fake.replay(file, cache=_folder()):
            return statistics.median(_sample(partial(_ask, [number]))() for number in range(0, count, count // FEW))

    return sample


def _spread_over(cassette: Callable[[], AbstractContextManager[object]]) -> Sample:
    """What all calls cost, from a few."""
    numbers = range(INTERACTIONS // SPREAD // 2, INTERACTIONS, INTERACTIONS // SPREAD)

    def sample() -> float:
        with cassette():
            return _sample(lambda: _ask(numbers))() / len(numbers) * INTERACTIONS

    return sample


def _replay_vcrpy() -> Sample:
    import vcr

    file, match_on = str(_vcrpy_cassette()), ("method", "scheme", "host", "port", "path", "query", "body")
    return _spread_over(lambda: vcr.use_cassette(file, record_mode="none", match_on=match_on))


def _replay_cassetter() -> Sample:
    from cassetter import use_cassette

    file = _vcrpy_cassette()
    return _spread_over(lambda: use_cassette(file, record_mode="none", match_on=["method", "uri", "json_body"]))
