"""What a secret looks like: under which names, of which shapes, behind which words, and in which encodings.

Nothing here knows requests or cassettes; `redact` takes secrets out of them, and `scan` looks whether any is left.
"""

from __future__ import annotations

import base64
import binascii
import functools
import html
import ipaddress
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

REDACTED: Final = "<redacted>"
PLACEHOLDER: Final = re.compile(r"@?<redacted[a-z0-9-]*>")

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_NAME: Final = re.compile(
    r"(?:.*(?:(?:api|secret|access|private|signing|encryption|service|subscription|account|master|shared|license|admin)key"
    r"|accesskeyid|privatekeyid|secret|password|passwd"
    r"|passphrase|credential|credentials|authorization|virtualkey|setcookie|clientassertion|connectionstring"
    r"|serviceaccountjson|signature)"
    r"|.*(?<!bos)(?<!eos)(?<!pad)(?<!unk)(?<!sep)(?<!cls)(?<!mask)(?<!stop)(?<!page)(?<!next)(?<!continuation)(?<!special)token"
    r"|cookie|cookies|auth|bearer|pwd|sig|jwt|sessionid)\Z"
)
_SECRET_PARAMETERS: Final = frozenset({"key", "code", "state", "ticket", "se", "sv", "skoid", "sktid"})
"""Names that are a secret's in a URL, and a common word elsewhere."""


@functools.lru_cache(maxsize=4096)
def names_a_secret(name: str) -> bool:
    """Whether what stands under `name` is a secret; `apiKey`, `api_key` and `x-api-key` are the same."""
    return _SECRET_NAME.match("".join(_WORD.findall(name)).lower()) is not None


def parameter_names_a_secret(name: str) -> bool:
    """Whether the value of the query parameter `name` is a secret.

    `key` and `code` are secrets there, and common words elsewhere.
    """
    name = name.lower()
    return name in _SECRET_PARAMETERS or name.startswith("x-amz-") or names_a_secret(name)


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


def own_rule(name: str, pattern: str) -> Rule:
    """A rule of a project: what `pattern` finds, or its group `v`, is a secret."""
    return Rule(name, re.compile(pattern))


def _rule(name: str, pattern: str, check: Callable[[str], bool] = bool) -> Rule:
    # To Unicode a key behind `ü`, or behind a byte that is no text, would begin in the middle of a word.
    return Rule(name, re.compile(pattern, re.ASCII), check)


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
    _rule("masked-key", r"\b[A-Za-z0-9][A-Za-z0-9_-]{1,15}\*{3,}[A-Za-z0-9_-]{2,8}"),
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
        r"(?i)(?:(?:api|private|virtual|access|service|subscription|account|master|shared)[_-]?key(?:[_-]?id)?"
        r"|secret|password|passwd|passphrase|token|authorization)[\\\"']{0,6}\s*[:=]\s*[\\\"']{0,6}"
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


def looks_random(value: str) -> bool:
    """Whether a value could only be a credential: long, one word, letters and digits mixed."""
    return (
        len(value) >= 24
        and re.fullmatch(r"[\w+/=.~-]*(?:[A-Za-z][\w+/=.~-]*[0-9]|[0-9][\w+/=.~-]*[A-Za-z])[\w+/=.~-]*", value)
        is not None
    )


def is_worth_hiding(value: str) -> bool:
    """Whether a credential can be told from a word, so that looking for it everywhere does no harm.

    Dummies such as `test` and `openai` are no secrets, and replacing them would spoil every text that has the word.
    """
    return len(value) >= _MIN_SECRET and (len(value) >= 16 or re.fullmatch("[a-z]+|[A-Z]+|[0-9]{1,9}", value) is None)


_NAMED_ENTITIES: Final = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
_ESCAPES: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


@functools.lru_cache(maxsize=256)
def pattern_of(secret: str) -> re.Pattern[str]:
    """Finds `secret` however its characters are written.

    Each may be plain, escaped for JSON any number of times, for a URL or for HTML.
    """
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
        data = b"\n".join(filter(None, (from_base64(token[shift:]) for shift in range(4))))
        inside = b"\n".join([data, *unzipped(from_base64(token) or b"")])
        yield match.start(), match.end(), b"\n".join([inside, *_twice_encoded(inside)])


def _twice_encoded(data: bytes) -> Iterator[bytes]:
    """What stretches of `data` hold that are base64 again."""
    for match in _BASE64.finditer(data.decode("latin-1")):
        for shift in range(4):
            if inner := from_base64(match[0][shift:]):
                yield inner


def from_base64(token: str) -> bytes | None:
    """The bytes behind a base64 text of either alphabet, with or without its padding; None if it is none."""
    token = token.rstrip("=").replace("-", "+").replace("_", "/")
    if len(token) % 4 == 1:
        token = token[:-1]
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None


def unzipped(data: bytes) -> Iterator[bytes]:
    """What is inside if the bytes are of gzip: of a large one its beginning, of a broken one nothing."""
    if data.startswith(b"\x1f\x8b"):
        with suppress(zlib.error):
            yield zlib.decompressobj(31).decompress(data, 2**20)


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
