"""What a provider answers when a script speaks for it: a reply, put into the provider's own words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from http.client import responses
from typing import Any, Final, NamedTuple

from portkey_testing import _mapping
from portkey_testing._damage import Content, damaged
from portkey_testing._dialects import dialect_of
from portkey_testing._dialects.base import Dialect, ProviderAnswer, Stamps, WrittenJSON
from portkey_testing._encode import DONE, compact
from portkey_testing._refusals import Refused
from portkey_testing._reply import answer_of
from portkey_testing.failures import DishonestReply
from portkey_testing.faults import wire_fault
from portkey_testing.replies import (
    STOCK,
    Answer,
    Break,
    Chunks,
    Completion,
    ErrorReply,
    FaultReply,
    Headers,
    Native,
    Recorded,
    Reply,
    Text,
    error_catalogue,
)
from portkey_testing.timeline import Cut, Events, Frame

NEVER: Final = math.inf
"""The delay of an answer that does not come."""

APPLICATION_LEG: Final = "portkey-gateway"
"""What stands for the provider on the way between the application and the gateway."""

_NODE_WORDS: Final[Mapping[str, str]] = {
    "refused": "Error: connect ECONNREFUSED 127.0.0.1:443",
    "dns": "Error: getaddrinfo ENOTFOUND provider.invalid",
    "tls": "Error: self-signed certificate",
    "tls_wrong_host": "Error: Hostname/IP does not match certificate's altnames",
    "tls_expired": "Error: certificate has expired",
    "tls_plain_port": "Error: write EPROTO",
    "reset_before_headers": "Error: read ECONNRESET",
    "reset_within_headers": "Error: read ECONNRESET",
}
"""How the gateway's runtime words a broken connection; any other is a socket closed by the other side."""

_STREAM_HEADERS: Headers = (("content-type", "text/event-stream"),)
_PREFIX = re.compile(r"[\w@-]+ error: ")


def answer(
    reply: Reply, provider: str, params: Mapping[str, Any], stamps: Stamps, dialect: Dialect | None = None
) -> ProviderAnswer:
    """The reply in the provider's words, as the gateway gets it; `dialect` is its own one if that is None.

    Raises:
        DishonestReply: that provider cannot say it.
    """
    if isinstance(reply, FaultReply) and wire_fault(reply.name).phase != "body":
        if wire_fault(reply.name).waits:
            return ProviderAnswer(200, delay=NEVER)
        unreachable = _mapping.unreachable(_NODE_WORDS.get(reply.name, "SocketError: other side closed"))
        return unreachable._replace(delay=reply.delivery.delay)
    said = _said(reply, _Asked(provider, dialect or dialect_of(provider), params, stamps))
    if reply.delivery.damage == "bad_encoding":
        # The gateway unpacks what its providers send, and gets nothing out of this.
        headers = tuple(pair for pair in said.headers if pair[0] != "content-encoding")
        frames = None if said.frames is None else (Cut(0.0, "dropped"),)
        return said._replace(headers=headers, body=b"", frames=frames)
    return said


def application_answer(reply: Reply, params: Mapping[str, Any], stamps: Stamps) -> ProviderAnswer:
    """The reply as the application gets it, with no gateway in between. A body may break off, as `Cut` says."""
    return _said(reply, _Asked(APPLICATION_LEG, dialect_of("openai"), params, stamps))


def refusal(refused: Refused) -> ProviderAnswer:
    """The provider's refusal of a request."""
    return _json(refused.status, refused.body, (), 0.0)


class _Asked(NamedTuple):
    """Who is asked for what.

    Attributes:
        provider: Its name.
        dialect: What it speaks.
        params: The request in OpenAI's shape.
        stamps: Ids and times it makes up.
    """

    provider: str
    dialect: Dialect
    params: Mapping[str, Any]
    stamps: Stamps

    @property
    def stream(self) -> bool:
        return self.params.get("stream") is True

    @property
    def speaks_openai(self) -> bool:
        return self.provider != "anthropic"


def as_answer(reply: Answer | Completion | Chunks) -> Answer:
    """What a model says in that reply, in parts."""
    match reply:
        case Answer():
            return reply
        case Completion():
            return reply.answer()
        case Chunks(items=items):
            return answer_of(_amount(items), reply.delivery)


@lru_cache(maxsize=64)
def _amount(chunks: tuple[str, ...]) -> Any:
    """The completion that chunks amount to."""
    from portkey_testing._recorded_answers import completion_of

    return completion_of(chunks)


def kept(said: ProviderAnswer) -> tuple[ProviderAnswer, Any]:
    """The answer, and the completion in it that the provider would keep; a stream is read for that."""
    if said.frames is None:
        return said, json.loads(said.body)
    from portkey_testing._recorded_answers import completion_of

    frames = tuple(said.frames)
    written = [step.data.decode().removeprefix("data: ").strip() for step in frames if isinstance(step, Frame)]
    return said._replace(frames=frames), completion_of(event for event in written if event.startswith("{"))


