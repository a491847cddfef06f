"""The ids and times that a fake makes up, the same in every run."""

from __future__ import annotations

from random import Random
from typing import Final

EPOCH: Final = 1_767_225_600
"""Second 0 of the fake's calendar: 2026-01-01, so that `created` is the same in every run."""


class Stamper:
    """What gives providers and the gateway their `Stamps`.

    Args:
        random: What is left to chance is drawn from it.

    Attributes:
        now: Seconds on the clock of the mount.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now = 0.0
        self._counts: dict[str, int] = {}

    def new_id(self, prefix: str) -> str:
        count = self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return f"{prefix}_fake_{count}" if prefix != "chatcmpl" else f"chatcmpl-fake-{count}"

    @property
    def seconds(self) -> float:
        """Now, in seconds since 1970."""
        return EPOCH + self.now

    @property
    def created(self) -> int:
        return EPOCH + int(self.now)

    @property
    def milliseconds(self) -> int:
        return EPOCH * 1000 + int(self.now * 1000)
