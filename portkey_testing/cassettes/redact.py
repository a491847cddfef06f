"""Takes the secrets out of an exchange before any of it is written.

Three things are done, each enough for most secrets, so that one that slips through the first is caught by the next:

1.  By name. Of the headers only those on a list are kept. What stands under a name like `api_key` or `refresh_token`, in a config, a
    body, a form or a query, at any depth, becomes `<redacted>`.
2.  By value. Whatever was found by name, whatever the client sent as a credential, and whatever has the shape of a known kind of
    key, is looked for in everything that is kept: as it is, JSON-escaped, percent-encoded, HTML-escaped, in base64, and in pieces
    over the events of a stream.
3.  By looking again. `scan` undoes every encoding it knows and searches what is about to be written for the same secrets and
    shapes with code of its own; a hit refuses the recording.

What takes a secret's place does not depend on the secret, so a request made with another key still matches.
"""

from __future__ import annotations

import base64
import binascii
import functools
import gzip
import hashlib
import html
import ipaddress
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from portkey_testing.cassettes import codec, events
from portkey_testing.cassettes._yaml import Json
from portkey_testing.cassettes.exchange import Exchange, decoded
from portkey_testing.cassettes.model import (
    COMPLETE,
    BinaryBody,
    Body,
    EventStream,
    Interaction,
    JsonBody,
    RecordedFailure,
    RecordedRequest,
    RecordedResponse,
    TextBody,
)
from portkey_testing.timeline import GatewayRequest

REDACTED: Final = "<redacted>"

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

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_NAME: Final = re.compile(
    r"(?:.*(?:apikey|secret|secretkey|accesskey|accesskeyid|privatekey|privatekeyid|signingkey|encryptionkey|password|passwd"
    r"|passphrase|credential|credentials|authorization|virtualkey|setcookie|clientassertion|connectionstring"
    r"|serviceaccountjson|signature)"
    r"|(?:.*(?:access|refresh|id|session|security|auth|bearer|csrf|ad|api|personal|secret|client|device|oauth|jwt))?token"
    r"|cookie|cookies|auth|bearer|pwd|sig|jwt|sessionid)\Z"
)
_SECRET_PARAMETERS: Final = frozenset({"key", "code", "state", "ticket", "se", "sv", "skoid", "sktid"})
"""Names that are a secret's in a URL, and a common word elsewhere."""

_SLUG: Final = re.compile(r"@(?P<slug>[^/\s]+)")


@functools.lru_cache(maxsize=4096)
def names_a_secret(name: str) -> bool:
    """Whether what stands under `name` is a secret; `apiKey`, `api_key` and `x-api-key` are the same."""
    return _SECRET_NAME.match("".join(_WORD.findall(name)).lower()) is not None


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of secret that is known by its shape.

    Attributes:
        name: By which it can be switched off, and which the placeholder shows: `<redacted-NAME>`.
        pattern: Finds it; where the pattern has a group `v`, that part is the secret.
        check: Says whether what was found is one.
    """

    name: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool] = bool

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where in `text` such secrets are."""
        group = "v" if "v" in self.pattern.groupindex else 0
        for match in self.pattern.finditer(text):
            if self.check(match[group]):
                yield match.span(group)


