"""One module for each provider language; which provider speaks which is decided here."""

from __future__ import annotations

from functools import cache

from portkey_testing._dialects.anthropic import AnthropicDialect
from portkey_testing._dialects.base import Dialect
from portkey_testing._dialects.openai import OpenAIDialect


@cache
def dialect_of(provider: str) -> Dialect:
    """The dialect of a provider; one without a dialect of its own speaks OpenAI's."""
    return AnthropicDialect() if provider == "anthropic" else OpenAIDialect(provider)
