"""One target while the gateway tries it: the guardrails before, its attempts, the guardrails after each.

As Portkey's open-source gateway 1.15.2 goes about it (its `tryPost`). What the provider answers comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from portkey_testing import _cache, _hooks, _hosted_config, _inbound, _mapping, _routes
from portkey_testing._cache import Cache, Question
from portkey_testing._dialects import UnsupportedError, dialect_of
from portkey_testing._dialects.base import Dialect, ProviderAnswer, Stamps, UnmappableError
from portkey_testing._guardrails import Subject
from portkey_testing._inbound import Inbound
from portkey_testing._policy import Retry, Target
from portkey_testing._routing import RETRY_AFTER
from portkey_testing.journal import Attempt, Guardrails, Route, UpstreamRequest
from portkey_testing.matching import AttemptView
from portkey_testing.timeline import GatewayRequest

_RATE_LIMITED: Final = 429
_READ_LATER: Final = range(200, 205)
"""Statuses of answers whose body the gateway does not look at before it is done with retries."""

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MOST_REDIRECTS: Final = 20
_PROXY_AUTHENTICATION: Final = 407
"""A status that fetches of the gateway's runtime fail on, as if no answer had come."""

_FAILURES: Final = (
    ("ECONNREFUSED", "connection refused"),
    ("ENOTFOUND", "host not found"),
    ("certificate", "certificate refused"),
    ("EPROTO", "no TLS"),
    ("redirect count", "too many redirects"),
)
_CREDENTIALS: Final = frozenset(("authorization", "cookie", "proxy-authorization"))


Ask = Callable[[AttemptView, UpstreamRequest, Dialect], tuple[ProviderAnswer, object]]
"""What a provider answers to a request, and the reply that says so, or words for it."""


class Visit:
    """A target that is tried.

    Args:
        target: The target.
        inbound: The request.
        route: Where it is written down.
        ask: The provider.
        stamps: Ids and times the gateway makes up.
        clockwork: Time, randomness and verdicts for guardrails.
        cache: The answers kept; None where there is no cache.
    """

    def __init__(
        self,
        target: Target,
        inbound: Inbound,
        *,
        route: Route,
        ask: Ask,
        stamps: Stamps,
        clockwork: Callable[[], _hooks.Clockwork],
        cache: Cache | None = None,
    ) -> None:
        self._target = target
        self._inbound = inbound
        self._route = route
        self._ask = ask
        self._stamps = stamps
        self._cache = cache
        self._params = inbound.params(target)
        dropped = cache is not None and "drop_params" in target.options
        if dropped:
            self._params = _hosted_config.without(self._params, target.options["drop_params"])
        self._hooks: _hooks.Span | None = None
        if target.before or target.after:
            subject = Subject("input", self._params, endpoint=inbound.endpoint, metadata=inbound.metadata)
            self._hooks = _hooks.Span(target.before, target.after, subject, clockwork())
        # Nothing but the request and the target has a say in what is sent, so that can be worked out anew.
        self._derivable = self._hooks is None and not dropped

    def attempt(self, number: int, at: float) -> _mapping.Reading:
        """The `number`th attempt, made at `at` seconds."""
        target = self._target
        if target.provider is None:
            return _failed("Provider  not found")
        denied: _mapping.GatewayAnswer | None = None
        if self._hooks is not None:
            if number == 1 and not self._admitted(self._hooks, at):
                denied = _mapping.denied(self._hooks)
            else:
                self._params = self._hooks.request
        client = self._inbound.request
        try:
            dialect = dialect_of(target.provider, self._inbound.endpoint, has_body=client.method == "POST")
            upstream = _upstream_request(dialect, target, self._params, self._inbound)
        except UnsupportedError as error:
            return _failed(str(error))
        except UnmappableError:
            return _failed("Something went wrong")
        if denied is not None:
            # The gateway translates a denied request as well, so one that cannot be translated fails first.
            raw = ProviderAnswer(_hooks.DENIED)
            return _mapping.Reading(raw, denied, 0.0, denied=True, cache_status=None)
        if self._cache is None or not target.cache or (asked := self._question()) is None:
            return self._called(dialect, target.provider, upstream, number, at)
        call = partial(self._called, dialect, target.provider, upstream, number, at)
        return self._cached(self._cache, asked, call, number, at)

    def _cached(
        self, cache: Cache, asked: Question, call: Callable[[], _mapping.Reading], number: int, at: float
    ) -> _mapping.Reading:
        """The answer that is kept; else that of the `call`, kept from now on."""
        status, kept = cache.look_up(asked, at) if number == 1 else (self._route.cache or "MISS", None)
        self._route.cache = status
        if kept is not None:
            answer = _mapping.kept(kept, self._hooks, stream=self._streams)
            return _mapping.Reading(ProviderAnswer(200), answer, 0.0, cache_status=status)
        reading = call()
        answer, until = reading.answer, at + reading.duration
        if reading.status == 200 and answer.frames is not None and self._streams:
            answer = answer._replace(frames=cache.keeping(asked, answer.frames, until))
        elif reading.status == 200 and answer.content_type == _mapping.JSON and answer.frames is None:
            cache.keep(asked, answer.body, until)
        return reading._replace(answer=answer, cache_status=status)

    @property
    def _streams(self) -> bool:
        return self._params.get("stream") is True

    def _question(self) -> Question | None:
        """The request for the cache; None where it is none to be kept."""
        headers = self._inbound.request.headers
        return _cache.question(self._target.cache, headers, self._inbound.endpoint, self._params)

    def _admitted(self, hooks: _hooks.Span, at: float) -> bool:
        allowed = hooks.check_request()
        self._note("input", hooks.before_results, at, denied=not allowed)
        return allowed

    def _called(
        self, dialect: Dialect, provider: str, upstream: UpstreamRequest, number: int, at: float
    ) -> _mapping.Reading:
        target, params = self._target, self._params
        view = AttemptView(
            provider=provider,
            target=target.path,
            number=number,
            params=params,
            client_request=self._inbound.request,
            api_key=target.api_key,
            custom_host=target.custom_host,
            virtual_key=target.virtual_key,
            request=upstream,
        )
        raw, reply, redirects = self._followed(view, upstream, dialect)
        if raw.status not in _READ_LATER or raw.status in target.retry.codes:
            raw = _mapping.read_at_once(raw)
        if upstream.method == "HEAD":
            raw = raw._replace(body=b"", frames=None)
        duration = raw.delay
        failure = _failure(raw) if raw.broken else ""
        if target.timeout is not None and duration > target.timeout:
            raw, duration = _mapping.timed_out(target.timeout * 1000), target.timeout
            failure = f"timeout {target.timeout * 1000:g} ms"
        elif raw.status == _RATE_LIMITED and _asks_for_no_wait(raw, target.retry):
            raw, failure = _mapping.no_retry_after(), "429 without retry-after"
        reader = _mapping.Reader(provider, dialect, target.strict, self._stamps, params.get("model"))
        answer = reader.read(raw, self._hooks, stream=self._streams)
        anew = partial(_sent, dialect, target, self._inbound.request, self._inbound.route)
        attempt = Attempt(
            provider=provider,
            target=target.path,
            number=number,
            _request=anew if self._derivable else upstream,
            status=answer.status,
            answered_by=reply,
            started=at,
            duration=duration,
            failure=failure,
            mapping_recorded=dialect.recorded,
            redirects=redirects,
        )
        self._route.steps.append(attempt)
        if self._hooks is not None:
            answer = _mapping.checked(answer, self._hooks)
            attempt.status = answer.status
            self._note("output", self._hooks.after_results, at + duration, denied=answer.status == _hooks.DENIED)
        return _mapping.Reading(raw, answer, duration)

    def _followed(
        self, view: AttemptView, upstream: UpstreamRequest, dialect: Dialect
    ) -> tuple[ProviderAnswer, object, tuple[str, ...]]:
        """The provider's answer, after the redirects on the way to it."""
        raw, reply = self._ask(view, upstream, dialect)
        delay = 0.0
        followed: tuple[str, ...] = ()
        while raw.status in _REDIRECTS and (location := raw.header("location")) is not None:
            delay += raw.delay
            if len(followed) == _MOST_REDIRECTS:
                raw = _mapping.unreachable("Error: redirect count exceeded")
                break
            upstream = _redirected(upstream, raw.status, location)
            followed = (*followed, upstream.url)
            raw, reply = self._ask(replace(view, request=upstream), upstream, dialect)
        if raw.status == _PROXY_AUTHENTICATION:
            raw = _mapping.unreachable("Error")
        return (raw._replace(delay=raw.delay + delay) if delay else raw), reply, followed

    def _note(self, stage: str, results: list[dict[str, Any]], at: float, *, denied: bool) -> None:
        if results:
            self._route.steps.append(Guardrails(self._target.path, stage, results, denied, at))


