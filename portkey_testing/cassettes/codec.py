"""The documents of a cassette: text to values and back.

A file is a header document, one document per interaction, and a line `...` that says it is whole:

    portkey_cassette: 1
    recorded: '2026-11-23'
    ---
    request: ...
    response: ...
    ...

`docs/cassettes.md` describes every field. A value that is not what the format says is a `CassetteError` with file,
document, line and field; nothing is guessed. What the YAML cannot hold as itself (a lone surrogate, a key of thousands
of characters) is kept as JSON text.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from portkey_testing.cassettes import events
from portkey_testing.cassettes._yaml import Json, YamlError, line_of, read, write
from portkey_testing.cassettes.model import (
    COMPLETE,
    FORMAT_VERSION,
    BinaryBody,
    Body,
    Cassette,
    CassetteError,
    EventStream,
    Header,
    Interaction,
    JsonBody,
    RecordedFailure,
    RecordedRequest,
    RecordedResponse,
    TextBody,
)
from portkey_testing.cassettes.stream import SPELLINGS, Read

END: Final = "...\n"
SEPARATOR: Final = "---\n"

_HEADER_FIELDS: Final = frozenset({"portkey_cassette", "recorded", "gateway"})
_REQUEST_FIELDS: Final = frozenset({"method", "path", "headers", "body", "text", "base64"})
_RESPONSE_FIELDS: Final = frozenset(
    {
        "status",
        "after_ms",
        "headers",
        "body",
        "text",
        "base64",
        "message",
        "envelope",
        "spelling",
        "events",
        "body_ms",
        "ended",
        "ended_ms",
        "fault",
    }
)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+\Z")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BODY_FORMS: Final = ("body", "text", "base64", "events")


def encode_header(header: Header) -> str:
    """The text of the header document."""
    document: dict[str, Json] = {"portkey_cassette": header.version}
    if header.recorded:
        document["recorded"] = header.recorded
    if header.gateway:
        document["gateway"] = header.gateway
    return write(document)


def encode_interaction(interaction: Interaction) -> str:
    """The text of one interaction, without the `---` before it.

    Raises:
        Unwritable: a header or a message cannot be written; bodies that `bodies.writable` and `events.pack` made can.
    """
    request, response = interaction.request, interaction.response
    asked: dict[str, Any] = {"method": request.method, "path": request.path}
    if request.headers:
        asked["headers"] = dict(request.headers)
    asked.update(_encoded_body(request.body))
    if isinstance(response, RecordedFailure):
        return write({"request": asked, "response": {"after_ms": response.after_ms, "fault": response.fault}})
    answered: dict[str, Any] = {"status": response.status, "after_ms": response.after_ms}
    if response.headers:
        answered["headers"] = dict(response.headers)
    answered.update(_encoded_body(response.body))
    if response.body_ms is not None:
        answered["body_ms"] = response.body_ms
    if response.ended != COMPLETE:
        answered["ended"] = response.ended
        answered["ended_ms"] = response.ended_ms
    return write({"request": asked, "response": answered})


def _encoded_body(body: Body | None) -> dict[str, Any]:
    match body:
        case None:
            return {}
        case JsonBody(value):
            return {"body": value}
        case TextBody(text):
            return {"text": text}
        case BinaryBody(data):
            return {"base64": base64.encodebytes(data).decode()}
        case EventStream(lines, envelope, spelling, message):
            fields: dict[str, Any] = {}
            if isinstance(message, list):
                fields["messages"] = message
            elif message is not None:
                fields["message"] = message
            if envelope is not None:
                fields["envelope"] = dict(envelope)
            if spelling != "compact":
                fields["spelling"] = spelling
            return {**fields, "events": lines}


def encode(cassette: Cassette) -> str:
    """The text of a whole file."""
    return join(encode_header(cassette.header), map(encode_interaction, cassette.interactions))


def join(header: str, interactions: Iterable[str]) -> str:
    """The text of a file from the texts of its documents."""
    return SEPARATOR.join([header, *interactions]) + END


def appendix(interaction: str) -> str:
    """What may be written behind the end of a file to add an interaction, until `join` makes it anew."""
    return f"{SEPARATOR}{interaction}{END}"


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file, not yet parsed.

    Attributes:
        text: Its text, without the `---`.
        number: Its number: 1 is the header.
        line: Line of the file where it starts.
        path: The file.
    """

    text: str
    number: int
    line: int
    path: Path | None = None

    def value(self) -> Json:
        """The parsed document.

        Raises:
            CassetteError: it is not YAML, or uses what cassettes do not.
        """
        try:
            return read(self.text, verbatim="headers")
        except YamlError as error:
            line = self.line + error.line - 1
            raise CassetteError(str(error), path=self.path, document=self.number, line=line) from None

    def error(self, problem: str, *path: str | int) -> CassetteError:
        """What is wrong with the value at `path`."""
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        line = self.line + line_of(self.text, path) - 1
        return CassetteError(problem, path=self.path, document=self.number, line=line, field=field)


