"""One module for each provider language; which provider speaks which is decided here."""

from __future__ import annotations

from functools import cache
from typing import Final

from portkey_testing._dialects.anthropic import AnthropicDialect, AnthropicMessagesDialect
from portkey_testing._dialects.anthropic_complete import AnthropicCompleteDialect
from portkey_testing._dialects.base import CHAT, PROXY, Dialect
from portkey_testing._dialects.openai import OpenAIDialect
from portkey_testing._dialects.proxy import ProxyDialect
from portkey_testing._dialects.tables import table

_ONLY_LISTED: Final = frozenset({"cortex", "portkey"})
"""Providers that the gateway lets a config name, and does not have."""


_WITHOUT_CHAT: Final = frozenset(
    (
        *("jina", "meshy", "milvus", "nomic", "qdrant", "recraft-ai"),
        *("replicate", "sagemaker", "segmind", "tripo3d", "triton", "voyage"),
    )
)
"""Providers whose chat completions the gateway does not support."""


class UnsupportedError(Exception):
    """The gateway does not support a kind of request for a provider; the text is its own."""


@cache
def dialect_of(provider: str, endpoint: str = CHAT, *, has_body: bool = True) -> Dialect:
    """The dialect of a provider for one kind of request; one without a dialect of its own speaks OpenAI's.

    Args:
        provider: Its name.
        endpoint: The kind of request.
        has_body: There is a body to translate. Without one the gateway calls the bare host for what it does not know.

    Raises:
        UnsupportedError: the gateway does not support that.
    """
    if provider in _ONLY_LISTED:
        raise UnsupportedError(f"Provider {provider} not found")
    if provider in _WITHOUT_CHAT and endpoint == CHAT:
        raise UnsupportedError(f"{endpoint} is not supported by {provider}")
    if endpoint == PROXY:
        return ProxyDialect(provider)
    if provider == "anthropic" and endpoint == CHAT:
        return AnthropicDialect()
    found = table(provider, endpoint)
    if found is None and not has_body:
        return ProxyDialect(provider, bare=True)
    if found is None:
        # It looks at uploads before it looks at whether there are any.
        upload = endpoint == "uploadFile"
        raise UnsupportedError("Something went wrong" if upload else f"{endpoint} is not supported by {provider}")
    if provider != "anthropic":
        return OpenAIDialect(provider, endpoint, found)
    return AnthropicCompleteDialect(found) if endpoint == "complete" else AnthropicMessagesDialect(endpoint, found)
