"""How a reply arrives, whatever it says: its chunks and their pace, where it breaks off, what is damaged."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final, Literal, TypeAlias

Headers: TypeAlias = tuple[tuple[str, str], ...]
By: TypeAlias = str | int | tuple[str, ...]

CHUNKINGS: Final = ("word", "char", "token", "whole", "random")
"""The named ways of cutting a text into pieces; a number is a fixed size, a list the pieces themselves."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How an answer is cut into chunks and spread over time when it is streamed.

    Attributes:
        by: `word`, `char`, `token` (pieces of up to four characters, as tokenizers make them), `whole` (one chunk),
            `random` (1 to 12 characters, from the seed), a number of characters, or the pieces themselves.
        ttft: Seconds from the headers to the first piece.
        tps: Pieces per second after that; None is without a pause.
        jitter: Each pause varies by up to this share of itself, both ways.
        reads: Bytes per read, wherever that cuts: within an event, a line or a character; `random` is 1 to 64 of them,
            from the seed. None is one event per read.
        comments: A comment stands before every event.
        keepalive: Seconds of silence after which a comment comes, and again.
    """

    by: By = "word"
    ttft: float = 0.0
    tps: float | None = None
    jitter: float = 0.0
    reads: int | Literal["random"] | None = None
    comments: bool = False
    keepalive: float | None = None

    @property
    def travels(self) -> bool:
        """Its bytes arrive otherwise than one event after the other."""
        return self.reads is not None or self.comments or self.keepalive is not None

    def __post_init__(self) -> None:
        if isinstance(self.by, str) and self.by not in CHUNKINGS:
            raise ValueError(f"streamed(by=...) takes one of {CHUNKINGS}, a size or a list of pieces, not {self.by!r}")
        if isinstance(self.by, int) and (self.by < 1 or isinstance(self.by, bool)):
            raise ValueError(f"streamed(by=...): a size is at least 1, not {self.by}")
        # Written so that a number that is none, as NaN, is refused.
        if not self.ttft >= 0:
            raise ValueError(f"streamed(ttft=...) is a number of seconds from 0 on, not {self.ttft!r}")
        if self.tps is not None and not self.tps > 0:
            raise ValueError(f"streamed(tps=...) is a number of pieces per second above 0, not {self.tps!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"streamed(jitter=...) is a share from 0 to 1, not {self.jitter!r}")
        if self.reads not in (None, "random") and not (isinstance(self.reads, int) and self.reads >= 1):
            raise ValueError(f"streamed(reads=...) is a number of bytes from 1 on, or 'random', not {self.reads!r}")
        if self.keepalive is not None and not self.keepalive > 0:
            raise ValueError(f"streamed(keepalive=...) is a number of seconds above 0, not {self.keepalive!r}")


@dataclass(frozen=True, slots=True)
class Break:
    """Where a streamed answer breaks off.

    Attributes:
        chunks: Content chunks that still arrive.
        fault: What happens then, see `portkey_testing.faults`.
    """

    chunks: int
    fault: str = "dropped"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a reply arrives, whatever it says.

    Attributes:
        delay: Seconds before the headers.
        headers: Sent beside the provider's own, in place of those of the same names.
        pace: Chunks and their timing.
        broken: Where it breaks off, if it does.
        damage: What is wrong with its content, see `portkey_testing.faults`.
        usage: Token counts given instead of counted, as JSON.
        repeat: How many attempts it answers.
    """

    delay: float = 0.0
    headers: Headers = ()
    pace: Pace = field(default_factory=Pace)
    broken: Break | None = None
    damage: str | None = None
    usage: str | None = None
    repeat: int = 1


def modifiers(delivery: Delivery) -> str:
    """What a test wrote behind a reply for it to arrive so."""
    written = ""
    if delivery.delay:
        written += f".delayed({delivery.delay:g})"
    pace = [
        f"{spec.name}={value!r}"
        for spec in fields(Pace)
        if (value := getattr(delivery.pace, spec.name)) != spec.default
    ]
    if pace:
        written += f".streamed({', '.join(pace)})"
    if delivery.broken is not None:
        fault = "" if delivery.broken.fault == "dropped" else f", fault={delivery.broken.fault!r}"
        written += f".cut(chunks={delivery.broken.chunks}{fault})"
    if delivery.damage is not None:
        written += f".damaged({delivery.damage!r})"
    if delivery.usage is not None:
        written += f".with_usage(**{delivery.usage})"
    written += "".join(f".with_headers({headers!r})" for headers in _apart(delivery.headers))
    if delivery.repeat != 1:
        written += f".times({delivery.repeat})"
    return written


def _apart(headers: Headers) -> list[dict[str, str]]:
    """Headers as mappings, as few as will do: one that is given twice needs two."""
    found: list[dict[str, str]] = []
    for name, value in headers:
        if not found or name in found[-1]:
            found.append({})
        found[-1][name] = value
    return found


for _value in (Pace, Break, Delivery):
    # Reports name them by the path that they are imported from.
    _value.__module__ = "portkey_testing.replies"