def _upstream_request(dialect: Dialect, target: Target, params: Mapping[str, Any], inbound: Inbound) -> UpstreamRequest:
    upstream = dialect.request(target, params, inbound.request)
    return upstream if inbound.raw is None else upstream._replace(body=inbound.raw)


def _sent(dialect: Dialect, target: Target, request: GatewayRequest, route: _routes.Route) -> UpstreamRequest:
    """What a target was sent, worked out anew from what the application sent, where nothing else had a say in it."""
    inbound = _inbound.read(request, route)
    return _upstream_request(dialect, target, inbound.params(target), inbound)


def _asks_for_no_wait(raw: ProviderAnswer, retry: Retry) -> bool:
    """Whether the gateway looks for how long to wait after a 429, and trips because no header says so."""
    wanted = retry.use_retry_after and _RATE_LIMITED in retry.codes
    return wanted and not any(raw.header(name) for name in RETRY_AFTER)


def _failed(message: str) -> _mapping.Reading:
    """The gateway fails before it calls anyone."""
    return _mapping.Reading(ProviderAnswer(0), _mapping.failure(500, message, exception=True), 0.0)


def _failure(raw: ProviderAnswer) -> str:
    """Why no answer came, in a few words, from those of the gateway's runtime."""
    words = raw.body.decode()
    return next((plain for mark, plain in _FAILURES if mark in words), "connection dropped")


def _redirected(request: UpstreamRequest, status: int, location: str) -> UpstreamRequest:
    """The request that follows a redirect, by the rules of the Fetch standard."""
    url = urljoin(request.url, location)
    method, headers, body = request.method, dict(request.headers), request.body
    if status == 303 or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers.pop("content-type", None)
    before, after = urlsplit(request.url), urlsplit(url)
    if (before.scheme, before.netloc) != (after.scheme, after.netloc):
        headers = {name: value for name, value in headers.items() if name not in _CREDENTIALS}
    return UpstreamRequest(method, url, headers, body)
