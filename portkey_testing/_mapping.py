"""What the gateway makes of a provider's answer before it reaches the application.

The rules for content types, statuses and broken answers that hold for every provider; what a body means is the
dialect's. Behaviour copied from Portkey's open-source gateway 1.15.2 (its `responseHandlers` and `streamHandler`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from portkey_testing import _cache, _hooks, _javascript
from portkey_testing._dialects.base import Dialect, ProviderAnswer, Stamps, UnmappableError, WrittenJSON
from portkey_testing._encode import compact
from portkey_testing._encode import event as sse
from portkey_testing.replies import Headers
from portkey_testing.timeline import Cut, Events, Frame

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
PLAIN: Final = "text/plain; charset=UTF-8"
"""What the gateway's server says of an answer without a content type."""

_TEXTS = ("text/plain", "text/html")
_UNREAD = ("application/octet-stream", "binary/octet-stream")
_UNREAD_KINDS = ("audio", "image/")
_STREAMABLE = (200, 246)
_OWN_SHAPE = (408, 412)
_BODILESS = (205, 304)
_NOT_PASSED_ON = frozenset({"content-length", "content-encoding", "transfer-encoding", "content-type"})


class GatewayAnswer(NamedTuple):
    """What the application gets, before the gateway's own headers are added.

    Attributes:
        status: HTTP status.
        content_type: None if there is none.
        headers: The provider's headers that pass through.
        body: A plain body.
        frames: An event stream in place of a body.
        exception: The gateway failed on the provider's answer: no routing headers, no fallback.
        readable: Its body is JSON that the gateway has in its hands, so guardrails can look at it.
    """

    status: int
    content_type: str | None = JSON
    headers: Headers = ()
    body: bytes = b""
    frames: Iterable[Frame | Cut] | None = None
    exception: bool = False
    readable: bool = False


class Reading(NamedTuple):
    """A provider's answer and what the gateway makes of it: an `Outcome` of routing.

    Attributes:
        raw: What the provider answered.
        answer: What the application would get.
        duration: Seconds the attempt took, to its headers or its failure.
        denied: A guardrail denied the request, so the provider was not called.
        cache_status: What the cache had to do with it; None where it was not asked.
    """

    raw: ProviderAnswer
    answer: GatewayAnswer
    duration: float
    denied: bool = False
    cache_status: str | None = "DISABLED"

    @property
    def status(self) -> int:
        return self.raw.status

    @property
    def final_status(self) -> int:
        return self.answer.status

    @property
    def broken(self) -> bool:
        return self.raw.broken

    @property
    def headers(self) -> Mapping[str, str]:
        return dict(self.raw.headers)

    @property
    def exception(self) -> bool:
        return self.answer.exception


def failure(status: int, message: str, *, exception: bool = False, errors: list[str] | None = None) -> GatewayAnswer:
    """An error of the gateway itself, in its own shape."""
    body: dict[str, Any] = {"status": "failure", "message": message}
    if errors is not None:
        body["errors"] = errors
    return GatewayAnswer(status, body=compact(body).encode(), exception=exception)


def crash() -> GatewayAnswer:
    """What the gateway says when it could not make sense of a provider's answer."""
    return failure(500, "Something went wrong", exception=True)


def timed_out(milliseconds: float) -> ProviderAnswer:
    """The gateway gave up on a provider."""
    message = f"Request exceeded the timeout sent in the request: {milliseconds:g}ms"
    body = {"error": {"message": message, "type": "timeout_error", "param": None, "code": None}}
    return ProviderAnswer(408, (("content-type", JSON),), body=compact(body).encode())


def unreachable(cause: str) -> ProviderAnswer:
    """No answer came from a provider; the gateway puts Node's words into a text answer."""
    text = f"Message: fetch failed Cause: {cause} Name: TypeError"
    return ProviderAnswer(500, (("content-type", "text/plain"),), body=text.encode(), broken=True)


def read_at_once(answer: ProviderAnswer) -> ProviderAnswer:
    """The answer put together anew from its text, which has a type; one that breaks off is no answer."""
    if answer.header("content-type") is None:
        answer = answer._replace(headers=(*answer.headers, ("content-type", PLAIN)))
    if answer.frames is None:
        return answer
    steps = tuple(answer.frames)
    if any(isinstance(step, Cut) for step in steps):
        text = "Message: terminated Cause: SocketError: other side closed Name: TypeError"
        return ProviderAnswer(500, (("content-type", "text/plain"),), answer.delay, text.encode(), broken=True)
    return answer._replace(body=b"".join(step.data for step in steps if isinstance(step, Frame)), frames=None)


