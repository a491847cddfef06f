"""What a cassette holds, as frozen values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from portkey_testing.cassettes._yaml import Json

FORMAT_VERSION: Final = 1
"""The format that this library writes, and the newest it reads."""

Mode = Literal["none", "once", "new", "all", "rewrite"]
"""What a recorder does with a request. See `portkey_testing.cassettes.recorder`."""

COMPLETE: Final = "complete"
CLOSED: Final = "closed"


class CassetteError(Exception):
    """A cassette cannot be read, written or used.

    Attributes:
        problem: What was expected and what came, in one sentence.
        path: The file.
        document: Number of the YAML document in it: 1 is the header, 2 the first interaction.
        line: Line in the file, starting at 1.
        field: Where in the document, such as `response.status`.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str | Path | None = None,
        document: int | None = None,
        line: int | None = None,
        field: str = "",
    ) -> None:
        self.problem = problem
        self.path = path
        self.document = document
        self.line = line
        self.field = field
        super().__init__(str(self))

    def __str__(self) -> str:
        place = [str(self.path)] if self.path is not None else []
        if self.line is not None:
            place.append(f"line {self.line}")
        if self.document is not None:
            what = "the header" if self.document == 1 else f"interaction {self.document - 1}"
            place.append(f"document {self.document} ({what})")
        if self.field:
            place.append(self.field)
        return f"{', '.join(place)}: {self.problem}" if place else self.problem


@dataclass(frozen=True, slots=True)
class Header:
    """The first document of a cassette.

    Attributes:
        version: Version of the format.
        recorded: Date of the first recording, as `2026-11-23`; empty where nobody knows.
        gateway: What answered, such as `open-source 1.15.2`; empty where nobody knows.
    """

    version: int = FORMAT_VERSION
    recorded: str = ""
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A body whose meaning is a JSON value; its spelling (blanks, escapes) is not kept."""

    value: Json

    def content(self) -> bytes:
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


@dataclass(frozen=True, slots=True)
class TextBody:
    """A body that is UTF-8 text, kept to the byte."""

    text: str

    def content(self) -> bytes:
        return self.text.encode()


@dataclass(frozen=True, slots=True)
class BinaryBody:
    """A body that is neither, kept to the byte."""

    data: bytes

    def content(self) -> bytes:
        return self.data


@dataclass(frozen=True, slots=True)
class EventStream:
    """A body of server-sent events, kept to the byte and to the read. The lines are explained in `events`.

    Attributes:
        lines: One line per event.
        envelope: What the events have in common; None where they have nothing.
        spelling: How their JSON is spelt: `compact`, `ascii` or `spaced`, see `stream.SPELLINGS`.
        message: The message, or the list of messages, that the events add up to: for people. None where they are no
            chunks of a chat completion.
    """

    lines: str
    envelope: Mapping[str, Json] | None = None
    spelling: str = "compact"
    message: Json = None


Body = JsonBody | TextBody | BinaryBody | EventStream
"""A recorded body; no body at all is None."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request, free of secrets and of what means nothing.

    Attributes:
        method: Upper-case HTTP method.
        path: Path and query below the version of the API: `/chat/completions`, not `/v1/chat/completions`.
        headers: The headers that mean something, in lower case. A value that is JSON, as of `x-portkey-config`, is held
            as that.
        body: The body; None if there was none.
    """

    method: str
    path: str
    headers: Mapping[str, Json] = field(default_factory=dict)
    body: JsonBody | TextBody | BinaryBody | None = None


@dataclass(frozen=True, slots=True)
class RecordedResponse:
    """An answer with its timing.

    Attributes:
        status: HTTP status.
        headers: The headers that mean something, in lower case.
        after_ms: Milliseconds from the request to the response headers.
        body: The body; None if it was empty.
        body_ms: Milliseconds from the request to the end of a body that is no event stream.
        ended: `complete`, `closed` (the client hung up before the end) or the name of a wire fault.
        ended_ms: Milliseconds from the request to an end that was not `complete`.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    after_ms: int = 0
    body: Body | None = None
    body_ms: int | None = None
    ended: str = COMPLETE
    ended_ms: int | None = None

    @property
    def provider(self) -> str | None:
        """The provider that answered, as the gateway reported it."""
        return self.headers.get("x-portkey-provider")

    @property
    def target(self) -> str | None:
        """The target that answered, such as `config.targets[1]`, as the gateway reported it."""
        return self.headers.get("x-portkey-last-used-option-index")


@dataclass(frozen=True, slots=True)
class RecordedFailure:
    """A connection that broke before any response header came.

    Attributes:
        fault: Name of a wire fault, such as `refused`.
        after_ms: Milliseconds from the request.
    """

    fault: str
    after_ms: int = 0


@dataclass(frozen=True, slots=True)
class Interaction:
    """One request and what came of it.

    Attributes:
        request: The request.
        response: The answer, or the failure in its place.
        line: Line of the file where it starts; 0 if it is in no file yet.
    """

    request: RecordedRequest
    response: RecordedResponse | RecordedFailure
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Cassette:
    """A whole file.

    Attributes:
        header: Its first document.
        interactions: The others, in recorded order.
        path: Where it was read from.
    """

    header: Header
    interactions: tuple[Interaction, ...] = ()
    path: Path | None = None
