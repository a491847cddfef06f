"""What the claims of `test_claims.py` ask of an SDK, and what it makes of the answers, in one form for all of them.

An SDK is driven as an application drives it, through its public interface; nothing of it is changed or replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

OPENAI: Final = {"provider": "openai", "api_key": "OPENAI_KEY"}
ANTHROPIC: Final = {
    "provider": "anthropic",
    "api_key": "ANTHROPIC_KEY",
    "override_params": {"model": "claude-sonnet-4-5", "max_tokens": 1024},
}
FALLBACK: Final = {"strategy": {"mode": "fallback"}, "targets": [OPENAI, ANTHROPIC]}

QUESTION: Final = "Weather in Oslo?"


@dataclass(frozen=True, slots=True)
class Ask:
    """A chat request.

    Attributes:
        messages: The conversation, in OpenAI's form.
        config: The gateway's config.
        stream: Whether the answer is streamed.
        params: Further parameters of the request, such as `tools`.
        max_retries: How often the SDK may try again.
        timeout: Seconds that the SDK waits.
    """

    messages: Sequence[Mapping[str, Any]] = ({"role": "user", "content": QUESTION},)
    config: Mapping[str, Any] = field(default_factory=lambda: OPENAI)
    stream: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    max_retries: int = 0
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as the SDK gave it to the application."""

    id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as the SDK gave it to the application.

    Attributes:
        id: Id of the completion.
        text: What was said, the pieces of a stream put together.
        tool_calls: Their arguments are parsed.
        finish_reason: As the SDK names it.
        tokens: Total tokens; None where the SDK was not told.
        pieces: The texts of a stream's chunks, empty ones left out.
    """

    id: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    tokens: int | None = None
    pieces: tuple[str, ...] = ()


class SdkError(Exception):
    """What the SDK raised.

    Attributes:
        kinds: Names of its class and of that class's bases: an application catches any of them.
        status: HTTP status; None where there was no answer.
        message: Its text.
    """

    def __init__(self, kinds: Sequence[str], status: int | None, message: str) -> None:
        super().__init__(f"{kinds[0]} (status {status}): {message}")
        self.kinds = tuple(kinds)
        self.status = status
        self.message = message


class Sdk(Protocol):
    """One SDK, used in one way.

    Attributes:
        name: For the id of a test.
        in_process: Whether it runs in the test's process, so that the fixture catches it, in virtual time.
        stores: Whether it has the methods of stored completions.
        retries_429: Whether it tries again after a 429 when it may.
        swallows: Whether it gathers even what is not an `Exception`, and then falls over it.
        has_timeout: Whether it gives up on a gateway that is silent.
    """

    name: str
    in_process: bool
    stores: bool
    retries_429: bool
    has_timeout: bool
    swallows: bool

    def chat(self, base_url: str | None, ask: Ask) -> Said:
        """Send a chat request; without a URL, to wherever the environment points it.

        Raises:
            SdkError: the SDK raised something.
        """
        ...

    def stored(self, base_url: str, method: str, completion_id: str | None, **params: Any) -> dict[str, Any]:
        """Call a method of stored completions (`retrieve`, `update`, `list`, `delete`, `messages`); its JSON.

        Raises:
            SdkError: the SDK raised something.
        """
        ...