def _said(reply: Reply, asked: _Asked) -> ProviderAnswer:
    found = _undamaged(reply, asked)
    if reply.delivery.headers:
        found = found._replace(headers=_with_given(found.headers, reply.delivery.headers))
    name = reply.delivery.damage
    if found.frames is not None:
        fragile = name is not None or reply.delivery.broken is not None or isinstance(reply, FaultReply)
        pace = reply.delivery.pace if reply.delivery.pace.travels else None
        found = found._replace(fragile=fragile, pace=pace)
    if name is None:
        return found
    try:
        content = damaged(name, Content(found.status, found.headers, found.body, found.frames))
    except ValueError as cause:
        raise DishonestReply(f"{reply}: {cause}. Ask for a stream, or script another damage.") from cause
    return found._replace(status=content.status, headers=content.headers, body=content.body, frames=content.frames)


def _with_given(own: Headers, given: Headers) -> Headers:
    """A header that the test gives takes the place of the provider's own; several of one name all stay."""
    names = {name for name, _ in given}
    return (*(pair for pair in own if pair[0] not in names), *given)


def _undamaged(reply: Reply, asked: _Asked) -> ProviderAnswer:
    """The answer with the provider's own headers only."""
    delivery = reply.delivery
    match reply:
        case Answer():
            return _model_answer(reply, asked)
        case ErrorReply():
            model = str(asked.params.get("model"))
            found = _error(reply.name, reply.retry_after, reply.message, asked.provider, model)
            return found._replace(delay=delivery.delay) if delivery.delay else found
        case Completion():
            if asked.stream or delivery.broken is not None or not asked.speaks_openai:
                return _model_answer(as_answer(reply), asked)
            return _json(200, json.loads(reply.body), (), delivery.delay)
        case Chunks():
            if asked.stream and asked.speaks_openai:
                return ProviderAnswer(200, _STREAM_HEADERS, delivery.delay, frames=_chunk_frames(reply))
            return _model_answer(as_answer(reply), asked)
        case Recorded():
            return _recorded(reply, asked)
        case Native():
            return _native(reply, asked)
        case FaultReply(name=name):
            broken = replace(delivery, broken=Break(1, name))
            return _model_answer(Answer(parts=(Text(STOCK),), delivery=broken), asked)
    raise TypeError(f"a {type(reply).__name__} is no answer of a provider")


