"""Sticky load balancing: which target a user of a group is kept at, and for how long.

From Portkey's documentation, https://portkey.ai/docs/product/ai-gateway/load-balancing ("Sticky Load Balancing").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

USUAL_S: Final = 3600.0
"""Seconds for which a user is kept at a target where the config does not say."""


class Stickiness:
    """Which target each user of a load-balanced group got last."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}

    def recall(self, group: str, user: str, now: float) -> str | None:
        """The path of the target that `user` is kept at; None if there is none, or not any more."""
        path, until = self._kept.get((group, user), ("", now))
        return path if now < until else None

    def keep(self, group: str, user: str, path: str, until: float) -> None:
        """Keep `user` at the target at `path` until then."""
        self._kept[group, user] = (path, until)


def sticky_user(sticky: Any, context: Mapping[str, Any]) -> str | None:
    """What tells the users of a sticky group apart; None where it is not sticky, or the request has none of the fields.

    Args:
        sticky: `sticky` of the strategy.
        context: What conditional routing could ask about.
    """
    if not isinstance(sticky, Mapping) or sticky.get("enabled") is not True:
        return None
    fields = sticky.get("hash_fields")
    if not isinstance(fields, list):
        return None
    found = [_at(str(field), context) for field in fields]
    return None if all(value is None for value in found) else repr(found)


def sticky_seconds(sticky: Mapping[str, Any]) -> float:
    """For how long a user is kept at a target."""
    ttl = sticky.get("ttl")
    return ttl if isinstance(ttl, int | float) else USUAL_S


def _at(path: str, context: Any) -> Any:
    for name in path.split("."):
        context = context.get(name) if isinstance(context, Mapping) else None
    return context
