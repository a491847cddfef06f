"""What came back for one request, in the form in which the truth is recorded.

A result is a mapping:

    status        int
    headers       lower-case names to values; only those `keeps_header` names
    body          the JSON of the answer; or
    text          the answer as text, where it is not JSON; or
    sse           the events of a stream, each {data, event, other}: data parsed where it is JSON, event where the
                  stream names it, other for lines of any other field and for comments
    stream_end    clean, aborted (the connection broke) or never (still open when patience ended); of streams always,
                  of other answers when it is not clean
    client_error  in place of all the above: no answer came
    attempts      the calls that reached the providers, in order: upstream, method, path, auth, headers, body, and gap,
                  the seconds since the call before (not of the first)
    elapsed       seconds until the last byte (not with client_error)

and for a scenario that is repeated {statuses: {code: count}, shares_ok, upstreams}.

Seconds are in steps of a half, rounded down. What differs from run to run is replaced: the URLs of providers by their
placeholders, and times and generated ids by `<created>`, `<ts>`, `<ms>`, `<rand>` and `<port>`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

Result = dict[str, Any]

# the creation time that the scripted providers give, which says that the gateway passed it on
SCRIPTED_CREATED: Final = 1_700_000_000

_HEADERS: Final = frozenset(("cache-control", "content-type", "location", "www-authenticate", "x-request-id"))
_HEADER_PREFIXES: Final = ("retry-after", "x-ms-retry", "x-portkey-", "x-ratelimit-", "x-stub-")

_GENERATED: Final = (
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:<port>"),
    # stream ids of the gateway end in a time in milliseconds
    (re.compile(r"\b([a-z][a-z0-9-]*)-\d{13}\b"), r"\1-<ms>"),
    (re.compile(r"\b(input|output)_guardrail_[a-z0-9]{1,3}\b"), r"\1_guardrail_<rand>"),
    (re.compile(rf'"created":\s*(?!{SCRIPTED_CREATED}\b)\d{{10}}\b'), '"created":"<created>"'),
)

# overhead only ever adds to a delay, but clocks and timers are a little early at times
_EARLY_S: Final = 0.06


def keeps_header(name: str) -> bool:
    """Whether a response header of this name belongs into a result."""
    return name.lower() in _HEADERS or name.lower().startswith(_HEADER_PREFIXES)


def half_seconds(seconds: float) -> float:
    """Seconds in steps of a half, rounded down."""
    return int((seconds + _EARLY_S) * 2) / 2


class Normaliser:
    """Replaces what differs from run to run.

    Parameters:
        urls: Placeholders to the URLs they stand for in this run.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        # the longest first: one URL may be the beginning of another
        self._placeholders = sorted(urls.items(), key=lambda item: -len(item[1]))

    def text(self, text: str) -> str:
        for placeholder, url in self._placeholders:
            text = text.replace(url, placeholder)
        for pattern, replacement in _GENERATED:
            text = pattern.sub(replacement, text)
        return text

    def value(self, value: Any, key: str = "") -> Any:
        """A JSON value, which is what `key` of its object holds."""
        match value:
            case dict():
                return {name: self.value(each, name) for name, each in value.items()}
            case list():
                return [self.value(each, key) for each in value]
            case str():
                return "<ts>" if key == "created_at" else self.text(value)
            case _ if key == "execution_time":
                return "<ms>"
            case int() | float() if key in ("created", "created_at") and value != SCRIPTED_CREATED:
                return "<created>" if key == "created" else "<ts>"
            case _:
                return value


def untimed(results: Sequence[Result]) -> list[Result]:
    """The results without what depends on how fast the machine is."""
    return [
        {name: value for name, value in result.items() if name not in ("elapsed", "attempts")}
        | {"attempts": [{k: v for k, v in each.items() if k != "gap"} for each in result.get("attempts", [])]}
        for result in results
    ]


def parse_events(text: str) -> list[dict[str, Any]]:
    """The events of a stream as a result lists them; lenient, since broken streams are to be compared too."""
    blocks = re.split(r"\r?\n\r?\n", text)
    return [_event(block) for block in blocks if block.strip()]


def parse_json(text: str) -> tuple[bool, Any]:
    """Whether the text is JSON, and its value."""
    try:
        return True, json.loads(text)
    except ValueError:
        return False, None


def _event(block: str) -> dict[str, Any]:
    event: dict[str, Any] = {}
    data, other = [], []
    for line in block.splitlines():
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif line.startswith("event:"):
            event["event"] = line.removeprefix("event:").strip()
        else:
            other.append(line)
    if data:
        text = "\n".join(data)
        is_json, value = parse_json(text)
        event["data"] = value if is_json else text
    if other:
        event["other"] = "\n".join(other)
    return event
