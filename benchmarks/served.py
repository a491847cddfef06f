"""The served fake's rows.

The load comes from `wrk`, a program in C: an HTTP client in Python would be the slowest part of the measurement.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from benchmarks.data import ANSWER, CONFIG, REQUEST, chunk
from benchmarks.rows import Row
from benchmarks.timing import Sample

WORDS: Final = 500
"""Content chunks of a stream."""

SECONDS: Final = 1
"""How long one burst of requests lasts; wrk takes whole seconds."""

AIMOCK: Final = Path(__file__).resolve().parents[1] / ".clients" / "aimock" / "node_modules" / ".bin" / "aimock"

TEXT: Final = "It is 21 degrees and sunny. A T-shirt will do."
LONG_TEXT: Final = " ".join(f"word{number}" for number in range(WORDS))


def rows() -> dict[str, Row]:
    """Requests on one connection and on 16, and the chunks of streams."""
    return {
        "served": _row("served on loopback, 1 connection, a request", connections=1, stream=False),
        "served-16": _row("served on loopback, 16 connections, a request", connections=16, stream=False),
        "served-stream": _row(f"served stream of {WORDS} chunks, 1 connection, a chunk", connections=1, stream=True),
        "served-stream-16": _row("the same on 16 connections", connections=16, stream=True),
    }


def _row(name: str, *, connections: int, stream: bool) -> Row:
    return Row(
        name,
        "s",
        1.4,
        "bare ASGI application",
        {
            "bare ASGI application": partial(_loaded, _bare, connections, stream=stream),
            "ours": partial(_loaded, _ours, connections, stream=stream),
            "aimock": partial(_loaded, _aimock, connections, stream=stream),
        },
        {"bare ASGI application": "wrk", "ours": "wrk", "aimock": str(AIMOCK)},
    )


def _loaded(start: Callable[[bool], str], connections: int, *, stream: bool) -> Sample:
    """A sample of a server: seconds that a request takes, or a chunk of a stream."""
    url = f"{start(stream)}/chat/completions"
    chunks = _chunks(url) if stream else 1
    script = _script(stream)

    def sample() -> float:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", script, url]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        if (trouble := re.search(r"Non-2xx.*|Socket errors.*", said)) is not None:
            raise SystemExit(f"{url}: {trouble[0]}")
        rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
        assert rate is not None, said
        return 1 / float(rate[1]) / chunks

    sample()  # warm
    return sample


def _chunks(url: str) -> int:
    """How many events with content a stream has, which is a matter of each server's chunking."""
    import httpx

    answer = httpx.post(url, json={**REQUEST, "stream": True}, headers=_headers(), trust_env=False)
    return answer.text.count('"content"')


def _headers() -> dict[str, str]:
    return {"content-type": "application/json", "x-portkey-config": json.dumps(CONFIG)}


@cache
def _script(stream: bool) -> str:
    """The file that tells wrk what to send."""
    body = json.dumps({**REQUEST, "stream": stream})
    lines = ['wrk.method = "POST"', f"wrk.body = [==[{body}]==]"]
    lines += [f'wrk.headers["{name}"] = [==[{value}]==]' for name, value in _headers().items()]
    with tempfile.NamedTemporaryFile("w", suffix=".lua", delete=False) as file:
        file.write("\n".join(lines))
    atexit.register(os.unlink, file.name)
    return file.name


# The servers. Each runs until the process ends.


def _running(server: AbstractContextManager[Any]) -> Any:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(server)


def _bare(stream: bool) -> str:
    """The least an ASGI application can do, on the same server with the same settings."""
    from portkey_testing.mounts.server import running

    events = [chunk(f"word{number}") for number in range(WORDS)] + [b"data: [DONE]\n\n"]

    async def whole(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWER})

    async def streamed(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for event in events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    app = streamed if stream else whole
    url: str = _running(running(lambda _: app, host="127.0.0.1", port=0)).url
    return url


def _ours(stream: bool) -> str:
    from portkey_testing import FakeGateway

    fake = FakeGateway()
    fake.always(LONG_TEXT if stream else TEXT)
    url: str = _running(fake.serve(time_scale=0)).url
    return url


def _aimock(stream: bool) -> str:
    folder = _running(tempfile.TemporaryDirectory())
    fixtures = {
        "match": {"userMessage": "Oslo"},
        "response": {"content": LONG_TEXT if stream else TEXT},
        "chunkSize": 7,
    }
    Path(folder, "fixtures.json").write_text(json.dumps({"fixtures": [fixtures]}), encoding="utf-8")
    Path(folder, "aimock.json").write_text(json.dumps({"llm": {"fixtures": f"{folder}/fixtures.json"}}), "utf-8")
    command = [str(AIMOCK), "--config", f"{folder}/aimock.json", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    atexit.register(process.terminate)
    assert process.stdout is not None
    listening = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert listening is not None, "aimock says where it listens"
    return f"{listening[0]}/v1"