def split(data: bytes, path: Path | None = None) -> list[Document]:
    """The documents of a file.

    A line that starts with `---` divides documents wherever it stands, and one that starts with `...` ends one: YAML
    allows neither in a value.

    Raises:
        CassetteError: the file is no text, is empty, or was cut off.
    """
    text = _text(_finished(data), path)
    if not text.strip():
        raise CassetteError(
            "the file is empty: a recording was broken off. Delete it and record it again", path=path, line=1
        )
    if text.startswith("version https://git-lfs"):
        raise CassetteError("this is a Git LFS pointer, not the cassette: run `git lfs pull`", path=path, line=1)
    for mark in ("<<<<<<<", ">>>>>>>"):
        if (place := f"\n{text}".find(f"\n{mark}")) >= 0:
            line = text.count("\n", 0, place) + 1
            raise CassetteError(
                "a merge conflict was left in the file: resolve it, or record again", path=path, line=line
            )
    body = text.rstrip("\n") + "\n"
    whole = body.endswith("\n" + END)
    if whole:
        body = body[: -len(END)]
    if "\n--- " in body or "\n---\t" in body:
        body = re.sub(r"^---[ \t]+$", "---", body, flags=re.MULTILINE)
    documents = []
    line = 1
    # The line feed in front is for a file that starts with `---`.
    for number, part in enumerate(f"\n{body}"[:-1].split("\n---\n"), 1):
        own = f"{part}\n" if number > 1 else f"{part}\n"[1:]
        lines = own.count("\n") + 1
        documents.append(Document(own.removesuffix(END) if own.endswith("\n" + END) else own, number, line, path))
        line += lines
    if len(documents) > 1 and not documents[0].text.strip():
        # A file may also start with `---`.
        documents = [Document(d.text, d.number - 1, d.line, path) for d in documents[1:]]
    if not whole:
        header = documents[0].value()  # what is no cassette at all should be told so
        decode_header(documents[0], header)
        raise CassetteError(
            "expected `...` on the last line: the file was cut off. Record it again, or add the line if the end is "
            "whole",
            path=path,
            document=documents[-1].number,
            line=text.count("\n") + 1,
        )
    return documents


def _finished(data: bytes) -> bytes:
    """The file up to its last end.

    While it is recorded, interactions are added behind that: a kill may leave a part of one, which never was recorded.
    """
    if data.rstrip(b"\r\n").endswith(b"\n..."):
        return data
    finished, end, part = data.rpartition(f"\n{END}".encode())
    separator = SEPARATOR.encode()
    return finished + end if end and (part.startswith(separator) or separator.startswith(part)) else data


