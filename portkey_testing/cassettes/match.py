"""Which recorded request a live one is: by what it means, found by hash.

The meaning of a request is its method, path, semantic headers and body, with everything left out that says nothing:
members that are null, `stream: false`, the order of keys, how JSON is spelt inside tool call arguments, one text part
instead of a text. So an SDK release that sends a new optional field as null does not make a miss. `MatchRules` leaves
out or evens out what is volatile in one project.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from portkey_testing.cassettes._yaml import Json, Unwritable, write
from portkey_testing.cassettes.model import BinaryBody, JsonBody, RecordedRequest, TextBody
from portkey_testing.faults import unknown

Meaning = dict[str, Any]
Normaliser = Callable[[Meaning], Meaning]
_Item = TypeVar("_Item")

MEANINGLESS_FIELDS: Final = frozenset({"user", "safety_identifier", "prompt_cache_key"})
"""Members of a body that name who asks, and change nothing in the answer. They are redacted in a recording anyway."""

_FREE_FORM: Final = frozenset({"parameters", "schema", "input_schema", "metadata"})
"""Members whose content is the user's own, where a null may mean something."""

_LOOPBACK: Final = re.compile(r"https?://(?:localhost|127(?:\.[0-9]+){3}|\[::1\])(?=[:/]|\Z)")

_TEXTS_OF_A_REQUEST: Final = ("messages", "input", "prompt")


def _each_text(change: Callable[[str], str]) -> Normaliser:
    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, dict):
            return {name: walk(member) for name, member in value.items()}
        return [walk(item) for item in value] if isinstance(value, list) else value

    return lambda meaning: {**meaning, "headers": walk(meaning["headers"]), "body": walk(meaning["body"])}


def _pattern(pattern: str, replacement: str) -> Normaliser:
    compiled = re.compile(pattern)
    return _each_text(lambda text: compiled.sub(replacement, text))


def _tool_call_ids(meaning: Meaning) -> Meaning:
    """Number the tool calls of a conversation in the order in which they appear."""
    numbers: dict[str, str] = {}
    body = meaning["body"]
    messages = body.get("messages") if isinstance(body, dict) else None
    for message in messages if isinstance(messages, list) else ():
        for call in (message.get("tool_calls") or ()) if isinstance(message, dict) else ():
            if isinstance(call, dict) and isinstance(call.get("id"), str):
                numbers.setdefault(call["id"], f"call-{len(numbers) + 1}")
    return _each_text(lambda text: numbers.get(text, text))(meaning) if numbers else meaning


NORMALISERS: Final[Mapping[str, Normaliser]] = {
    "tool_call_ids": _tool_call_ids,
    "uuids": _pattern(r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>"),
    "timestamps": _pattern(
        r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}"
        r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?\b",
        "<time>",
    ),
    "whitespace": _each_text(lambda text: " ".join(text.split())),
}
"""Ways to even out what differs from run to run."""