def _model_answer(reply: Answer, asked: _Asked) -> ProviderAnswer:
    dialect, params, stamps = asked.dialect, asked.params, asked.stamps
    if reply.others and not asked.speaks_openai:
        raise DishonestReply(f"{asked.provider} gives one choice, and the script {1 + len(reply.others)}: {reply}")
    delivery = reply.delivery
    headers: Headers = (("x-request-id", stamps.new_id("req")),)
    if asked.stream:
        stream = dialect.stream(reply, params, stamps)
        frames = Events(stream) if delivery.broken is None else stream
        return ProviderAnswer(200, (*_STREAM_HEADERS, *headers), delivery.delay, frames=frames)
    try:
        body = dialect.completion(reply, params, stamps)
    except ValueError as cause:
        raise DishonestReply(
            f"{asked.provider} cannot answer {reply} in one piece: {cause}. Tool arguments that are no JSON can only "
            "be streamed there; stream the answer, or script it for another provider."
        ) from cause
    found = _json(200, body, headers, delivery.delay)
    if delivery.broken is None:
        return found
    half = found.body[: len(found.body) // 2]
    return found._replace(body=b"", frames=(Frame(0.0, half), Cut(0.0, delivery.broken.fault)))


@lru_cache(maxsize=256)
def _error(name: str, retry_after: float | None, message: str | None, provider: str, model: str) -> ProviderAnswer:
    """An error of the catalogue. Each attempt that fails the same way gets the same one."""
    catalogue = error_catalogue()
    entry = catalogue.get(provider, {}).get(name) or catalogue["openai"].get(name)
    if entry is None:
        known = sorted({*catalogue.get(provider, {}), *catalogue["openai"]})
        raise DishonestReply(f"{provider} has no error called {name!r}. It has: {', '.join(known)}.")
    if retry_after is None:
        retry_after = entry.get("retry_after")
    values = {"{model}": model, "{retry_after}": "" if retry_after is None else f"{retry_after:g}"}
    body = _filled(entry["body"], values)
    if message is not None:
        _reworded(body, message)
    headers = {header: str(_filled(value, values)) for header, value in entry["headers"].items()}
    if retry_after is not None:
        headers["retry-after"] = f"{math.ceil(retry_after)}"
        if provider != "anthropic":
            headers["retry-after-ms"] = f"{retry_after * 1000:g}"
    status = entry["status"]
    if isinstance(body, str):
        return ProviderAnswer(status, _own("text/plain", headers), body=body.encode())
    if isinstance(body, Mapping) and "sse" in body:
        frame = Frame(0.0, ("\n".join(body["sse"]) + "\n").encode())
        return ProviderAnswer(status, _own("text/event-stream", headers), frames=(frame,))
    return ProviderAnswer(status, _own("application/json", headers), body=WrittenJSON.of(body))


def _own(content_type: str, headers: Mapping[str, str]) -> Headers:
    """Headers behind their content type, which may be among them."""
    return tuple({"content-type": content_type, **headers}.items())


def _reworded(body: Any, message: str) -> None:
    """Put another message where this provider has its own."""
    if isinstance(body, list):
        _reworded(body[0], message)
    elif isinstance(body, dict):
        for name in ("message", "Message", "detail"):
            if isinstance(body.get(name), str):
                body[name] = message
        if isinstance(body.get("error"), str):
            body["error"] = message
        elif "error" in body:
            _reworded(body["error"], message)


def _native(reply: Native, asked: _Asked) -> ProviderAnswer:
    delay = reply.delivery.delay
    if reply.body is None and reply.events is None:
        return _bare(reply, asked)
    if reply.events is None:
        return ProviderAnswer(reply.status, _typed(reply.content_type), delay, (reply.body or "").encode())
    return ProviderAnswer(reply.status, _typed(reply.content_type), delay, frames=_native_frames(reply))


def _bare(reply: Native, asked: _Asked) -> ProviderAnswer:
    """A status alone: an error in the provider's shape, or nothing where there is none to report."""
    delay = reply.delivery.delay
    if reply.status < 400 or asked.provider == APPLICATION_LEG:
        return ProviderAnswer(reply.status, _typed(reply.content_type), delay)
    words = responses.get(reply.status, "Error")
    if asked.speaks_openai:
        error = {"message": words, "type": _kind_of(reply.status), "param": None, "code": None}
        return _json(reply.status, {"error": error}, (), delay)
    error = {"type": "api_error" if reply.status >= 500 else "invalid_request_error", "message": words}
    return _json(reply.status, {"type": "error", "error": error}, (), delay)


def _kind_of(status: int) -> str:
    return "server_error" if status >= 500 else "invalid_request_error"


def _native_frames(reply: Native) -> Iterator[Frame | Cut]:
    broken = reply.delivery.broken
    for position, event in enumerate(reply.events or ()):
        if broken is not None and position == broken.chunks:
            break
        yield Frame(reply.gap if position else 0.0, event.encode())
    if broken is not None:
        yield Cut(0.0, broken.fault)


def _chunk_frames(reply: Chunks) -> Iterator[Frame | Cut]:
    pace, broken = reply.delivery.pace, reply.delivery.broken
    gap = pace.ttft
    for position, written in enumerate(reply.items):
        if broken is not None and position == broken.chunks:
            break
        yield Frame(gap, f"data: {written}\n\n".encode())
        gap = 0.0 if pace.tps is None else 1 / pace.tps
    if broken is not None:
        yield Cut(0.0, broken.fault)
    elif reply.done:
        yield Frame(0.0, DONE)


def _recorded(reply: Recorded, asked: _Asked) -> ProviderAnswer:
    """A recording holds what the gateway said, in OpenAI's shape: who speaks like OpenAI says the same."""
    from portkey_testing._recorded_answers import recorded_answer

    found = recorded_answer(reply.cassette, reply.number)
    delivery = reply.delivery
    delay = found.delay + delivery.delay
    typed = _typed(found.content_type)
    if found.status != 200:
        return ProviderAnswer(found.status, typed, delay, _unprefixed(found.body))
    streamed = found.frames is not None
    if asked.speaks_openai and streamed == asked.stream and delivery.broken is None:
        return ProviderAnswer(200, typed, delay, found.body, found.frames)
    try:
        completion = found.completion
    except ValueError as cause:
        raise DishonestReply(
            f"{reply}: {cause}, so it can only be given as it came, by a provider like OpenAI"
        ) from cause
    return _model_answer(answer_of(completion, replace(delivery, delay=delay)), asked)


def _unprefixed(body: bytes) -> bytes:
    """An error without the name that the gateway put in front, since it will do so again."""
    try:
        said = json.loads(body)
        message = said["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return body
    return compact({"error": {**said["error"], "message": _PREFIX.sub("", message, count=1)}}).encode()


def _typed(content_type: str | None) -> Headers:
    return () if content_type is None else (("content-type", content_type),)


def _json(status: int, body: Any, headers: Headers, delay: float) -> ProviderAnswer:
    return ProviderAnswer(status, (("content-type", "application/json"), *headers), delay, WrittenJSON.of(body))


def _filled(template: Any, values: Mapping[str, str]) -> Any:
    """A template with its placeholders filled in, at any depth."""
    if isinstance(template, str):
        for name, value in values.items():
            template = template.replace(name, value)
        return template
    if isinstance(template, Mapping):
        return {key: _filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(item, values) for item in template]
    return template
