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

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from portkey_testing.cassettes import events, stream
from portkey_testing.cassettes._yaml import Json
from portkey_testing.cassettes.bodies import body_of
from portkey_testing.cassettes.clean import Cleaner
from portkey_testing.cassettes.exchange import Exchange, decoded
from portkey_testing.cassettes.match import listed
from portkey_testing.cassettes.model import (
    COMPLETE,
    Interaction,
    JsonBody,
    RecordedFailure,
    RecordedRequest,
    RecordedResponse,
)
from portkey_testing.cassettes.names import SLUG, Names, hidden_slug, json_in
from portkey_testing.cassettes.scan import leaves
from portkey_testing.cassettes.secrets import (
    CONTEXTS,
    PERSONAL,
    PLACEHOLDER,
    REDACTED,
    SHAPES,
    Secret,
    from_base64,
    is_worth_hiding,
    looks_random,
    names_a_secret,
    own_rule,
    parameter_names_a_secret,
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
_NO_CREDENTIAL: Final = re.compile(
    r"trace|span|request|correlation|idempotency|agent|stainless|accept|content|host|date"
)
"""Headers whose values look random, and identify a request or a program."""


class Redactor:
    """Turns exchanges into interactions without secrets.

    Args:
        rules: Further kinds of secrets, by name: a pattern, whose group `v` is the secret if it has one.
        off: Names of built-in rules not to apply, such as `email`.
        fields: Further names of members whose values are secrets.

    Raises:
        TypeError: `off` or `fields` is a single text, or `rules` are no mapping.
        ValueError: a rule to switch off does not exist, or a pattern is none.
    """

    def __init__(
        self,
        *,
        rules: Mapping[str, str] | None = None,
        off: Iterable[str] = (),
        fields: Iterable[str] = (),
    ) -> None:
        off = frozenset(listed("off", off))
        if rules is not None and not isinstance(rules, Mapping):
            raise TypeError(f"rules are patterns by name, as in {{'ticket': r'ACME-\\d+'}}, not {rules!r:.100}")
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
        self._names = Names(listed("fields", fields))

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
            chunks = [stream.chunk_of(piece) for piece in stream.split(data)]
            cleaner = self._cleaner(exchange.request, request, chunks, [text, *stream.channels(data)])
        else:
            plain = body_of(data)
            answer = plain.value if isinstance(plain, JsonBody) else None
            cleaner = self._cleaner(exchange.request, request, answer, [text])
        if exchange.status is None:
            failure = RecordedFailure(exchange.ended, exchange.after_ms)
            return Interaction(cleaner.request(request), failure), cleaner.secrets
        body = events.pack(cleaner.reads(reads)) if is_stream and data else cleaner.body(body_of(data))
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
        data = _decoded_body(request)
        if media == "multipart/form-data" and (boundary := re.search(r"boundary=\"?([^\";]+)", content)):
            # It is random, and means nothing.
            data = data.replace(boundary[1].encode(), b"BOUNDARY")
        if media not in _PLAIN_CONTENT:
            headers["content-type"] = media
        body = body_of(data)
        if isinstance(body, JsonBody):
            body = JsonBody(self._names.without(body.value))
        return RecordedRequest(request.method, self._path(request.url), dict(sorted(headers.items())), body)

    def _json_header(self, value: str, *, is_metadata: bool) -> Json:
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value if not re.search(r"[{\[\"]", value) else REDACTED
        return self._names.without(parsed, is_metadata=is_metadata) if isinstance(parsed, dict | list) else value

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

    def _cleaner(self, live: GatewayRequest, request: RecordedRequest, answer: Any, texts: Sequence[str]) -> Cleaner:
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
        for value, name in self._names.values(answer):
            add(value, f"the answer's {name}")
        for source in sources:
            for value, name in self._behind_words(source):
                add(value, f"the request's {name}")
        for source in (*sources, *texts):
            for value, name in self._names.values(json_in(source)):
                add(value, f"the {name} in a text")
            for view in views(source):
                for rule in self.shapes:
                    for start, end in rule.find(view):
                        asked_for = rule.name in self._own
                        add(view[start:end], f"the shape {rule.name}", f"<redacted-{rule.name}>", asked_for=asked_for)
        return Cleaner(tuple(found.values()), self._contexts, self._names)

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
                for secret, field in self._names.values_in(value, is_metadata=name == "x-portkey-metadata"):
                    yield secret, f"{origin}, {field}", REDACTED
            elif name == "x-portkey-provider":
                if match := SLUG.match(value):
                    yield match["slug"], origin, hidden_slug(value)[1:]
            elif names_a_secret(name) or name in forwarded or name in ("openai-organization", "openai-project"):
                yield value, origin, REDACTED
                if value.startswith("{"):
                    for secret, field in self._names.values_in(value):
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
        body = body_of(_decoded_body(live))
        if isinstance(body, JsonBody):
            for value, name in self._names.values(body.value):
                yield value, f"the request's {name}", REDACTED
            model = body.value.get("model") if isinstance(body.value, dict) else None
            if isinstance(model, str) and (match := SLUG.match(model)):
                yield match["slug"], "the request's model", hidden_slug(model)[1:].partition("/")[0]


def _decoded_body(request: GatewayRequest) -> bytes:
    """The body without its content coding, or as it is if that cannot be undone."""
    reads = decoded(request.headers.get("content-encoding", ""), ((0, request.body),))
    return request.body if reads is None else b"".join(piece for _, piece in reads)