def no_retry_after() -> ProviderAnswer:
    """A 429 that does not say when to retry, where the gateway looks for that and trips over it."""
    text = 'Message: Headers.get: "" is an invalid header name. Cause: NA Name: TypeError'
    return ProviderAnswer(500, (("content-type", "text/plain"),), body=text.encode(), broken=True)


class Reader(NamedTuple):
    """Reads the answers of one target.

    Attributes:
        provider: Name of its provider, for messages.
        dialect: What the provider speaks.
        strict: The application gets OpenAI's shape and nothing else.
        stamps: Ids and times the gateway makes up.
        model: What the request asks for.
    """

    provider: str
    dialect: Dialect
    strict: bool
    stamps: Stamps
    model: Any = None

    def read(self, answer: ProviderAnswer, hooks: _hooks.Span | None, *, stream: bool) -> GatewayAnswer:
        """What the gateway makes of `answer` to a request that did, or did not, ask for a stream."""
        content_type = answer.header("content-type")
        passed = tuple([pair for pair in answer.headers if pair[0] not in _NOT_PASSED_ON])
        plain = partial(GatewayAnswer, answer.status, content_type or PLAIN, passed)
        if answer.status in _BODILESS:
            return crash()
        if stream and answer.status in _STREAMABLE:
            return self._streamed(answer, plain(), hooks)
        kind = content_type or ""
        if kind in _UNREAD or kind.startswith(_UNREAD_KINDS):
            return _untouched(answer, plain())
        if kind.startswith(_TEXTS):
            try:
                return self._text(answer, plain())
            except UnmappableError:
                return crash()
        if answer.status == 204:
            return crash() if kind and (self.dialect.translates or hooks) else plain()
        if answer.status in _OWN_SHAPE:
            return _in_own_shape(plain, _joined(answer))
        if not self.dialect.translates and not hooks:
            return _untouched(answer, plain())
        # Attempts fail again and again in the same words; hardly any two completions are the same.
        translated = _translated if answer.status < 400 else _translated_once
        try:
            body = translated(self.dialect, answer.status, _joined(answer), self.stamps.created, strict=self.strict)
        except (ValueError, UnmappableError):
            return crash()
        return plain(body=body, readable=True)

    def _text(self, answer: ProviderAnswer, plain: GatewayAnswer) -> GatewayAnswer:
        """A text, which the gateway wraps where it would have read JSON."""
        if answer.status == 204:
            return crash()
        body = _joined(answer)
        if not self.dialect.translates:
            return plain._replace(body=body)
        wrapped = {"html-message": body.decode("utf-8", "replace")}
        said = self.dialect.client_json(answer.status, wrapped, strict=self.strict, created=self.stamps.created)
        return plain._replace(content_type=JSON, body=compact(said).encode())

    def _streamed(self, answer: ProviderAnswer, plain: GatewayAnswer, hooks: _hooks.Span | None) -> GatewayAnswer:
        """Whatever comes as the answer to a request for a stream is taken for events."""
        frames: Iterable[Frame | Cut] = [Frame(0.0, answer.body)] if answer.frames is None else answer.frames
        whole = frames if isinstance(frames, Events) else separated(frames)
        events = self.dialect.client_stream(whole, strict=self.strict, stamps=self.stamps, model=self.model)
        if hooks is not None and hooks.before_results and not self.strict:
            told = {"hook_results": {"before_request_hooks": hooks.before_results}}
            name = "hook_results" if not self.dialect.translates_streams and self.provider == "anthropic" else None
            events = _after(sse(compact(told), name), events)
        return plain._replace(frames=events)


def _translated(dialect: Dialect, status: int, body: bytes, created: int, *, strict: bool) -> WrittenJSON:
    """The provider's JSON as the application gets it."""
    given = said = body.value if isinstance(body, WrittenJSON) else _javascript.parse(body)
    if dialect.translates:
        said = dialect.client_json(status, said, strict=strict, created=created)
    if said is given and isinstance(said, dict) and isinstance(body, WrittenJSON):
        return body
    return WrittenJSON.of(_javascript.spread(said) if not isinstance(said, dict) and _javascript.truthy(said) else said)


