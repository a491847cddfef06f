"""Replaces known secrets wherever they stand in an exchange, also in pieces over the events of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portkey_testing.cassettes import stream
from portkey_testing.cassettes.bodies import writable
from portkey_testing.cassettes.model import BinaryBody, JsonBody, RecordedRequest, TextBody
from portkey_testing.cassettes.names import Names
from portkey_testing.cassettes.secrets import PLACEHOLDER, Rule, Secret, base64_tokens, pattern_of

Span = tuple[int, int, str]


class Cleaner:
    """Replaces known secrets, and what the contexts show, in everything of one exchange."""

    def __init__(self, secrets: Sequence[Secret], contexts: Sequence[Rule], names: Names) -> None:
        self.secrets = secrets
        self._contexts = contexts
        self._names = names
        self._patterns = [(pattern_of(secret.value), secret) for secret in sorted(secrets, key=lambda s: -len(s.value))]

    def text(self, text: str) -> str:
        return _replaced(text, self.spans(text))

    def spans(self, text: str) -> list[Span]:
        """Where in `text` secrets are, without overlap, in order."""
        found = [
            (*match.span(), secret.placeholder)
            for pattern, secret in self._patterns
            for match in pattern.finditer(text)
        ]
        for start, end, data in base64_tokens(text) if self.secrets else ():
            for secret in self.secrets:
                if secret.value.encode("utf-8", "surrogatepass") in data:
                    found.append((start, end, secret.placeholder))
                    break
        known = [(start, end) for start, end, _ in found]
        for rule in self._contexts:
            for start, end in rule.find(text):
                if not PLACEHOLDER.search(text, start, end) and not any(s < end and start < e for s, e in known):
                    found.append((start, end, f"<redacted-{rule.name}>"))
        found.sort(key=lambda span: (span[0], -span[1]))
        apart: list[Span] = []
        for start, end, placeholder in found:
            if apart and start < apart[-1][1]:
                if end > apart[-1][1]:
                    apart[-1] = (apart[-1][0], end, apart[-1][2])
                continue
            apart.append((start, end, placeholder))
        return apart

    def json(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.json(member) for name, member in value.items()}
        return [self.json(item) for item in value] if isinstance(value, list) else value

    def body(self, body: JsonBody | TextBody | BinaryBody | None) -> JsonBody | TextBody | BinaryBody | None:
        match body:
            case JsonBody(value):
                return writable(JsonBody(self.json(self._names.without(value))))
            case TextBody(text):
                return TextBody(self.text(text))
            case BinaryBody(data):
                return BinaryBody(self.text(data.decode("latin-1")).encode("latin-1", "replace"))
        return None

    def request(self, request: RecordedRequest) -> RecordedRequest:
        headers = {name: self.json(value) for name, value in request.headers.items()}
        return RecordedRequest(request.method, self.text(request.path), headers, self.body(request.body))

    def reads(self, reads: Sequence[stream.Read]) -> list[stream.Read]:
        """The reads of a stream without secrets; an event that has none stays as it is, to the byte."""
        pieces = stream.split(b"".join(data for _, data in reads))
        cleaned = self._events(pieces)
        if cleaned == pieces:
            return list(reads)
        return _moved(reads, pieces, cleaned)

    def _events(self, pieces: list[bytes]) -> list[bytes]:
        chunks = [stream.chunk_of(piece) for piece in pieces]
        changed = [None if chunk is None else self._names.without(chunk) for chunk in chunks]
        # First as a whole: a part of a secret may look like a smaller one.
        for channel in stream.texts_by_place(changed).values():
            self._across(channel)
        result = []
        for piece, chunk, joined in zip(pieces, chunks, changed, strict=True):
            if joined is None:
                result.append(self._raw(piece))
            else:
                clean = self.json(joined)
                result.append(piece if clean == chunk else stream.respelt(piece, clean))
        return result

    def _raw(self, piece: bytes) -> bytes:
        try:
            return self.text(piece.decode()).encode()
        except UnicodeDecodeError:
            return self.text(piece.decode("latin-1")).encode("latin-1", "replace")

    def _across(self, channel: list[tuple[Any, Any]]) -> None:
        """Replace what only shows when the texts of several events are joined: `channel` says where they are."""
        texts = [container[key] for container, key in channel]
        spans = self.spans("".join(texts))
        if not spans:
            return
        position = 0
        for (container, key), text in zip(channel, texts, strict=True):
            end = position + len(text)
            pieces = []
            at = position
            for start, stop, placeholder in spans:
                if stop <= position or start >= end:
                    continue
                pieces.append(text[at - position : max(start, position) - position])
                if start >= position:
                    pieces.append(placeholder)
                at = min(stop, end)
            pieces.append(text[at - position :])
            container[key] = "".join(pieces)
            position = end


def _moved(reads: Sequence[stream.Read], pieces: list[bytes], cleaned: list[bytes]) -> list[stream.Read]:
    """The reads of the cleaned events: each event begins in the read that it began in."""
    whole = b"".join(cleaned)
    bounds = [0]  # for the end of each read, the place in `whole` that corresponds to it
    old = new = 0
    remaining = list(zip(pieces, cleaned, strict=True))
    at = 0
    index = 0
    for _, data in reads:
        at += len(data)
        while index < len(remaining) and old + len(remaining[index][0]) <= at:
            old += len(remaining[index][0])
            new += len(remaining[index][1])
            index += 1
        inside = at - old
        bounds.append(new + min(inside, len(remaining[index][1]) if index < len(remaining) else 0))
    return [(when, whole[bounds[i] : bounds[i + 1]]) for i, (when, _) in enumerate(reads)]


def _replaced(text: str, spans: Sequence[Span]) -> str:
    if not spans:
        return text
    pieces = []
    at = 0
    for start, end, placeholder in spans:
        pieces += [text[at:start], placeholder]
        at = end
    return "".join([*pieces, text[at:]])
