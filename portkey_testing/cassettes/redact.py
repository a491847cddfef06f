"""Takes the secrets out of an exchange before any of it is written.

Three things are done, each enough for most secrets, so that one that slips through the first is caught by the next:

1.  By name. Of the headers only those on a list are kept. What stands under a name like `api_key` or `refresh_token`,
    in a config, a body, a form or a query, at any depth, becomes `<redacted>`.
2.  By value. Whatever was found by name, whatever the client sent as a credential, and whatever has the shape of a
    known kind of key, is looked for in everything that is kept: as it is, JSON-escaped, percent-encoded, HTML-escaped,
    in base64, and in pieces over the events of a stream.
3.  By looking again. `scan` undoes every encoding it knows and searches what is about to be written for the same
    secrets and shapes with code of its own; a hit refuses the recording.

What takes a secret's place does not depend on the secret, so a request made with another key still matches.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from portkey_testing.cassettes import codec, events
from portkey_testing.cassettes._yaml import Json
from portkey_testing.cassettes.exchange import Exchange, decoded
from portkey_testing.cassettes.model import (
    COMPLETE,
    BinaryBody,
    Interaction,
    JsonBody,
    RecordedFailure,
    RecordedRequest,
    RecordedResponse,
    TextBody,
)
from portkey_testing.cassettes.scan import leaves
from portkey_testing.cassettes.secrets import (
    CONTEXTS,
    PERSONAL,
    PLACEHOLDER,
    REDACTED,
    SHAPES,
    Rule,
    Secret,
    base64_tokens,
    from_base64,
    is_worth_hiding,
    looks_random,
    names_a_secret,
    own_rule,
    parameter_names_a_secret,
    pattern_of,
    views,
)
from portkey_testing.timeline import GatewayRequest

REQUEST_HEADERS: Final = frozenset(
    {
        "anthropic-beta",
        "anthropic-version",
        "openai-beta",
        "x-portkey-anthropic-beta",
        "x-portkey-anthropic-version",
        "x-portkey-aws-bedrock-model",
        "x-portkey-aws-region",
        "x-portkey-azure-api-version",
        "x-portkey-azure-auth-mode",
        "x-portkey-azure-deployment-id",
        "x-portkey-azure-endpoint-name",
        "x-portkey-azure-model-name",
        "x-portkey-cache",
        "x-portkey-cache-force-refresh",
        "x-portkey-config",
        "x-portkey-custom-host",
        "x-portkey-default-input-guardrails",
        "x-portkey-default-output-guardrails",
        "x-portkey-forward-headers",
        "x-portkey-guardrails",
        "x-portkey-metadata",
        "x-portkey-mistral-fim-completion",
        "x-portkey-openai-beta",
        "x-portkey-provider",
        "x-portkey-provider-model",
        "x-portkey-request-timeout",
        "x-portkey-strict-open-ai-compliance",
        "x-portkey-vertex-region",
        "x-portkey-virtual-key",
    }
)
"""The request headers that decide about the answer. All others are left out."""

RESPONSE_HEADERS: Final = re.compile(
    r"content-type|retry-after(-ms)?|x-ms-retry-after-ms|x-should-retry|(x-)?request-id"
    r"|(x|anthropic)-ratelimit-[a-z0-9-]+"
    r"|x-portkey-(cache-status|gateway-exception|last-used-option-index|provider|retry-attempt-count|trace-id)"
)
"""The response headers that a client acts upon. All others are left out."""

_JSON_HEADERS: Final = frozenset(
    {
        "x-portkey-config",
        "x-portkey-default-input-guardrails",
        "x-portkey-default-output-guardrails",
        "x-portkey-metadata",
    }
)
_PLAIN_CONTENT: Final = ("application/json", "")
_USER_FIELDS: Final = frozenset({"user", "_user", "safety_identifier", "prompt_cache_key"})
"""Members that name a person."""

_USER_IN_METADATA: Final = re.compile(
    r"(?i)_?(?:(?:end|app)[_-]?)?(?:user|customer|account)(?:[_-]?(?:id|name|e?mail))?|e?mail"
)
"""Members of metadata that name a person."""

_NO_CREDENTIAL: Final = re.compile(
    r"trace|span|request|correlation|idempotency|agent|stainless|accept|content|host|date"
)
"""Headers whose values look random, and identify a request or a program."""

_SCHEME: Final = re.compile(r"(?i)(?:bearer|basic|token)\s+(?P<rest>\S.*)")
_SLUG: Final = re.compile(r"@(?P<slug>[^/\s]+)")


class Redactor:
    """Turns exchanges into interactions without secrets.

    Args:
        rules: Further kinds of secrets, by name: a pattern, whose group `v` is the secret if it has one.
        off: Names of built-in rules not to apply, such as `email`.
        fields: Further names of members whose values are secrets.

    Raises:
        ValueError: a rule to switch off does not exist, or a pattern is none.
    """

    def __init__(
        self,
        *,
        rules: Mapping[str, str] | None = None,
        off: Iterable[str] = (),
        fields: Iterable[str] = (),
    ) -> None:
        off = frozenset(off)
        known = [*SHAPES, *CONTEXTS, *PERSONAL]
        if unknown := off - {rule.name for rule in known}:
            raise ValueError(
                f"no rule is called {', '.join(sorted(unknown))}. There are: {', '.join(rule.name for rule in known)}."
            )
        try:
            own = tuple(own_rule(name, pattern) for name, pattern in (rules or {}).items())
        except re.error as error:
            raise ValueError(f"not a pattern: {error.pattern!r}: {error}") from None
        self._own = frozenset(rule.name for rule in own)
        self.shapes = (*own, *(rule for rule in SHAPES if rule.name not in off))
        self._contexts = tuple(rule for rule in (*CONTEXTS, *PERSONAL) if rule.name not in off)
        self._fields = frozenset(fields)

    # Reading a live request

    def readings(self, request: GatewayRequest) -> Iterator[RecordedRequest]:
        """How a recording of `request` could read, the likely one first.

        A recording holds no secret. Where the first reading, redacted by name only, equals one, the request has none
        either, and looking for them in every text was saved.
        """
        reading = self._by_name(request)
        yield reading
        cleaner = self._cleaner(request, reading, None, ())
        yield cleaner.request(reading)

    def interaction(self, exchange: Exchange) -> tuple[Interaction, Sequence[Secret]]:
        """The interaction to write, and the secrets that must not be in it.

        Raises:
            CassetteError: the body cannot be read, so nobody knows what is in it.
        """
        request = self._by_name(exchange.request)
        encoding = exchange.header("content-encoding")
        reads = decoded(encoding, exchange.reads)
        headers = {name: value for name, value in exchange.headers if RESPONSE_HEADERS.fullmatch(name)}
        if reads is None:
            headers["content-encoding"] = encoding
            reads = list(exchange.reads)
        data = b"".join(piece for _, piece in reads)
        is_stream = headers.get("content-type", "").split(";")[0].strip().lower() == "text/event-stream"
        text = data.decode("utf-8", "replace")
        if is_stream:
            chunks = [events.chunk_of(piece) for piece in events.split(data)]
            cleaner = self._cleaner(exchange.request, request, chunks, [text, *events.channels(data)])
        else:
            plain = codec.body_of(data)
            answer = plain.value if isinstance(plain, JsonBody) else None
            cleaner = self._cleaner(exchange.request, request, answer, [text])
        if exchange.status is None:
            failure = RecordedFailure(exchange.ended, exchange.after_ms)
            return Interaction(cleaner.request(request), failure), cleaner.secrets
        body = events.pack(cleaner.reads(reads)) if is_stream and data else cleaner.body(codec.body_of(data))
        ended = exchange.ended
        response = RecordedResponse(
            status=exchange.status,
            headers={name: cleaner.text(value) for name, value in headers.items()},
            after_ms=exchange.after_ms,
            body=body,
            body_ms=None if is_stream or not reads or reads[-1][0] <= exchange.after_ms else reads[-1][0],
            ended=ended,
            ended_ms=None if ended == COMPLETE else exchange.ended_ms,
        )
        return Interaction(cleaner.request(request), response), cleaner.secrets

    def _by_name(self, request: GatewayRequest) -> RecordedRequest:
        """The request without what has a secret's name."""
        headers: dict[str, Json] = {}
        for name, value in request.headers.items():
            if name not in REQUEST_HEADERS or not value:
                continue
            if name == "x-portkey-virtual-key":
                headers[name] = REDACTED
            elif name in _JSON_HEADERS:
                headers[name] = self._json_header(value, is_metadata=name == "x-portkey-metadata")
            elif name == "x-portkey-provider":
                headers[name] = hidden_slug(value)
            else:
                headers[name] = value
        content = request.headers.get("content-type", "")
        media = content.split(";")[0].strip().lower()
        data = request.body
        encoding = request.headers.get("content-encoding", "")
        if encoding:
            plain = decoded(encoding, ((0, data),))
            data = data if plain is None else b"".join(piece for _, piece in plain)
        if media == "multipart/form-data" and (boundary := re.search(r"boundary=\"?([^\";]+)", content)):
            # It is random, and means nothing.
            data = data.replace(boundary[1].encode(), b"BOUNDARY")
        if media not in _PLAIN_CONTENT:
            headers["content-type"] = media
        body = codec.body_of(data)
        if isinstance(body, JsonBody):
            body = JsonBody(self.without_names(body.value))
        return RecordedRequest(request.method, self._path(request.url), dict(sorted(headers.items())), body)

    def _json_header(self, value: str, *, is_metadata: bool) -> Json:
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value if not re.search(r"[{\[\"]", value) else REDACTED
        return self.without_names(parsed, is_metadata=is_metadata) if isinstance(parsed, dict | list) else value

    def without_names(self, value: Any, *, is_metadata: bool = False) -> Any:
        """`value` with the secrets under telling names replaced."""
        if isinstance(value, dict):
            result = {}
            for name, member in value.items():
                if isinstance(member, str) and member and self._is_secret(name, value, is_metadata=is_metadata):
                    result[name] = REDACTED
                elif name in ("provider", "model") and isinstance(member, str):
                    result[name] = hidden_slug(member)
                else:
                    result[name] = self.without_names(member, is_metadata=name == "metadata")
            return result
        return [self.without_names(item) for item in value] if isinstance(value, list) else value

    def _is_secret(self, name: str, siblings: Mapping[str, Any], *, is_metadata: bool = False) -> bool:
        if name in self._fields or name in _USER_FIELDS or (is_metadata and _USER_IN_METADATA.fullmatch(name)):
            return True
        if name == "key":
            # The word is common; an answer that makes a credential uses it too.
            return looks_random(siblings[name])
        # The log probability of a token is no credential.
        return names_a_secret(name) and not (name == "token" and "logprob" in siblings)

    def _path(self, url: str) -> str:
        parts = urlsplit(url)
        # Every gateway has its own address in front of the version of the API.
        path = re.sub(r"^.*?/v1(?=/|\Z)", "", parts.path, count=1) or "/"
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        shown = [
            (name, REDACTED if parameter_names_a_secret(name) else value)
            for name, value in sorted(pairs, key=lambda pair: pair[0])
        ]
        query = "&".join(f"{quote(name)}={value if value == REDACTED else quote(value)}" for name, value in shown)
        return f"{path}?{query}" if query else path

    # Finding the secrets

    def _cleaner(self, live: GatewayRequest, request: RecordedRequest, answer: Any, texts: Sequence[str]) -> _Cleaner:
        found: dict[str, Secret] = {}

        def add(value: str, origin: str, placeholder: str = REDACTED, *, asked_for: bool = False) -> None:
            value = value.strip()
            if value not in found and (asked_for or is_worth_hiding(value)) and not PLACEHOLDER.fullmatch(value):
                found[value] = Secret(value, placeholder, origin)

        for value, origin, placeholder in self._sent(live):
            add(value, origin, placeholder)
        sources: list[str] = [request.path, *(text for text in request.headers.values() if isinstance(text, str))]
        sources += [leaf for name in _JSON_HEADERS for _, leaf in leaves(request.headers.get(name))]
        if request.body is not None:
            sources.append(request.body.content().decode("utf-8", "replace"))
        for value, name in self._under_names(answer):
            add(value, f"the answer's {name}")
        for source in sources:
            for value, name in self._behind_words(source):
                add(value, f"the request's {name}")
        for source in (*sources, *texts):
            for value, name in self._under_names(_json_in(source)):
                add(value, f"the {name} in a text")
            for view in views(source):
                for rule in self.shapes:
                    for start, end in rule.find(view):
                        asked_for = rule.name in self._own
                        add(view[start:end], f"the shape {rule.name}", f"<redacted-{rule.name}>", asked_for=asked_for)
        return _Cleaner(tuple(found.values()), self._contexts, self)

    def _behind_words(self, source: str) -> Iterator[tuple[str, str]]:
        """What the words before it show to be a secret: in a URL, a form, an assignment."""
        for rule in self._contexts:
            if rule in PERSONAL:
                continue
            for start, end in rule.find(source):
                for value in {source[start:end], unquote(source[start:end])}:
                    yield value, rule.name
                    if rule.name == "url-userinfo":
                        user, _, password = source[start:end].partition(":")
                        yield unquote(password), rule.name
                        yield unquote(user), rule.name

    def _sent(self, live: GatewayRequest) -> Iterator[tuple[str, str, str]]:
        """The credentials the client sent: value, where it was, and what takes its place."""
        forwarded = {
            name.strip().lower().replace("_", "-")
            for name in live.headers.get("x-portkey-forward-headers", "").split(",")
        }
        for name, value in live.headers.items():
            origin = f"the header {name}"
            if name in ("authorization", "proxy-authorization"):
                scheme, _, rest = value.strip().partition(" ")
                for part in [rest.strip(), *re.split(r"[\s,]+|(?<=\w)=(?=\S)", rest)] if rest else [scheme]:
                    yield part, origin, REDACTED
                if scheme.lower() == "basic" and (plain := from_base64(rest.strip())):
                    user_info = plain.decode("utf-8", "replace")
                    yield user_info, origin, REDACTED
                    yield user_info.partition(":")[2], origin, REDACTED
            elif name == "cookie":
                for part in value.split(";"):
                    cookie = part.partition("=")[2].strip()
                    yield cookie, origin, REDACTED
                    yield unquote(cookie), origin, REDACTED
            elif name in _JSON_HEADERS:
                for secret, field in self._in_json(value, is_metadata=name == "x-portkey-metadata"):
                    yield secret, f"{origin}, {field}", REDACTED
            elif name == "x-portkey-provider":
                if match := _SLUG.match(value):
                    yield match["slug"], origin, hidden_slug(value)[1:]
            elif names_a_secret(name) or name in forwarded or name in ("openai-organization", "openai-project"):
                yield value, origin, REDACTED
                if value.startswith("{"):
                    for secret, field in self._in_json(value):
                        yield secret, f"{origin}, {field}", REDACTED
            elif name not in REQUEST_HEADERS and looks_random(value) and not _NO_CREDENTIAL.search(name):
                yield value, origin, REDACTED
        parts = urlsplit(live.url)
        for text in (parts.password, parts.username):
            if text:
                yield unquote(text), "the URL", REDACTED
        for name, value in parse_qsl(parts.query):
            if parameter_names_a_secret(name):
                yield value, f"the query parameter {name}", REDACTED
        data = live.body
        if encoding := live.headers.get("content-encoding", ""):
            plain_reads = decoded(encoding, ((0, data),))
            data = data if plain_reads is None else b"".join(piece for _, piece in plain_reads)
        body = codec.body_of(data)
        if isinstance(body, JsonBody):
            for value, name in self._under_names(body.value):
                yield value, f"the request's {name}", REDACTED
            model = body.value.get("model") if isinstance(body.value, dict) else None
            if isinstance(model, str) and (match := _SLUG.match(model)):
                yield match["slug"], "the request's model", hidden_slug(model)[1:].partition("/")[0]

    def _in_json(self, text: str, *, is_metadata: bool = False) -> Iterator[tuple[str, str]]:
        try:
            yield from self._under_names(json.loads(text), is_metadata=is_metadata)
        except (ValueError, RecursionError):
            for match in re.finditer(r"([\w-]+)[\\\"']+\s*:\s*[\\\"']+([^\"'\\]+)", text):
                if names_a_secret(match[1]):
                    yield match[2], match[1]

    def _under_names(self, value: Any, *, is_metadata: bool = False) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for name, member in value.items():
                if isinstance(member, str):
                    if self._is_secret(name, value, is_metadata=is_metadata):
                        yield member, name
                        if match := _SCHEME.match(member):
                            yield match["rest"], name
                    else:
                        yield from self._under_names(_json_in(member))
                else:
                    yield from self._under_names(member, is_metadata=name == "metadata")
        elif isinstance(value, list):
            for item in value:
                yield from self._under_names(item)


