"""Which target load balancing draws: what a test picked, what a user is kept at, else what the seed says."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Any

from portkey_testing._policy import Group
from portkey_testing._routing import balanced
from portkey_testing._sticky import Stickiness, sticky_seconds, sticky_user


class Draws:
    """The draws of one fake.

    Args:
        random: Where they come from.
        stickiness: Which users the hosted product keeps at which targets; None where there is no such thing.

    Attributes:
        picks: Paths of targets that are drawn next, before chance has its turn.
        drawable: The paths of all targets that could have been drawn so far.
    """

    def __init__(self, random: Random, stickiness: Stickiness | None) -> None:
        self.picks: deque[str] = deque()
        self.drawable: set[str] = set()
        self._random = random
        self._stickiness = stickiness

    def draw(self, group: Group, *, config: str, context: Mapping[str, Any], now: float) -> float:
        """A number from 0 up to, not including, 1 for the choice of a target.

        Args:
            group: The targets.
            config: The config as it was written, which tells groups of the same path apart.
            context: What is known of the request, for those who are kept at a target.
            now: Seconds on the clock.
        """
        drawable = [child.path for child in group.targets if child.weight > 0]
        self.drawable.update(drawable)
        forced = self.picks.popleft() if self.picks and self.picks[0] in drawable else None
        user = sticky_user(group.sticky, context) if group.sticky and self._stickiness is not None else None
        if user is None or self._stickiness is None:
            return self._random.random() if forced is None else _number_of(group, forced)
        place = f"{config} {group.path}"
        kept = self._stickiness.recall(place, user, now)
        path = forced or (kept if kept in drawable else None)
        drawn = self._random.random() if path is None else _number_of(group, path)
        chosen = balanced(group, drawn)
        if chosen is not None and chosen.path != kept:
            self._stickiness.keep(place, user, chosen.path, now + sticky_seconds(group.sticky))
        return drawn


def _number_of(group: Group, path: str) -> float:
    """The number that makes load balancing choose the target at `path`."""
    weights = [child.weight for child in group.targets]
    place = [child.path for child in group.targets].index(path)
    return sum(weights[:place]) / sum(weights)
