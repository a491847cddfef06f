"""The SDKs for Node: a process that does what it is told, line by line; `node/client.mjs` is its other side."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from tests.clients.sdk import OPENAI, Ask, Said, SdkError, ToolCall

HERE: Final = Path(__file__).resolve().parent
INSTALLED: Final = HERE.parents[1] / ".clients" / "node"
PROGRAM: Final = HERE / "node" / "client.mjs"


class Node:
    """The process; runs within `running`."""

    def __init__(self, requests: IO[str], outcomes: IO[str]) -> None:
        self._requests = requests
        self._outcomes = outcomes

    def do(self, request: Mapping[str, Any]) -> Any:
        """The result of a request.

        Raises:
            SdkError: the SDK threw something.
        """
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        outcome = json.loads(self._outcomes.readline())
        if "error" in outcome:
            raise SdkError(**outcome["error"])
        return outcome["result"]


@contextmanager
def running(environment: Mapping[str, str] | None = None) -> Generator[Node]:
    """Start the process, with variables beside those of this one, and end it when the block is left."""
    node = shutil.which("node")
    assert node is not None, "node was there when the SDKs were installed"
    with subprocess.Popen(
        [node, PROGRAM],
        cwd=INSTALLED,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Node(process.stdin, process.stdout)


def missing() -> str | None:
    """What keeps the SDKs from running here; None if nothing does."""
    if not INSTALLED.exists() or shutil.which("node") is None:
        return "the SDKs for Node are not installed: run scripts/clients (it needs Node 18 or newer with npm)"
    if (INSTALLED / "package-lock.json").read_bytes() != (HERE / "node" / "package-lock.json").read_bytes():
        return "the SDKs for Node are not the ones that are pinned: run scripts/clients"
    return None


@dataclass(slots=True)
class NodeSdk:
    """One SDK in that process."""

    sdk: str
    name: str
    retries_429: bool
    has_timeout: bool
    node: Node | None = None
    in_process: bool = False
    stores: bool = True
    swallows: bool = False

    def chat(self, base_url: str | None, ask: Ask) -> Said:
        said = self._do("chat", base_url=base_url, **asdict(ask))
        calls = (ToolCall(identity, name, json.loads(arguments)) for identity, name, arguments in said["tool_calls"])
        facts: dict[str, Any] = {**said, "tool_calls": tuple(calls), "pieces": tuple(said["pieces"])}
        return Said(**facts)

    def stored(self, base_url: str, method: str, completion_id: str | None, **params: Any) -> dict[str, Any]:
        settings = {"config": OPENAI, "max_retries": 0, "timeout": 5.0, "params": params}
        found: dict[str, Any] = self._do("stored", base_url=base_url, method=method, id=completion_id, **settings)
        return found

    def _do(self, what: str, **request: Any) -> Any:
        assert self.node is not None, "the fixture `sdk` starts it"
        return self.node.do({"do": what, "sdk": self.sdk, **request})


NODE = (
    NodeSdk("openai", name="node-openai", retries_429=True, has_timeout=True),
    NodeSdk("portkey-ai", name="node-portkey-ai", retries_429=False, has_timeout=False),
)