def _luhn(text: str) -> bool:
    """ISO/IEC 7812-1: the check digit of a card number."""
    digits = [int(digit) for digit in re.sub(r"\D", "", text)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(digits) in (15, 16) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _public_address(text: str) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not (
        address.is_loopback
        or address.is_unspecified
        or address in ipaddress.IPv4Network("10.0.0.0/8")
        or address in ipaddress.IPv4Network("192.168.0.0/16")
        or address in ipaddress.IPv4Network("172.16.0.0/12")
    )


def _random_looking(text: str) -> bool:
    """Whether a text could be a credential rather than a word or a placeholder of this module."""
    return len(text) >= 8 and not text.startswith("<redacted") and bool(re.search(r"[0-9]", text))


def _rule(name: str, pattern: str, check: Callable[[str], bool] = bool) -> Rule:
    return Rule(name, re.compile(pattern), check)


SHAPES: Final[tuple[Rule, ...]] = (
    _rule(
        "private-key",
        r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.+?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)",
    ),
    _rule("jwt", r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?"),
    # OpenAI, Anthropic, OpenRouter, DeepSeek and those that copy them
    _rule("sk-key", r"\bsk-[A-Za-z0-9_-]{16,}"),
    _rule("portkey-key", r"\bpk-[A-Za-z0-9_-]{16,}"),
    _rule("aws-key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    _rule("bedrock-key", r"\bABSK[A-Za-z0-9+/]{60,}={0,2}"),
    _rule("google-key", r"\bAIza[A-Za-z0-9_-]{30,}"),
    _rule("google-token", r"\bya29\.[A-Za-z0-9_-]{20,}"),
    _rule("azure-secret", r"\b[A-Za-z0-9_~.]{3}[0-9]?Q~[A-Za-z0-9_~.-]{20,}"),
    _rule("groq-key", r"\bgsk_[A-Za-z0-9]{20,}"),
    _rule("huggingface-key", r"\b(?:hf|api_org)_[A-Za-z]{30,}"),
    _rule("perplexity-key", r"\bpplx-[A-Za-z0-9]{20,}"),
    _rule("github-key", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})"),
    _rule("gitlab-key", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    _rule("slack-key", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _rule("webhook-secret", r"\bwhsec_[A-Za-z0-9+/=]{16,}"),
    _rule("stripe-key", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _rule("xai-key", r"\bxai-[A-Za-z0-9]{20,}"),
    _rule("replicate-key", r"\br8_[A-Za-z0-9]{20,}"),
    _rule("nvidia-key", r"\bnvapi-[A-Za-z0-9_-]{20,}"),
    _rule("masked-key", r"\b[A-Za-z0-9][A-Za-z0-9_-]{1,15}\*{5,}[A-Za-z0-9_-]{2,8}"),
)
"""Kinds of keys that are known by themselves, whatever stands around them."""

CONTEXTS: Final[tuple[Rule, ...]] = (
    _rule(
        "url-parameter",
        r"(?i)[?&](?:x-amz-(?:credential|security-token|signature)|sig|signature|key|api[_-]?key|apikey|access[_-]?token|id_token"
        r"|refresh_token|auth|token|password|secret|client_secret|subscription-key)=(?P<v>[^&\s\"'<>\\]{4,})",
    ),
    _rule("url-userinfo", r"\b[a-z][a-z0-9+.-]*://(?P<v>[^/\s:@\"'<>]*:[^/\s@\"'<>]+)@"),
    _rule(
        "form-field",
        r"(?i)name=\"[^\"]*(?:key|token|secret|password|authorization)\"\r?\n(?:[^\r\n]+\r?\n)*\r?\n(?P<v>[^\r\n]+)",
    ),
    _rule("bearer", r"(?i)\b(?:bearer|basic)\s+(?P<v>[A-Za-z0-9+/=._~-]{8,})", _random_looking),
    _rule(
        "assignment",
        r"(?i)(?:api[_-]?key|secret|password|passwd|passphrase|access[_-]?token|auth[_-]?token|refresh[_-]?token|private[_-]?key"
        r"|virtual[_-]?key|authorization|access[_-]?key(?:[_-]?id)?)[\\\"']{0,6}\s*[:=]\s*[\\\"']{0,6}"
        r"(?:(?:bearer|basic)\s+)?(?P<v>[^\s\"'\\,;&<>{}]{8,})",
        _random_looking,
    ),
)
"""Secrets that are known by what stands before them."""

PERSONAL: Final[tuple[Rule, ...]] = (
    _rule("email", r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b"),
    _rule(
        "phone",
        r"(?<![\w+])\+[1-9][0-9]{0,2}(?:[ ()/.-]{0,2}[0-9]{2,}){2,6}\b",
        lambda text: len(re.sub(r"\D", "", text)) >= 9,
    ),
    _rule("card", r"(?<![\w.-])[3-6][0-9]{3}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{3,4}(?![\w-])", _luhn),
    _rule("address", r"(?<![\w.-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w-]|\.[0-9])", _public_address),
    _rule("openai-organization", r"\borg-[A-Za-z0-9]{16,}\b"),
    _rule("openai-project", r"\bproj_[A-Za-z0-9]{16,}\b"),
)
"""What points to a person or an organisation."""

_MIN_SECRET: Final = 8
_PLACEHOLDER: Final = re.compile(r"@?<redacted[a-z0-9-]*>")


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be written.

    Attributes:
        value: The value.
        placeholder: What takes its place.
        origin: Where it was found, for messages.
    """

    value: str
    placeholder: str
    origin: str


def is_worth_hiding(value: str) -> bool:
    """Whether a credential can be told from a word, so that looking for it everywhere does no harm.

    Dummies such as `test` and `openai` are no secrets, and replacing them would spoil every text that has the word.
    """
    return len(value) >= _MIN_SECRET and (len(value) >= 16 or re.fullmatch("[a-z]+|[A-Z]+|[0-9]{1,9}", value) is None)


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
            own = tuple(_rule(name, pattern) for name, pattern in (rules or {}).items())
        except re.error as error:
            raise ValueError(f"not a pattern: {error.pattern!r}: {error}") from None
        self._shapes = (*own, *(rule for rule in SHAPES if rule.name not in off))
        self._contexts = tuple(rule for rule in (*CONTEXTS, *PERSONAL) if rule.name not in off)
        self._fields = frozenset(fields)

    # Reading a live request

    def readings(self, request: GatewayRequest) -> Iterator[RecordedRequest]:
        """How a recording of `request` could read, the likely one first.

        A recording holds no secret. Where the first reading, redacted by name only, equals one, the request has none either, and
        looking for them in every text was saved.
        """
        reading = self._by_name(request)
        yield reading
        cleaner = self._cleaner(request, reading, ())
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
        cleaner = self._cleaner(exchange.request, request, (data, *_channels(data)) if is_stream else (data,))
        if exchange.status is None:
            failure = RecordedFailure(exchange.ended, exchange.after_ms)
            return Interaction(cleaner.request(request), failure), cleaner.secrets
        body: Body | None
        if is_stream and data:
            body = events.pack(cleaner.reads(reads))
        else:
            body = cleaner.body(codec.body_of(data))
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
                headers[name] = self._json_header(value)
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
            body = JsonBody(self._without_names(body.value))
        return RecordedRequest(request.method, self._path(request.url), dict(sorted(headers.items())), body)

    def _json_header(self, value: str) -> Json:
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value if not re.search(r"[{\[\"]", value) else REDACTED
        return self._without_names(parsed) if isinstance(parsed, dict | list) else value

    def _without_names(self, value: Any) -> Any:
        """`value` with the secrets under telling names replaced."""
        if isinstance(value, dict):
            result = {}
            for name, member in value.items():
                if isinstance(member, str) and member and self._is_secret(name, value):
                    result[name] = REDACTED
                elif name in ("provider", "model") and isinstance(member, str):
                    result[name] = hidden_slug(member)
                else:
                    result[name] = self._without_names(member)
            return result
        return [self._without_names(item) for item in value] if isinstance(value, list) else value

    def _is_secret(self, name: str, siblings: Mapping[str, Any]) -> bool:
        if name in self._fields or name in _USER_FIELDS:
            return True
        # The log probability of a token is no credential.
        return names_a_secret(name) and not (name == "token" and "logprob" in siblings)

    def _path(self, url: str) -> str:
        parts = urlsplit(url)
        # Every gateway has its own address in front of the version of the API.
        path = re.sub(r"^.*?/v1(?=/|\Z)", "", parts.path, count=1) or "/"
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        shown = [
            (name, REDACTED if self._is_secret_parameter(name) else value)
            for name, value in sorted(pairs, key=lambda pair: pair[0])
        ]
        query = "&".join(f"{quote(name)}={value if value == REDACTED else quote(value)}" for name, value in shown)
        return f"{path}?{query}" if query else path

    def _is_secret_parameter(self, name: str) -> bool:
        return name.lower() in _SECRET_PARAMETERS or name.lower().startswith("x-amz-") or names_a_secret(name)

    # Finding the secrets

    def _cleaner(self, live: GatewayRequest, request: RecordedRequest, texts: Iterable[bytes | str]) -> _Cleaner:
        found: dict[str, Secret] = {}

        def add(value: str, origin: str, placeholder: str = REDACTED) -> None:
            value = value.strip()
            if value not in found and is_worth_hiding(value) and not _PLACEHOLDER.fullmatch(value):
                found[value] = Secret(value, placeholder, origin)

        for value, origin, placeholder in self._sent(live):
            add(value, origin, placeholder)
        sources: list[str] = [request.path, *(text for text in request.headers.values() if isinstance(text, str))]
        sources += [leaf for name in _JSON_HEADERS for _, leaf in leaves(request.headers.get(name))]
        if request.body is not None:
            sources.append(request.body.content().decode("utf-8", "replace"))
        for text in texts:
            if isinstance(text, bytes):
                text = text.decode("utf-8", "replace")
                body = codec.body_of(text.encode()) if not text.startswith("data:") else None
                if isinstance(body, JsonBody):
                    for value, name in self._under_names(body.value):
                        add(value, f"the answer's {name}")
            sources.append(text)
        for source in sources:
            for view in views(source):
                for rule in self._shapes:
                    for start, end in rule.find(view):
                        add(view[start:end], f"the shape {rule.name}", f"<redacted-{rule.name}>")
        return _Cleaner(tuple(found.values()), self._contexts, self)

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
                if scheme.lower() == "basic" and (plain := _from_base64(rest.strip())):
                    user_info = plain.decode("utf-8", "replace")
                    yield user_info, origin, REDACTED
                    yield user_info.partition(":")[2], origin, REDACTED
            elif name == "cookie":
                for part in value.split(";"):
                    cookie = part.partition("=")[2].strip()
                    yield cookie, origin, REDACTED
                    yield unquote(cookie), origin, REDACTED
            elif name in _JSON_HEADERS:
                for secret, field in self._in_json(value):
                    yield secret, f"{origin}, {field}", REDACTED
            elif name == "x-portkey-provider":
                if match := _SLUG.match(value):
                    yield match["slug"], origin, hidden_slug(value)[1:]
            elif names_a_secret(name) or name in forwarded or name in ("openai-organization", "openai-project"):
                yield value, origin, REDACTED
                if value.startswith("{"):
                    for secret, field in self._in_json(value):
                        yield secret, f"{origin}, {field}", REDACTED
        parts = urlsplit(live.url)
        for text in (parts.password, parts.username):
            if text:
                yield unquote(text), "the URL", REDACTED
        for name, value in parse_qsl(parts.query):
            if self._is_secret_parameter(name):
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

    def _in_json(self, text: str) -> Iterator[tuple[str, str]]:
        try:
            yield from self._under_names(json.loads(text))
        except (ValueError, RecursionError):
            for match in re.finditer(r"([\w-]+)[\\\"']+\s*:\s*[\\\"']+([^\"'\\]+)", text):
                if names_a_secret(match[1]):
                    yield match[2], match[1]

    def _under_names(self, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for name, member in value.items():
                if isinstance(member, str):
                    if self._is_secret(name, value):
                        yield member, name
                else:
                    yield from self._under_names(member)
        elif isinstance(value, list):
            for item in value:
                yield from self._under_names(item)


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
                if not _PLACEHOLDER.search(text, start, end) and not any(s < end and start < e for s, e in known):
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
                return codec.writable(JsonBody(self.json(self._redactor._without_names(value))))
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
        changed = [None if chunk is None else self.json(self._redactor._without_names(chunk)) for chunk in chunks]
        for channel in _texts_by_place(changed).values():
            self._across(channel)
        result = []
        for piece, chunk, clean in zip(pieces, chunks, changed, strict=True):
            if clean is None:
                result.append(self._raw(piece))
            else:
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


def _texts_by_place(chunks: Sequence[Any]) -> dict[tuple[Any, ...], list[tuple[Any, Any]]]:
    """The texts inside the choices of chunks, those at the same place together: (container, key) of each."""
    places: dict[tuple[Any, ...], list[tuple[Any, Any]]] = {}

    def walk(value: Any, place: tuple[Any, ...]) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, member in items:
            index = member.get("index", key) if isinstance(member, dict) and isinstance(value, list) else key
            if isinstance(member, str):
                places.setdefault((*place, index), []).append((value, key))
            else:
                walk(member, (*place, index))

    for chunk in chunks:
        if isinstance(chunk, dict):
            walk(chunk.get("choices"), ())
    return places


def _channels(data: bytes) -> list[str]:
    """The texts of a stream as they read when its events are joined."""
    chunks = [events.chunk_of(piece) for piece in events.split(data)]
    return ["".join(container[key] for container, key in channel) for channel in _texts_by_place(chunks).values()]


# Encodings

_NAMED_ENTITIES: Final = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
_ESCAPES: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


@functools.lru_cache(maxsize=256)
def pattern_of(secret: str) -> re.Pattern[str]:
    """Finds `secret` however its characters are written: plain, escaped for JSON any number of times, for a URL or for HTML."""
    return re.compile("".join(map(_any_spelling, secret)))


@functools.lru_cache(maxsize=1024)
def _any_spelling(character: str) -> str:
    code = ord(character)
    utf16 = character.encode("utf-16-be", "surrogatepass")
    escaped = "".join(rf"\\+u(?i:{utf16[i : i + 2].hex()})" for i in range(0, len(utf16), 2))
    percent = "".join(f"%(?:25)*(?i:{byte:02x})" for byte in character.encode("utf-8", "surrogatepass"))
    ways = [re.escape(character), escaped, percent, f"&#0*{code};", f"&#[xX]0*(?i:{code:x});"]
    if character in _NAMED_ENTITIES:
        ways.append(f"&(?:amp;)*{_NAMED_ENTITIES[character]};")
    if character in _ESCAPES:
        ways.append(rf"\\+{_ESCAPES[character]}")
    if character in "\\/\"'":
        ways.append(r"\\+" + re.escape(character))
    if character == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(ways)})"


_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{11,}={0,2}")


def base64_tokens(text: str) -> Iterator[tuple[int, int, bytes]]:
    """Stretches of `text` that may be base64: start, end, and what they hold at each of the four ways to begin."""
    for match in _BASE64.finditer(text):
        token = match[0].rstrip("=").replace("-", "+").replace("_", "/")
        data = b"\n".join(filter(None, (_from_base64(token[shift:]) for shift in range(4))))
        yield match.start(), match.end(), b"\n".join([data, *_unzipped(token)])


def _from_base64(token: str) -> bytes | None:
    token = token.rstrip("=").replace("-", "+").replace("_", "/")
    if len(token) % 4 == 1:
        token = token[:-1]
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None


def _unzipped(token: str) -> Iterator[bytes]:
    if token.startswith("H4sI"):  # the magic number of gzip
        data = _from_base64(token) or b""
        try:
            yield zlib.decompressobj(31).decompress(data, 2**20)
        except zlib.error:
            return


_JSON_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_UNESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        escape = match[1]
        return chr(int(escape[1:], 16)) if len(escape) == 5 else _UNESCAPED.get(escape, escape)

    return _JSON_ESCAPE.sub(one, text)


def views(text: str, depth: int = 3) -> Iterator[str]:
    """`text`, and what it reads as when JSON, URL, HTML and base64 encodings are undone, one inside the other."""
    seen = {text}
    level = [text]
    yield text
    for _ in range(depth):
        deeper = []
        for known in level:
            for other in _undone(known):
                if other not in seen:
                    seen.add(other)
                    deeper.append(other)
                    yield other
        level = deeper


def _undone(text: str) -> Iterator[str]:
    if "\\" in text:
        yield _unescaped(text)
    if "%" in text:
        yield unquote(text, errors="replace")
    if "&" in text:
        yield html.unescape(text)
    for _, _, data in base64_tokens(text):
        inner = data.decode("utf-8", "ignore")
        # Most tokens are no base64 at all, and read as noise.
        if inner and sum(map(str.isprintable, inner)) > 0.4 * len(inner):
            yield inner


# Looking again


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each text in a JSON value, and each key, with where it is."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield f"{path} (a key)", name
            yield from leaves(member, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, f"{path}[{place}]")


def scan(interaction: Interaction, secrets: Sequence[Secret], redactor: Redactor) -> str | None:
    """Where in `interaction` a secret is left and of what kind it is, or None. The secret itself is not said."""
    for place, text in _everything(interaction):
        for view in views(text, depth=4):
            for secret in secrets:
                if secret.value in view:
                    return f"{place} holds what {secret.origin} is"
            for rule in redactor._shapes:
                if any(True for _ in rule.find(view)):
                    return f"{place} holds a {rule.name}"
    return None


def _everything(interaction: Interaction) -> Iterator[tuple[str, str]]:
    request, response = interaction.request, interaction.response
    yield "request.path", request.path
    yield from leaves(request.headers, "request.headers")
    yield from _of_body(request.body, "request")
    if isinstance(response, RecordedResponse):
        yield from leaves(response.headers, "response.headers")
        yield from _of_body(response.body, "response")


def _of_body(body: Body | None, place: str) -> Iterator[tuple[str, str]]:
    match body:
        case JsonBody(value):
            yield from leaves(value, f"{place}.body")
        case TextBody(text):
            yield f"{place}.text", text
        case BinaryBody(data):
            yield f"{place}.base64", data.decode("latin-1")
            if data.startswith(b"\x1f\x8b"):
                yield f"{place}.base64", gzip.decompress(data)[: 2**20].decode("latin-1")
        case EventStream(lines, envelope, _, message):
            yield f"{place}.events", lines
            yield from leaves(envelope, f"{place}.envelope")
            yield from leaves(message, f"{place}.message")
            data = b"".join(piece for _, piece in events.unpack(body))
            for text in _channels(data):
                yield f"{place}.events (joined)", text
