"""The providers the gateway knows, by the names that configs call them."""

from __future__ import annotations

from functools import cache

from portkey_testing._data import table


@cache
def known_providers() -> tuple[str, ...]:
    """Their names, in the gateway's own order."""
    return tuple(table("gateway_providers")["providers"])
