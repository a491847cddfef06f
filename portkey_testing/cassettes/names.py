"""What stands under the name of a secret: in a config, a body or metadata, at any depth."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from portkey_testing.cassettes._yaml import Json
from portkey_testing.cassettes.secrets import REDACTED, looks_random, names_a_secret

_USER_FIELDS: Final = frozenset({"user", "_user", "safety_identifier", "prompt_cache_key"})
"""Members that name a person."""

_USER_IN_METADATA: Final = re.compile(
    r"(?i)_?(?:(?:end|app)[_-]?)?(?:user|customer|account)(?:[_-]?(?:id|name|e?mail))?|e?mail"
)
"""Members of metadata that name a person."""

_SCHEME: Final = re.compile(r"(?i)(?:bearer|basic|token)\s+(?P<rest>\S.*)")
SLUG: Final = re.compile(r"@(?P<slug>[^/\s]+)")
"""What a provider or model starts with that an account has registered; the slug may tell whose it is."""


class Names:
    """The names of members whose values are secrets.

    Args:
        fields: Names of the project's own.
    """

    def __init__(self, fields: Iterable[str] = ()) -> None:
        self._fields = frozenset(fields)

    def without(self, value: Any, *, is_metadata: bool = False) -> Any:
        """`value` with the secrets under telling names replaced."""
        if isinstance(value, dict):
            result = {}
            for name, member in value.items():
                if isinstance(member, str) and member and self._is_secret(name, value, is_metadata=is_metadata):
                    result[name] = REDACTED
                elif name in ("provider", "model") and isinstance(member, str):
                    result[name] = hidden_slug(member)
                else:
                    result[name] = self.without(member, is_metadata=name == "metadata")
            return result
        return [self.without(item) for item in value] if isinstance(value, list) else value

    def values(self, value: Any, *, is_metadata: bool = False) -> Iterator[tuple[str, str]]:
        """The secrets under telling names, each with its name, also inside texts that are JSON themselves."""
        if isinstance(value, dict):
            for name, member in value.items():
                if isinstance(member, str):
                    if self._is_secret(name, value, is_metadata=is_metadata):
                        yield member, name
                        if match := _SCHEME.match(member):
                            yield match["rest"], name
                    else:
                        yield from self.values(json_in(member))
                else:
                    yield from self.values(member, is_metadata=name == "metadata")
        elif isinstance(value, list):
            for item in value:
                yield from self.values(item)

    def values_in(self, text: str, *, is_metadata: bool = False) -> Iterator[tuple[str, str]]:
        """The same of JSON text, or of what only looks like it."""
        try:
            yield from self.values(json.loads(text), is_metadata=is_metadata)
        except (ValueError, RecursionError):
            for match in re.finditer(r"([\w-]+)[\\\"']+\s*:\s*[\\\"']+([^\"'\\]+)", text):
                if names_a_secret(match[1]):
                    yield match[2], match[1]

    def _is_secret(self, name: str, siblings: Mapping[str, Any], *, is_metadata: bool = False) -> bool:
        if name in self._fields or name in _USER_FIELDS or (is_metadata and _USER_IN_METADATA.fullmatch(name)):
            return True
        if name == "key":
            # The word is common; an answer that makes a credential uses it too.
            return looks_random(siblings[name])
        # The log probability of a token is no credential.
        return names_a_secret(name) and not (name == "token" and "logprob" in siblings)


def json_in(text: str) -> Json:
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
    match = SLUG.match(text)
    if match is None:
        return text
    mark = hashlib.sha256(match["slug"].encode()).hexdigest()[:4]
    return f"@<redacted-{mark}>{text[match.end() :]}"
