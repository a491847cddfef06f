"""One module for each provider language; which provider speaks which is decided here."""

from __future__ import annotations

from functools import cache
from typing import Final

from portkey_testing._dialects.anthropic import AnthropicDialect, AnthropicMessagesDialect
from portkey_testing._dialects.base import CHAT, PROXY, Dialect
from portkey_testing._dialects.openai import OpenAIDialect
from portkey_testing._dialects.proxy import ProxyDialect
from portkey_testing._dialects.tables import table
from portkey_testing.failures import NotSimulated

_NOT_SIMULATED: Final = frozenset({("anthropic", "complete")})
"""Translations of old interfaces that the gateway still has."""


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
        NotSimulated: it does, and the fake does not.
    """
    if endpoint == PROXY:
        return ProxyDialect(provider)
    if provider == "anthropic" and endpoint == CHAT:
        return AnthropicDialect()
    found = table(provider, endpoint)
    if found is None and not has_body:
        return ProxyDialect(provider, bare=True)
    if (provider, endpoint) in _NOT_SIMULATED:
        raise NotSimulated(f"the fake does not translate {endpoint} requests for {provider}")
    if found is None:
        raise UnsupportedError(f"{endpoint} is not supported by {provider}")
    return (
        AnthropicMessagesDialect(endpoint, found)
        if provider == "anthropic"
        else OpenAIDialect(provider, endpoint, found)
    )