def _text(data: bytes, path: Path | None) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or data[:64].count(b"\0") > 16:
        raise CassetteError("expected UTF-8, found UTF-16: save the file as UTF-8", path=path, line=1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CassetteError(
            f"expected UTF-8, found the byte 0x{data[error.start]:02x}: save the file as UTF-8", path=path, line=line
        ) from None
    # Git may have checked the file out with CRLF; a real carriage return is always written as \r.
    return text.replace("\r\n", "\n")


def decode(data: bytes, path: Path | None = None) -> Cassette:
    """Everything in a file, each stream checked against its message.

    Raises:
        CassetteError: anything in it is not what the format says.
    """
    header, *others = split(data, path)
    cassette = Cassette(decode_header(header), tuple(map(decode_interaction, others)), path)
    for document, interaction in zip(others, cassette.interactions, strict=True):
        response = interaction.response
        if isinstance(response, RecordedResponse) and isinstance(response.body, EventStream):
            reads_of(document, response.body)
    return cassette


def reads_of(document: Document, stream: EventStream) -> list[Read]:
    """The bytes of a stream as they came, checked against its message.

    Raises:
        CassetteError: the lines are damaged or disagree with the message.
    """
    try:
        return events.unpack(stream)
    except events.EventLineError as error:
        wrong = document.error(str(error), "response", "events")
        if error.number and wrong.line is not None:
            wrong.line += error.number
            wrong.args = (str(wrong),)
        raise wrong from None


def decode_header(document: Document, value: Json | None = None) -> Header:
    """The header of a cassette.

    Raises:
        CassetteError: it is none, or of a version that this library does not read.
    """
    value = document.value() if value is None else value
    if not isinstance(value, dict) or "portkey_cassette" not in value:
        raise document.error(
            f"expected a cassette, which starts with `portkey_cassette: {FORMAT_VERSION}`, found {_shown(value)}"
        )
    version = value["portkey_cassette"]
    if type(version) is not int or version < 1:
        raise document.error(f"expected the version of the format as a number, found {version!r}", "portkey_cassette")
    if version > FORMAT_VERSION:
        raise document.error(
            f"the file has version {version} of the format, and this portkey-testing reads up to {FORMAT_VERSION}: "
            "upgrade it",
            "portkey_cassette",
        )
    _no_others(document, value, _HEADER_FIELDS)
    return Header(version, _text_at(document, value, "recorded"), _text_at(document, value, "gateway"))


def decode_interaction(document: Document, value: Json = None) -> Interaction:
    """One interaction, from the value of its document if that is known.

    Raises:
        CassetteError: it is not what the format says.
    """
    value = document.value() if value is None else value
    if not isinstance(value, dict):
        raise document.error(f"expected an interaction with `request` and `response`, found {_shown(value)}")
    for name in ("request", "response"):
        if not isinstance(value.get(name), dict):
            found = _shown(value[name]) if name in value else "none"
            raise document.error(f"expected a mapping under `{name}`, found {found}", name)
    _no_others(document, value, frozenset({"request", "response"}))
    return Interaction(_request(document, value["request"]), _response(document, value["response"]), line=document.line)


def _request(document: Document, value: dict[str, Any]) -> RecordedRequest:
    place = ("request",)
    _no_others(document, value, _REQUEST_FIELDS, *place)
    method = _text_at(document, value, "method", *place)
    path = _text_at(document, value, "path", *place)
    if not (method.isascii() and method.isalpha() and method.isupper()):
        raise document.error(f"expected an HTTP method in capitals, found {method!r}", *place, "method")
    if not path.startswith("/"):
        raise document.error(f"expected a path that starts with `/`, found {path!r}", *place, "path")
    headers = _headers(document, value, *place, structured=True)
    body = _body(document, value, *place)
    if isinstance(body, EventStream):
        raise document.error("a request is no stream of events", *place, "events")
    return RecordedRequest(method, path, headers, body)


def _response(document: Document, value: dict[str, Any]) -> RecordedResponse | RecordedFailure:
    place = ("response",)
    _no_others(document, value, _RESPONSE_FIELDS | {"messages"}, *place)
    after = _milliseconds(document, value, "after_ms") or 0
    if "fault" in value:
        if len(value.keys() - {"after_ms"}) > 1:
            raise document.error("a `fault` stands in place of the whole answer: nothing else fits beside it", *place)
        return RecordedFailure(_text_at(document, value, "fault", *place), after)
    status = value.get("status")
    if type(status) is not int or not 100 <= status <= 999:
        found = _shown(status) if "status" in value else "none"
        raise document.error(f"expected an HTTP status from 100 to 999 (or `fault`), found {found}", *place, "status")
    ended = _text_at(document, value, "ended", *place) or COMPLETE
    return RecordedResponse(
        status,
        _headers(document, value, *place, structured=False),
        after,
        _body(document, value, *place),
        _milliseconds(document, value, "body_ms"),
        ended,
        _milliseconds(document, value, "ended_ms"),
    )


def _body(document: Document, value: dict[str, Any], place: str) -> Body | None:
    forms = [form for form in _BODY_FORMS if form in value]
    if len(forms) > 1:
        raise document.error(f"a body is one of {', '.join(_BODY_FORMS)}; found {' and '.join(forms)}", place, forms[1])
    for extra in ("message", "messages", "envelope", "spelling"):
        if extra in value and forms != ["events"]:
            raise document.error(f"`{extra}` belongs to `events`, and there are none", place, extra)
    match forms:
        case ["body"]:
            return JsonBody(value["body"])
        case ["text"]:
            return TextBody(_text_at(document, value, "text", place))
        case ["base64"]:
            try:
                return BinaryBody(
                    base64.b64decode(re.sub(r"\s", "", _text_at(document, value, "base64", place)), validate=True)
                )
            except binascii.Error as error:
                raise document.error(f"not base64: {error}", place, "base64") from None
        case ["events"]:
            return _stream(document, value, place)
    return None


def _stream(document: Document, value: dict[str, Any], place: str) -> EventStream:
    envelope = value.get("envelope")
    if envelope is not None:
        choices = envelope.get("choices") if isinstance(envelope, dict) else None
        if not (isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict)):
            raise document.error("expected a chunk with exactly one choice", place, "envelope")
    spelling = _text_at(document, value, "spelling", place) or "compact"
    if spelling not in SPELLINGS:
        raise document.error(f"expected one of {', '.join(SPELLINGS)}, found {spelling!r}", place, "spelling")
    message = value.get("messages", value.get("message"))
    return EventStream(_text_at(document, value, "events", place), envelope, spelling, message)


