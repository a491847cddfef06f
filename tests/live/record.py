"""`scripts/record-cassettes`: the cassettes of this repository, recorded from the real gateway.

Behind the gateway a loopback provider plays what is scripted here. The recordings must not know of it, so the header
that sends the gateway there is added below the recording transport.
"""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from examples import agent
from portkey_client import AuthenticationError, GuardrailError, IncompleteStreamError, Portkey, PortkeyError
from portkey_testing.cassettes import Recorder, RecordingTransport, load_cassette
from portkey_testing.cassettes.verify import moved
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
        raises: What the application ends in; nothing for an answer.
    """

    name: str
    steps: Sequence[Mapping[str, Any]]
    run: Callable[[Portkey], str]
    raises: tuple[type[PortkeyError], ...] = ()

    def outcome(self, client: Portkey) -> str:
        """What the application says, or what is raised in it."""
        try:
            return self.run(client)
        except self.raises as error:
            return str(error)


ONE_PROVIDER: Final = {"provider": "openai", "api_key": "OPENAI_KEY"}
ON_TOPIC: Final = {"default.regexMatch": {"rule": "[Ww]eather"}, "deny": True, "id": "on-topic"}
QUESTION: Final = "Weather in Oslo?"


def _call(index: int) -> dict[str, Any]:
    function = {"name": "get_weather", "arguments": ""}
    return {"tool_calls": [{"index": index, "id": f"call_{index + 1}", "type": "function", "function": function}]}


def _arguments(index: int, *parts: str) -> list[dict[str, Any]]:
    return [{"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in parts]


def _streamed(*deltas: object, **fields: Any) -> dict[str, Any]:
    return {"kind": "openai_sse", "deltas": list(deltas), "gap": 0.02, **fields}


def _guarded(client: Portkey) -> str:
    return agent_ask(client.with_options(config={**ONE_PROVIDER, "input_guardrails": [ON_TOPIC]}), "Tell me a joke")


def _one_provider(client: Portkey) -> str:
    return agent_ask(client.with_options(config=ONE_PROVIDER), QUESTION)


def agent_ask(client: Portkey, question: str) -> str:
    """One question of an application that has one client."""
    answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content or ""


def _read_stream(client: Portkey) -> str:
    messages = [{"role": "user", "content": QUESTION}]
    with client.chat.completions.create(model="gpt-4o", messages=messages, stream=True) as stream:
        return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)


RECORDINGS: Final = (
    Recording("agent/plain.yaml", [{"kind": "openai", "text": "21 degrees"}], lambda c: agent_ask(c, QUESTION)),
    Recording(
        "agent/streamed_tool_call.yaml",
        [
            _streamed(
                {"content": None, **_call(0)},
                *_arguments(0, '{"loca', 'tion":"Os', 'lo"}'),
                finish_reason="tool_calls",
            ),
            _streamed("It is ", "21 degrees ", "in Oslo."),
        ],
        lambda client: agent.run_agent(QUESTION, client=client),
    ),
    Recording(
        "agent/parallel_tool_calls.yaml",
        [
            _streamed(
                {"content": None, **_call(0)},
                *_arguments(0, '{"location":', '"Oslo"}'),
                _call(1),
                *_arguments(1, '{"location":', '"Bergen"}'),
                finish_reason="tool_calls",
            ),
            _streamed("Oslo 21, ", "Bergen 14."),
        ],
        lambda client: agent.run_agent("Weather in Oslo and Bergen?", client=client),
    ),
    Recording(
        "agent/fallback.yaml",
        [
            {"status": 429, "body": {"error": {"message": "Rate limit reached", "type": "requests", "code": None}}},
            {"kind": "anthropic", "text": "21 degrees"},
        ],
        lambda client: agent_ask(client, QUESTION),
    ),
    Recording("agent/guardrail.yaml", [{"kind": "openai", "text": "never asked"}], _guarded, (GuardrailError,)),
    Recording(
        "agent/error.yaml",
        [{"status": 401, "body": {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}}],
        _one_provider,
        (AuthenticationError,),
    ),
    Recording(
        "agent/interrupted_stream.yaml",
        [_streamed("It is ", "raining ", "cats ", drop_after=2)],
        _read_stream,
        (IncompleteStreamError,),
    ),
)


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
    provider.load("recording", {"provider": list(recording.steps)})
    onward = _ThroughLoopback(provider.url("recording", "provider") + "/v1")
    with (
        Recorder(file, "rewrite", gateway=f"open-source {RealGateway.version()}") as recorder,
        httpx.Client(transport=RecordingTransport(onward, recorder)) as http_client,
    ):
        recording.outcome(agent.client.with_options(base_url=gateway.base_url, http_client=http_client))
    return file


def check(file: Path, name: str) -> list[str]:
    """What moved, of what should not, between the cassette of that name and its recording in `file`."""
    kept = load_cassette(CASSETTES / name).interactions
    now = load_cassette(file).interactions
    if len(kept) != len(now):
        return [f"{name}: {len(kept)} interactions were recorded, now {len(now)}"]
    return [
        f"{name}, interaction {number}: {difference}"
        for number, pair in enumerate(zip(kept, now, strict=True), 1)
        for difference in moved(*pair)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Record every cassette; the exit status is 0, 1 if `--check` found something, 2 where the gateway cannot run."""
    parser = argparse.ArgumentParser(prog="scripts/record-cassettes", description="Record this repository's cassettes.")
    parser.add_argument(
        "--check",
        action="store_true",
        help="record into a temporary folder, and say what moved beside times, dates and ids",
    )
    options = parser.parse_args(arguments)
    try:
        with RealGateway() as gateway, LoopbackProvider() as provider, _folder(CASSETTES, kept=not options.check) as to:
            found = []
            for recording in RECORDINGS:
                file = record(recording, gateway, provider, to)
                print(recording.name)
                found += check(file, recording.name) if options.check else []
    except GatewayUnavailableError as error:
        print(f"scripts/record-cassettes: {error}", file=sys.stderr)
        return 2
    print("\n".join(found or ["nothing moved"] if options.check else []))
    return 1 if found else 0


@contextmanager
def _folder(cassettes: Path, *, kept: bool) -> Generator[Path]:
    if kept:
        yield cassettes
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


if __name__ == "__main__":
    sys.exit(main())
