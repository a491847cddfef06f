"""Compares a recorded answer with another one: to the value, or in its structure and with the client's models.

A model answers in other words each time, so only the structure of two answers can be compared: which members there are,
and of which type. Three know about it: the client's models, the cassette and the live gateway. Where two of them
differ, the third tells who moved.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import httpx
from pydantic import BaseModel, ValidationError

from portkey_client.types import ChatCompletionChunk, ChatCompletions
from portkey_testing.cassettes import events, stream
from portkey_testing.cassettes.exchange import Exchange, Tee
from portkey_testing.cassettes.match import meaning_of
from portkey_testing.cassettes.model import (
    CassetteError,
    EventStream,
    Interaction,
    JsonBody,
    RecordedFailure,
    RecordedRequest,
    RecordedResponse,
)
from portkey_testing.cassettes.recorder import RecordingTransport
from portkey_testing.cassettes.redact import Redactor
from portkey_testing.cassettes.secrets import REDACTED
from portkey_testing.timeline import GatewayRequest

VOLATILE: Final = frozenset({"id", "created", "system_fingerprint"})
"""Members at the top of a body that are new in every answer."""

VOLATILE_ANYWHERE: Final = frozenset({"created_at", "execution_time"})
"""Members of what the gateway tells about its guardrails."""

_ROOT: Final[dict[str, type[BaseModel]]] = {
    "chat.completion": ChatCompletions,
    "chat.completion.chunk": ChatCompletionChunk,
}
"""The model of an answer, by its member `object`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something the live answer has and the cassette has not, or the other way round.

    Attributes:
        path: Where, such as `body.choices[*].message.refusal`.
        cassette: What the cassette has there, such as `text` or `absent`.
        live: What the live answer has there.
        models: `know it`, `do not know it`, or empty where the models say nothing of such things.
        verdict: Who moved.
    """

    path: str
    cassette: str
    live: str
    models: str
    verdict: str

    def __str__(self) -> str:
        models = f"; the models {self.models}" if self.models else ""
        return f"{self.path}: {self.cassette} in the cassette, {self.live} live{models}. {self.verdict}"


# To the value


def moved(recorded: Interaction, again: Interaction) -> list[str]:
    """What differs between two recordings of one exchange, beside times, dates and ids."""
    before, after = dict(_values(_told(recorded))), dict(_values(_told(again)))
    return [
        f"{path}: {before.get(path, 'absent')!r} became {after.get(path, 'absent')!r}"
        for path in dict.fromkeys((*before, *after))
        if before.get(path, _ABSENT) != after.get(path, _ABSENT)
    ]


_ABSENT: Final = object()
_PATIENCE_S: Final = 120.0


def _told(interaction: Interaction) -> dict[str, Any]:
    response = interaction.response
    if isinstance(response, RecordedFailure):
        return {"request": meaning_of(interaction.request), "fault": response.fault}
    told = {"status": response.status, "headers": dict(response.headers), "ended": response.ended}
    return {"request": meaning_of(interaction.request), **told, "body": payload(response)}


def _values(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, member in value.items():
            if name not in VOLATILE_ANYWHERE and not (name in VOLATILE and path in {"body", "body[*]"}):
                yield from _values(member, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            # The chunks of a stream are told apart by their place below, so that VOLATILE finds all of them.
            below = "body[*]" if path == "body" else f"{path}[{place}]"
            for where, leaf in _values(item, below):
                yield (where.replace("body[*]", f"body[{place}]", 1) if path == "body" else where), leaf
    else:
        yield path, value


# In structure


def payload(response: RecordedResponse) -> Any:
    """The body as one value: the JSON, the list of a stream's events, or the text."""
    body = response.body
    if body is None:
        return None
    if isinstance(body, EventStream):
        pieces = stream.split(b"".join(data for _, data in events.unpack(body)))
        found = ((stream.chunk_of(piece), piece) for piece in pieces)
        return [piece.decode("utf-8", "replace") if chunk is None else chunk for chunk, piece in found]
    return body.value if isinstance(body, JsonBody) else body.content().decode("utf-8", "replace")


def structure(value: Any) -> dict[str, frozenset[str]]:
    """The types that occur at each path of a body; the items of a list share one path."""
    found: defaultdict[str, set[str]] = defaultdict(set)

    def walk(value: Any, path: str) -> None:
        found[path].add(_type(value))
        if isinstance(value, dict):
            for name, member in value.items():
                walk(member, f"{path}.{name}")
        elif isinstance(value, list):
            for item in value:
                walk(item, f"{path}[*]")

    walk(value, "body")
    return {path: frozenset(kinds) for path, kinds in found.items()}