@dataclass(frozen=True, slots=True)
class MatchRules:
    """What a comparison leaves out.

    Attributes:
        ignore: Paths into the meaning of a request, such as `body.metadata.run_id`, `body.messages[*].name` or
            `headers.x-portkey-metadata`; `*` is any member, `[*]` any item.
        normalise: Names out of `NORMALISERS`, or functions from a meaning to a meaning.

    Raises:
        TypeError: one of them is a single text.
        ValueError: a path or a name is none, or a path would leave nothing to compare.
    """

    ignore: tuple[str, ...] = ()
    normalise: tuple[str | Normaliser, ...] = ()
    _paths: tuple[tuple[str, ...], ...] = field(init=False, repr=False, compare=False)
    _normalisers: tuple[Normaliser, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ignore", listed("ignore", self.ignore))
        object.__setattr__(self, "normalise", listed("normalise", self.normalise))
        object.__setattr__(self, "_paths", tuple(map(_parsed_path, self.ignore)))
        object.__setattr__(self, "_normalisers", tuple(map(_named_normaliser, self.normalise)))

    def meaning(self, request: RecordedRequest) -> Meaning:
        """What `request` means under these rules.

        Raises:
            ValueError: the rules leave nothing of the body to compare.
        """
        meaning = meaning_of(request)
        if not self._paths and not self._normalisers:
            return meaning
        # A rule takes away from its own copy, not from what was recorded.
        meaning = copy.deepcopy(meaning)
        said = _says_something(meaning["body"])
        for path in self._paths:
            _remove(meaning, path)
        for normaliser in self._normalisers:
            meaning = normaliser(meaning)
        if said and not _says_something(meaning["body"]):
            raise ValueError(
                f"the rules leave nothing of this request to compare, so that any recording would match it: "
                f"ignore={list(self.ignore)}. Ignore less."
            )
        return meaning

    def key(self, request: RecordedRequest) -> bytes:
        """A hash of the meaning: equal for requests that mean the same."""
        return key_of(self.meaning(request))


def listed(argument: str, items: Iterable[_Item]) -> tuple[_Item, ...]:
    """Several of something; a single text would be taken for its characters.

    Raises:
        TypeError: it is one.
    """
    if isinstance(items, str):
        raise TypeError(f"{argument} takes several, as in {argument}=({items!r},), not a single text")
    return tuple(items)


def _parsed_path(path: str) -> tuple[str, ...]:
    parts = tuple(part for part in re.split(r"\.|(?=\[)", path) if part)
    if len(parts) < 2 or parts[0] not in ("body", "headers") or parts[1:] in (("*",), ("messages",)):
        raise ValueError(
            f"expected a path to something inside the body or the headers, such as 'body.metadata' or "
            f"'body.messages[*].name', got {path!r}."
            + (" Without it there is nothing left to compare." if parts[:1] == ("body",) else "")
        )
    if any(part.startswith("[") and not re.fullmatch(r"\[(\*|[0-9]+)\]", part) for part in parts):
        raise ValueError(f"expected [*] or [NUMBER] in the path {path!r}")
    return parts


def checked_rules(rules: object) -> MatchRules:
    """The rules of a replay or a recording; those that every project starts with where it has none.

    Raises:
        TypeError: they are none.
    """
    if rules is None:
        return MatchRules()
    if isinstance(rules, MatchRules):
        return rules
    raise TypeError(f"rules is a MatchRules, as in MatchRules(ignore=('body.metadata.run_id',)), not {rules!r:.100}")


def _named_normaliser(normaliser: str | Normaliser) -> Normaliser:
    if callable(normaliser):
        return normaliser
    if normaliser in NORMALISERS:
        return NORMALISERS[normaliser]
    raise unknown("normaliser", normaliser, NORMALISERS)


def _remove(value: Any, path: Sequence[str]) -> None:
    part, *rest = path
    if part.startswith("["):
        if isinstance(value, list):
            places: Sequence[Any] = range(len(value)) if part == "[*]" else [int(part[1:-1])]
            places = [place for place in places if place < len(value)]
        else:
            places = []
    elif isinstance(value, dict):
        places = list(value) if part == "*" else [part] if part in value else []
    else:
        places = []
    for place in places:
        if rest:
            _remove(value[place], rest)
        elif isinstance(value, list):
            value[place] = None  # the places of the others must not move
        else:
            del value[place]


def _says_something(body: Any) -> bool:
    """Whether a body still holds what distinguishes one request from another."""
    if not isinstance(body, dict):
        return bool(body)
    present = [name for name in _TEXTS_OF_A_REQUEST if name in body]
    if not present:
        return bool(body.keys() - {"model", "stream"})
    return any(_has_leaf(body[name]) for name in present)


def _has_leaf(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_leaf(member) for name, member in value.items() if name not in ("role", "type"))
    if isinstance(value, list):
        return any(map(_has_leaf, value))
    return value is not None


def meaning_of(request: RecordedRequest) -> Meaning:
    """What `request` means, as plain values, of which some may be its own."""
    headers = {name: _header(name, value) for name, value in request.headers.items()}
    return {
        "method": request.method,
        "path": request.path,
        "headers": {name: value for name, value in headers.items() if value is not None},
        "body": _body(request.body),
    }


def key_of(meaning: Meaning) -> bytes:
    """A hash of a meaning."""
    return hashlib.blake2b(_canonical(meaning).encode("ascii"), digest_size=16).digest()


_canonical: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _header(name: str, value: Json) -> Json:
    if name == "x-portkey-custom-host" and isinstance(value, str) and _LOOPBACK.match(value):
        return None
    return _config(value) if name == "x-portkey-config" else value


def _config(value: Json) -> Json:
    """A config in one order, without the places where a recording's stand-in providers listened."""
    if isinstance(value, dict):
        return {
            name: _config(member)
            for name, member in sorted(value.items())
            if not (name in ("custom_host", "customHost") and isinstance(member, str) and _LOOPBACK.match(member))
        }
    return [_config(item) for item in value] if isinstance(value, list) else value


def _body(body: JsonBody | TextBody | BinaryBody | None) -> Any:
    match body:
        case None:
            return None
        case JsonBody(value):
            return _request_body(value)
        case TextBody(text):
            try:
                return _request_body(json.loads(text))
            except (ValueError, RecursionError):
                return text
        case BinaryBody(data):
            return hashlib.sha256(data).hexdigest()


def _request_body(value: Json) -> Any:
    if not isinstance(value, dict):
        return _plain(value)
    body = {}
    for name, member in value.items():
        if member is None or name in MEANINGLESS_FIELDS or (name == "stream" and member is False):
            continue
        if name == "messages" and isinstance(member, list):
            body[name] = [_message(message) for message in member]
        else:
            body[name] = member if name in _FREE_FORM else _plain(member)
    return body


def _message(message: Any) -> Any:
    message = _plain(message)
    if isinstance(message, dict):
        content = message.get("content")
        if isinstance(content, list) and len(content) == 1 and _is_text_part(content[0]):
            message["content"] = content[0]["text"]
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict) and isinstance(function.get("arguments"), str):
                function["arguments"] = _arguments(function["arguments"])
    return message


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.keys() == {"type", "text"} and part["type"] == "text"


