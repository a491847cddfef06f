"""What a large cassette was parsed to, kept beside a digest of its bytes, so that the next run need not parse it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from portkey_client._version import VERSION
from portkey_testing.cassettes._yaml import Json

SMALLEST: Final = 64 * 2**10
"""Bytes below which parsing a file is faster than looking for what it was parsed to."""

_FORMAT: Final = 2
"""To be raised whenever the same file would be parsed to something else."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The documents of a file, checked to be a cassette's.

    Attributes:
        values: The value of each interaction's document.
        lines: Line of the file where each starts.
        keys: Hash of what each request means, under the rules that every project starts with.
    """

    values: list[Json]
    lines: list[int]
    keys: list[bytes]


def read(folder: Path, path: Path, data: bytes) -> Parsed | None:
    """What the file at `path` was parsed to when it held `data`; None if nobody knows."""
    if len(data) < SMALLEST:
        return None
    try:
        kept = _place(folder, path).read_bytes()
    except OSError:
        return None
    digest, _, content = kept.partition(b"\n")
    if digest != _digest(data, content):
        return None  # another file, or half of one
    found: dict[str, Any] = json.loads(content)
    return Parsed(found["values"], found["lines"], [bytes.fromhex(key) for key in found["keys"]])


def write(folder: Path, path: Path, data: bytes, parsed: Parsed) -> None:
    """Keep what `data`, the content of `path`, was parsed to, in place of what was kept for that path before."""
    if len(data) < SMALLEST:
        return
    content = {"values": parsed.values, "lines": parsed.lines, "keys": [key.hex() for key in parsed.keys]}
    text = json.dumps(content, separators=(",", ":")).encode()
    # A folder that cannot be written costs time at the next run, and nothing else.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(suffix=".tmp", dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_digest(data, text) + b"\n" + text)
        Path(name).replace(_place(folder, path))


def _place(folder: Path, path: Path) -> Path:
    name = hashlib.blake2b(os.fsencode(os.path.realpath(path)), digest_size=12).hexdigest()
    return folder / f"{path.stem[:40]}-{name}.json"


def _digest(data: bytes, parsed: bytes) -> bytes:
    """What tells this very file and what it was parsed to, by this version of the library, from all others."""
    digest = hashlib.blake2b(f"{_FORMAT} {VERSION} {len(data)} ".encode(), digest_size=20)
    digest.update(data)
    digest.update(parsed)
    return digest.hexdigest().encode()