def _type(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def compare(recorded: RecordedResponse | RecordedFailure, live: RecordedResponse | RecordedFailure) -> list[Difference]:
    """The structural differences between a recorded answer and a live one."""
    if isinstance(recorded, RecordedFailure) or isinstance(live, RecordedFailure):
        before, after = _outcome(recorded), _outcome(live)
        return [] if before == after else [Difference("answer", before, after, "", _RECORD_AGAIN)]
    found = []
    if recorded.status != live.status:
        found.append(Difference("status", str(recorded.status), str(live.status), "", _RECORD_AGAIN))
    for name in sorted(recorded.headers.keys() ^ live.headers.keys()):
        there, here = ("present", "absent") if name in recorded.headers else ("absent", "present")
        found.append(Difference(f"headers.{name}", there, here, "", _RECORD_AGAIN))
    before_body, after_body = payload(recorded), payload(live)
    root = _root(after_body) or _root(before_body)
    before_paths, after_paths = structure(before_body), structure(after_body)
    for path in sorted(before_paths.keys() | after_paths.keys()):
        difference = _judged(path, before_paths.get(path), after_paths.get(path), root)
        if difference is not None and not _lies_below(path, found):
            found.append(difference)
    return found


_RECORD_AGAIN: Final = "The gateway answers otherwise now: record again"


def _lies_below(path: str, found: list[Difference]) -> bool:
    """Whether something around `path` was told already."""
    return any(
        "absent" in (known.cassette, known.live) and path.startswith((f"{known.path}.", f"{known.path}["))
        for known in found
    )


def _outcome(response: RecordedResponse | RecordedFailure) -> str:
    return response.fault if isinstance(response, RecordedFailure) else str(response.status)


def _judged(
    path: str, recorded: frozenset[str] | None, live: frozenset[str] | None, root: type[BaseModel] | None
) -> Difference | None:
    if recorded is not None and live is not None and (recorded == live or "null" in recorded ^ live):
        return None  # what is null in one answer may be there in the next
    known = None if root is None else knows(root, path)
    models = "" if known is None else "know it" if known else "do not know it"
    shown = ["absent" if kinds is None else " or ".join(sorted(kinds)) for kinds in (recorded, live)]
    if recorded is None:
        verdict = _RECORD_AGAIN if known else "The gateway moved: it sends what neither models nor cassette know"
    elif live is None:
        verdict = "The gateway no longer sends it" + (", and the models still expect it" if known else "")
    else:
        verdict = "The gateway changed the type"
    return Difference(path, shown[0], shown[1], models, verdict)


# With the models


def _root(value: Any) -> type[BaseModel] | None:
    sample = value[0] if isinstance(value, list) and value else value
    return _ROOT.get(str(sample.get("object"))) if isinstance(sample, dict) else None


def knows(root: type[BaseModel], path: str) -> bool:
    """Whether the models have a field at `path`, such as `body.choices[*].message`; below a free-form one, anything."""
    models: list[type[BaseModel]] = [root]
    for part in path.removeprefix("body").removeprefix("[*]").replace("[*]", "").split("."):
        if not part:
            continue
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if not fields:
            return any(isinstance(getattr(model, part, None), property) for model in models)
        models = [model for field in fields for model in _models_in(field.annotation)]
        if not models:
            return True
    return True


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def drift(response: RecordedResponse) -> list[str]:
    """Where a recorded chat completion does not fit the client's models: fields of the wrong type, and unknown ones."""
    body = payload(response)
    if response.status != 200 or body is None:
        return []
    found: dict[str, None] = {}
    for sample in body if isinstance(body, list) else [body]:
        root = _root(sample)
        if root is None:
            continue
        try:
            root.model_validate(sample)
        except ValidationError as error:
            for problem in error.errors():
                place = ".".join("*" if isinstance(part, int) else part for part in problem["loc"])
                found[f"body.{place}: {problem['msg']}"] = None
        unknown = [path for path in structure(sample) if not knows(root, path)]
        for path in unknown:
            if not any(path.startswith((f"{around}.", f"{around}[")) for around in unknown):
                found[f"{path}: the client's models do not know it"] = None
    return list(found)


# Sending again


class _Keeper:
    """A sink that keeps the last exchange."""

    def __init__(self) -> None:
        self.exchange: Exchange | None = None

    def begin(self, request: GatewayRequest, at: float) -> Tee:
        return Tee(request, at, self._finished)

    def _finished(self, _: Tee, exchange: Exchange | None) -> None:
        self.exchange = exchange


def send_again(
    request: RecordedRequest, gateway: str, headers: Mapping[str, str], environment: Mapping[str, str]
) -> Interaction:
    """Send a recorded request to a gateway, and return what comes back, redacted.

    Recorded requests hold no credentials. Those of providers in a config are taken from the environment, as
    `OPENAI_API_KEY` for `openai`; all others are in `headers`.

    Args:
        request: The request.
        gateway: Base URL of the gateway.
        headers: Further headers.
        environment: Variables that hold the credentials of providers.

    Raises:
        httpx.HTTPError: the gateway cannot be reached.
        CassetteError: the answer cannot be read.
    """
    keeper = _Keeper()
    sent = {name: _as_header(_with_credentials(value, environment)) for name, value in request.headers.items()}
    content = b"" if request.body is None else request.body.content()
    if isinstance(request.body, JsonBody):
        sent["content-type"] = "application/json"
    url = f"{gateway.rstrip('/')}{request.path}"
    with httpx.Client(transport=RecordingTransport(httpx.HTTPTransport(), keeper), timeout=_PATIENCE_S) as client:
        client.request(request.method, url, headers={**sent, **headers}, content=content)
    if keeper.exchange is None:
        raise CassetteError(f"{request.method} {url} came to nothing")
    interaction, _ = Redactor().interaction(keeper.exchange)
    return interaction


def _as_header(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _with_credentials(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_with_credentials(item, environment) for item in value]
    if not isinstance(value, dict):
        return value
    filled = {name: _with_credentials(member, environment) for name, member in value.items()}
    if filled.get("api_key") == REDACTED and isinstance(provider := filled.get("provider"), str):
        filled["api_key"] = environment.get(f"{provider.upper().replace('-', '_')}_API_KEY", REDACTED)
    return filled