def _arguments(text: str) -> str:
    """The arguments of a tool call, spelt in one way where they are JSON."""
    try:
        return _canonical(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _plain(value: Any) -> Any:
    """A copy without members that are null, and with one spelling of each number."""
    if isinstance(value, dict):
        return {
            name: member if name in _FREE_FORM else _plain(member)
            for name, member in value.items()
            if member is not None
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if type(value) is float and value.is_integer() and abs(value) < 2**53 else value


# What to say about a miss


def brief(request: RecordedRequest) -> str:
    """A request on one line, for people."""
    words = [request.method, request.path]
    body = request.body.value if isinstance(request.body, JsonBody) else None
    if isinstance(body, dict):
        words += [f"model={body['model']}"] if "model" in body else []
        words += ["stream"] if body.get("stream") else []
        messages = body.get("messages")
        if isinstance(messages, list) and messages:
            last = messages[-1] if isinstance(messages[-1], dict) else {}
            content = last.get("content")
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            words += [f"{len(messages)} messages, the last from {last.get('role')}: {_shortened(text, 100)!r}"]
    elif request.body is not None:
        words += [f"a body of {len(request.body.content())} bytes"]
    return " ".join(words)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def closest(wanted: Meaning, recorded: Sequence[Meaning], limit: int) -> list[int]:
    """The places of the recorded meanings most like `wanted`, the closest first."""
    lines = Counter(_lines(wanted))
    scores = []
    for place, meaning in enumerate(recorded):
        others = _lines(meaning)
        shared = sum((lines & Counter(others)).values())
        scores.append((-2 * shared / (len(others) + sum(lines.values())), place))
    return [place for _, place in sorted(scores)[:limit]]


def difference(recorded: Meaning, live: Meaning, limit: int = 40) -> list[str]:
    """How the live request differs from the recorded one: lines of a unified difference."""
    lines = difflib.unified_diff(_lines(recorded), _lines(live), "recorded", "this request", lineterm="", n=2)
    shown = [_shortened(line, 200) for line in lines]
    return shown if len(shown) <= limit else [*shown[:limit], f"... {len(shown) - limit} more lines"]


def differing_paths(recorded: Any, live: Any, path: str = "") -> list[str]:
    """Where two meanings differ, as paths that `MatchRules.ignore` takes."""
    if isinstance(recorded, dict) and isinstance(live, dict):
        names = [*recorded, *(name for name in live if name not in recorded)]
        return [
            found
            for name in names
            if name not in recorded or name not in live or recorded[name] != live[name]
            for found in (
                differing_paths(recorded[name], live[name], f"{path}.{name}".lstrip("."))
                if name in recorded and name in live
                else [f"{path}.{name}".lstrip(".")]
            )
        ]
    if isinstance(recorded, list) and isinstance(live, list) and len(recorded) == len(live):
        pairs = enumerate(zip(recorded, live, strict=True))
        return [found for place, (a, b) in pairs if a != b for found in differing_paths(a, b, f"{path}[{place}]")]
    return [path]


def _lines(meaning: Meaning) -> list[str]:
    try:
        return write(meaning).splitlines()
    except Unwritable:
        return json.dumps(meaning, indent=2, ensure_ascii=True).splitlines()
