"""The cassettes' rows, on a file of 2,000 interactions."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.data import ANSWER, BASE_URL, CONFIG, URL
from benchmarks.rows import Row
from benchmarks.timing import once

INTERACTIONS = 2_000


def rows() -> dict[str, Row]:
    """Loading, and replaying all."""
    return {
        "cassette-load": Row(
            "cassette of 2,000: load",
            "s",
            0.6,
            "yaml.CSafeLoader",
            {"yaml.CSafeLoader": _safe_load, "ours": _load},
            {},
        ),
        "cassette-replay": Row(
            "cassette of 2,000: replay all",
            "s",
            1.5,
            "respx static route",
            {"respx static route": _static_calls, "ours": _replay},
            {},
        ),
    }


@cache
def _cassette() -> Path:
    """A cassette recorded from a canned gateway, in a folder that goes with the machine's temporary files."""
    import httpx

    from portkey_client import Portkey
    from portkey_testing.cassettes import Recorder, RecordingTransport

    file = Path(tempfile.gettempdir(), f"portkey-bench-{INTERACTIONS}.yaml")
    if not file.exists():
        canned = httpx.MockTransport(
            lambda _: httpx.Response(200, headers={"content-type": "application/json"}, content=ANSWER)
        )
        with Recorder(file, "rewrite") as recorder:
            transport = RecordingTransport(canned, recorder)
            client = Portkey(
                api_key="key", config=CONFIG, base_url=BASE_URL, http_client=httpx.Client(transport=transport)
            )
            _ask_all(client)
    return file


def _ask_all(client: Any) -> None:
    for number in range(INTERACTIONS):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": f"Question {number}"}])


def _safe_load() -> float:
    import yaml

    text = _cassette().read_text(encoding="utf-8")
    return once(lambda: list(yaml.load_all(text, Loader=yaml.CSafeLoader)))


def _load() -> float:
    from portkey_testing.cassettes import Replay

    file = _cassette()
    return once(lambda: Replay(file))


def _static_calls() -> float:
    import httpx
    import respx

    from portkey_client import Portkey

    client = Portkey(api_key="key", config=CONFIG)
    with respx.mock:
        respx.post(URL).mock(return_value=httpx.Response(200, content=ANSWER))
        return once(lambda: _ask_all(client))


def _replay() -> float:
    from portkey_client import Portkey
    from portkey_testing import FakeGateway

    fake = FakeGateway()
    client = Portkey(api_key="key", config=CONFIG)
    file = _cassette()
    with fake.mount(), fake.replay(file):
        return once(lambda: _ask_all(client))
