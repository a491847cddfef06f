"""`scripts/record-cassettes`: the cassettes of this repository, recorded from the real gateway.

Behind the gateway a loopback provider plays what is scripted here. The recordings must not know of it, so the header
that sends the gateway there is added below the recording transport.
"""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from examples import agent
from portkey_client import Portkey
from portkey_testing.cassettes import Recorder, RecordingTransport
from tests.live.gateway import GatewayUnavailableError, RealGateway
from tests.live.provider import LoopbackProvider

CASSETTES: Final = Path(__file__).resolve().parents[2] / "cassettes"


@dataclass(frozen=True, slots=True)
class Recording:
    """How one cassette comes about.

    Attributes:
        name: Its path below `cassettes/`.
        steps: What the provider plays, one step for each request.
        run: The application, given a client.
    """

    name: str
    steps: list[Mapping[str, Any]]
    run: Callable[[Portkey], object]


def _streamed_tool_call() -> Recording:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    fragments = [
        {"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in ('{"loca', 'tion":"Os', 'lo"}')
    ]
    return Recording(
        "agent/streamed_tool_call.yaml",
        [
            {
                "kind": "openai_sse",
                "deltas": [{"content": None, "tool_calls": [call]}, *fragments],
                "finish_reason": "tool_calls",
                "gap": 0.02,
            },
            {"kind": "openai_sse", "deltas": ["It is ", "21 degrees ", "in Oslo."], "gap": 0.02},
        ],
        lambda client: agent.run_agent("Weather in Oslo?", client=client),
    )


RECORDINGS: Final = (_streamed_tool_call(),)


class _ThroughLoopback(httpx.BaseTransport):
    """Sends every request on its way with the address of the scripted provider."""

    def __init__(self, custom_host: str) -> None:
        self._custom_host = custom_host
        self._network = httpx.HTTPTransport(verify=False, trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = [*request.headers.raw, (b"x-portkey-custom-host", self._custom_host.encode())]
        onward = httpx.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )
        return self._network.handle_request(onward)

    def close(self) -> None:
        self._network.close()


def record(recording: Recording, gateway: RealGateway, provider: LoopbackProvider, folder: Path) -> Path:
    """Record one cassette into `folder` and return its file."""
    file = folder / recording.name
    provider.load("recording", {"provider": recording.steps})
    onward = _ThroughLoopback(provider.url("recording", "provider") + "/v1")
    with Recorder(file, "rewrite", gateway=f"open-source {RealGateway.version()}") as recorder:
        http_client = httpx.Client(transport=RecordingTransport(onward, recorder))
        with agent.client.with_options(base_url=gateway.base_url, http_client=http_client) as client:
            recording.run(client)
    return file


def main() -> int:
    """Record every cassette; the exit status is 0, or 2 where the gateway cannot run."""
    try:
        with RealGateway() as gateway, LoopbackProvider() as provider:
            for recording in RECORDINGS:
                print(record(recording, gateway, provider, CASSETTES).relative_to(CASSETTES.parent))
    except GatewayUnavailableError as error:
        print(f"scripts/record-cassettes: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
