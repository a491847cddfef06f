"""Requests the gateway passes on as they are, and whose answers it does not read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from portkey_testing._dialects.anthropic import anthropic_headers
from portkey_testing._dialects.base import PROXY, Stamps, passed_on, upstream
from portkey_testing._dialects.openai import openai_headers
from portkey_testing._dialects.tables import host, proxied_url
from portkey_testing._policy import Target
from portkey_testing.journal import UpstreamRequest
from portkey_testing.replies import Answer
from portkey_testing.timeline import Cut, Frame, GatewayRequest


class ProxyDialect:
    """Whatever a provider has beyond the endpoints the gateway knows.

    Args:
        provider: Its name.
        bare: The endpoint is one the gateway knows of other providers, so it calls the host without any path.
    """

    speaks = False
    recorded = True
    translates = False
    translates_streams = False

    def __init__(self, provider: str, *, bare: bool = False) -> None:
        self._provider = provider
        self._bare = bare

    def request(self, target: Target, params: Mapping[str, Any], client: GatewayRequest) -> UpstreamRequest:
        if self._bare:
            url = target.custom_host or host(self._provider)
        else:
            url = proxied_url(self._provider, target.custom_host, client.url)
        if self._provider == "anthropic":
            headers = anthropic_headers(target, params, client)
        else:
            headers = openai_headers(self._provider, target, client)
        return upstream(url, headers, dict(params), target=target, client=client, proxied=not self._bare)

    def completion(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> dict[str, Any]:
        raise ValueError(f"a chat completion is no answer to a {PROXY} request")

    def stream(self, answer: Answer, params: Mapping[str, Any], stamps: Stamps) -> Iterator[Frame | Cut]:
        raise ValueError(f"a chat completion is no answer to a {PROXY} request")

    def client_json(self, status: int, body: Any, *, strict: bool, created: int) -> Any:
        return body

    def client_stream(
        self, frames: Iterable[Frame | Cut], *, strict: bool, stamps: Stamps, model: Any = None
    ) -> Iterator[Frame | Cut]:
        return passed_on(frames)
