"""One attempt as the test's conditions and functions see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from portkey_testing import _conversation as conversation
from portkey_testing._conversation import ToolExchange
from portkey_testing.journal import UpstreamRequest
from portkey_testing.timeline import GatewayRequest


@dataclass(eq=False)  # not frozen: one is made for every attempt, and that would take several times as long
class AttemptView:
    """One attempt as conditions and reply functions see it.

    What is read from the conversation is read once, however many scripts ask for it.

    Attributes:
        provider: Provider of the target, as in the config.
        target: Path of the target, such as `config.targets[1]`.
        number: Which attempt at this target, from 1.
        params: The request body in OpenAI's shape, overrides applied.
        api_key: Key of the target.
        custom_host: Host of the target, where it is not the provider's own.
        virtual_key: Virtual key that named the target, where one did.
        client_request: What the application sent.
        request: What the gateway sends to the provider, in the provider's language; None on the application leg.
    """

    provider: str
    target: str
    number: int
    params: Mapping[str, Any]
    client_request: GatewayRequest
    api_key: str | None = None
    custom_host: str | None = None
    virtual_key: str | None = None
    request: UpstreamRequest | None = None

    @cached_property
    def model(self) -> str | None:
        model = self.params.get("model")
        return model if isinstance(model, str) else None

    @cached_property
    def messages(self) -> list[Mapping[str, Any]]:
        return conversation.messages_of(self.params)

    @cached_property
    def stream(self) -> bool:
        return self.params.get("stream") is True

    @cached_property
    def turn(self) -> int:
        """Which answer of the model is asked for, from 1."""
        return conversation.turn(self.messages)

    @cached_property
    def message(self) -> str:
        """What the user said last."""
        return conversation.last_user_text(self.messages)

    @cached_property
    def system(self) -> str:
        """The system and developer messages, joined by newlines."""
        return conversation.system_text(self.messages)

    @cached_property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools the request offers."""
        return conversation.tools_offered(self.params)

    @cached_property
    def tool_exchanges(self) -> list[ToolExchange]:
        """The tool calls this turn is about, with their results."""
        return conversation.current_tool_exchanges(self.messages)

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The request's metadata: the body's, and that of the gateway's header, which wins."""
        given = self.params.get("metadata")
        try:
            routed = json.loads(self.client_request.headers.get("x-portkey-metadata") or "{}")
        except ValueError:
            routed = None
        return {**(given if isinstance(given, dict) else {}), **(routed if isinstance(routed, dict) else {})}