_translated_once: Final[Callable[..., WrittenJSON]] = lru_cache(maxsize=256)(_translated)


def checked(answer: GatewayAnswer, hooks: _hooks.Span) -> GatewayAnswer:
    """The answer once the guardrails have seen it."""
    if answer.exception or not hooks:
        return answer
    said: Any = _javascript.parse(answer.body) if answer.readable else None
    if not _javascript.truthy(said):
        # There is nothing to look at, and nothing to add to; a stream is looked at as if it said nothing.
        hooks.check_answer(None, answer.status)
        return answer._replace(status=_hooks.SOFT) if hooks.failed and answer.status == 200 else answer
    allowed = hooks.check_answer(said, answer.status)
    if not allowed:
        return denied(hooks)
    if hooks.answer_replaced:
        said = hooks.response
    told = {"hook_results": hooks.results} if hooks.before_results or hooks.after_results else {}
    status = _hooks.SOFT if hooks.failed and answer.status == 200 else answer.status
    return answer._replace(status=status, body=compact({**_javascript.spread(said), **told}).encode())


def denied(hooks: _hooks.Span) -> GatewayAnswer:
    """The answer where a guardrail denies."""
    body = {"error": _hooks.FAILED, "hook_results": hooks.results}
    return GatewayAnswer(_hooks.DENIED, body=compact(body).encode())


def kept(body: bytes, hooks: _hooks.Span | None, *, stream: bool) -> GatewayAnswer:
    """The answer out of the cache; guardrails have seen the request, and see no answer."""
    status = _hooks.SOFT if hooks is not None and hooks.failed else 200
    if stream:
        return GatewayAnswer(status, EVENT_STREAM, frames=_cache.replayed(body))
    if hooks is not None and hooks.before_results:
        told = {"hook_results": {"before_request_hooks": hooks.before_results}}
        body = compact({**_javascript.spread(_javascript.parse(body)), **told}).encode()
    return GatewayAnswer(status, body=body)


def separated(frames: Iterable[Frame | Cut], separator: bytes = b"\n\n") -> Iterator[Frame | Cut]:
    """The frames with one event in each: the gateway splits at blank lines and drops what is empty.

    What follows the last blank line comes at the end; it is lost where the stream breaks.
    """
    rest, gap = b"", 0.0
    for step in frames:
        if isinstance(step, Cut):
            yield Cut(gap + step.gap, step.fault)
            return
        if not rest and step.data.find(separator) == len(step.data) - len(separator) > 0:
            # One whole event, as nearly all frames are.
            yield Frame(gap + step.gap, step.data) if gap else step
            gap = 0.0
            continue
        gap += step.gap
        *events, rest = (rest + step.data).split(separator)
        for event in filter(None, events):
            yield Frame(gap, event + separator)
            gap = 0.0
    if rest or gap:
        yield Frame(gap, rest)


def _after(first: bytes, frames: Iterable[Frame | Cut]) -> Iterator[Frame | Cut]:
    yield Frame(0.0, first)
    yield from frames


def _untouched(answer: ProviderAnswer, plain: GatewayAnswer) -> GatewayAnswer:
    if answer.status == 204:
        return plain
    return plain._replace(body=answer.body) if answer.frames is None else plain._replace(frames=answer.frames)


def _in_own_shape(plain: Callable[..., GatewayAnswer], body: bytes) -> GatewayAnswer:
    """An answer that the gateway takes for its own of that status; it only spreads what is no object."""
    try:
        said = _javascript.parse(body)
    except ValueError:
        return crash()
    if not isinstance(said, Mapping) and _javascript.truthy(said):
        body = compact(_javascript.spread(said)).encode()
    return plain(body=body, readable=True)


def _joined(answer: ProviderAnswer) -> bytes:
    """The whole body.

    Raises:
        UnmappableError: it breaks off.
    """
    if answer.frames is None:
        return answer.body
    steps = tuple(answer.frames)
    if any(isinstance(step, Cut) for step in steps):
        raise UnmappableError("the body breaks off")
    return b"".join(step.data for step in steps if isinstance(step, Frame))