def _json_in(text: str) -> Json:
    """The JSON that a text is, as the arguments of a tool call are; None if it is none."""
    if text[:1] not in ("{", "["):
        return None
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def hidden_slug(text: str) -> str:
    """A provider or model that starts with `@slug`, with the slug made unreadable but still told from others."""
    match = _SLUG.match(text)
    if match is None:
        return text
    mark = hashlib.sha256(match["slug"].encode()).hexdigest()[:4]
    return f"@<redacted-{mark}>{text[match.end() :]}"


Span = tuple[int, int, str]


class _Cleaner:
    """Replaces known secrets, and what the contexts show, in everything of one exchange."""

    def __init__(self, secrets: Sequence[Secret], contexts: Sequence[Rule], redactor: Redactor) -> None:
        self.secrets = secrets
        self._contexts = contexts
        self._redactor = redactor
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
                return codec.writable(JsonBody(self.json(self._redactor.without_names(value))))
            case TextBody(text):
                return TextBody(self.text(text))
            case BinaryBody(data):
                return BinaryBody(self.text(data.decode("latin-1")).encode("latin-1", "replace"))
        return None

    def request(self, request: RecordedRequest) -> RecordedRequest:
        headers = {name: self.json(value) for name, value in request.headers.items()}
        return RecordedRequest(request.method, self.text(request.path), headers, self.body(request.body))

    def reads(self, reads: Sequence[events.Read]) -> list[events.Read]:
        """The reads of a stream without secrets; an event that has none stays as it is, to the byte."""
        pieces = events.split(b"".join(data for _, data in reads))
        cleaned = self._events(pieces)
        if cleaned == pieces:
            return list(reads)
        return _moved(reads, pieces, cleaned)

    def _events(self, pieces: list[bytes]) -> list[bytes]:
        chunks = [events.chunk_of(piece) for piece in pieces]
        changed = [None if chunk is None else self._redactor.without_names(chunk) for chunk in chunks]
        # First as a whole: a part of a secret may look like a smaller one.
        for channel in events.texts_by_place(changed).values():
            self._across(channel)
        result = []
        for piece, chunk, joined in zip(pieces, chunks, changed, strict=True):
            if joined is None:
                result.append(self._raw(piece))
            else:
                clean = self.json(joined)
                result.append(piece if clean == chunk else events.respelt(piece, clean))
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


def _moved(reads: Sequence[events.Read], pieces: list[bytes], cleaned: list[bytes]) -> list[events.Read]:
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