def _headers(document: Document, value: dict[str, Any], place: str, *, structured: bool) -> dict[str, Any]:
    headers = value.get("headers", {})
    if not isinstance(headers, dict):
        raise document.error(f"expected a mapping of names to texts, found {_shown(headers)}", place, "headers")
    for name, text in headers.items():
        if not _is_header_name(name):
            raise document.error(f"expected a header name in lower case, found {name!r}", place, "headers", name)
        if structured and isinstance(text, dict | list):
            continue
        if not isinstance(text, str):
            raise document.error(f"expected a text, found {_shown(text)}", place, "headers", name)
        if not text.isprintable() and _CONTROL.search(text):
            raise document.error(f"a header cannot hold control characters, found {text!r}", place, "headers", name)
    return headers


@functools.lru_cache(maxsize=1024)
def _is_header_name(name: str) -> bool:
    return _HEADER_NAME.match(name) is not None


def _text_at(document: Document, value: dict[str, Any], name: str, *place: str) -> str:
    text = value.get(name, "")
    if not isinstance(text, str):
        raise document.error(f"expected a text, found {_shown(text)}", *place, name)
    return text


def _milliseconds(document: Document, value: dict[str, Any], name: str) -> int | None:
    number = value.get(name)
    if number is not None and (type(number) is not int or number < 0):
        raise document.error(f"expected milliseconds, found {_shown(number)}", "response", name)
    return number


def _no_others(document: Document, value: dict[str, Any], known: frozenset[str], *place: str) -> None:
    if not known.issuperset(value):
        for name in sorted(value.keys() - known):
            raise document.error(f"unknown field; expected one of {', '.join(sorted(known))}", *place, name)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
