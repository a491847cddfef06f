"""The scripted gateway: a `Responder` that walks a request through scripted providers and computes the answer.

It does no I/O and never waits: the time an answer takes is part of the answer.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final, Literal

from portkey_testing import _conditions, _honesty, _mapping, _policy, _provider, _report, _validation, _validator
from portkey_testing._dialects import dialect_of
from portkey_testing._dialects.base import ProviderAnswer
from portkey_testing._encode import compact
from portkey_testing._hosted import Account
from portkey_testing._routing import Landed, MoveOn, NoTargets, Pause, Try, Walk, walk
from portkey_testing.failures import (
    NotSimulated,
    PortkeyTestFailure,
    RefusedRequest,
    SeveralFailures,
    UnscriptedRequest,
    UnusedReplies,
)
from portkey_testing.faults import wire_fault
from portkey_testing.journal import Attempt, Call, Journal, UpstreamRequest, Wait
from portkey_testing.matching import AttemptView, Scripts
from portkey_testing.replies import Answer, Completion, Computed, FaultReply, Reply, as_reply
from portkey_testing.timeline import Cut, Ending, Frame, GatewayRequest, Timeline

Edition = Literal["hosted", "open-source"]

EPOCH: Final = 1_767_225_600
"""Second 0 of the fake's calendar: 2026-01-01, so that `created` is the same in every run."""

CHAT: Final = "/v1/chat/completions"

RULE_UNUSED: Final = "unused_replies"
RULES: Final = frozenset({RULE_UNUSED, _validation.RULE, _honesty.RULE_OFFERED, _honesty.RULE_ARGUMENTS})
"""The rules a test may loosen by name."""

_HOOKS = ("before_request_hooks", "after_request_hooks", "input_guardrails", "output_guardrails", "input_mutators")


class Stamper:
    """Ids and times that are the same in every run."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now = 0.0
        self._counts: dict[str, int] = {}

    def new_id(self, prefix: str) -> str:
        self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return (
            f"{prefix}_fake_{self._counts[prefix]}" if prefix != "chatcmpl" else f"chatcmpl-fake-{self._counts[prefix]}"
        )

    @property
    def created(self) -> int:
        return EPOCH + int(self.now)

    @property
    def milliseconds(self) -> int:
        return EPOCH * 1000 + int(self.now * 1000)


@dataclass(frozen=True, slots=True)
class _Inbound:
    """A request that goes to providers.

    Attributes:
        request: As the application sent it, with everything the account keeps written into its headers.
        body: Its JSON; None where it had no content type, since the gateway does not read it then.
        node: The targets of its config.
    """

    request: GatewayRequest
    body: Any
    node: _policy.Node

    @property
    def params(self) -> Mapping[str, Any]:
        """The body as fields; anything but an object has none."""
        return self.body if isinstance(self.body, Mapping) else {}


class Engine:
    """The brain behind one fake.

    Attributes:
        providers: Scripts of the provider leg.
        application: Scripts of the leg between the application and the gateway.
        account: What the hosted edition keeps.
        journal: What happened.
        allowed: The rules that are loosened.
        picks: Paths of targets that load balancing draws next.
    """

    def __init__(self, *, seed: int, edition: Edition) -> None:
        self.edition = edition
        self.seed = seed
        self.providers = Scripts()
        self.application = Scripts()
        self.account = Account()
        self.journal = Journal()
        self.allowed: set[str] = set()
        self.picks: deque[str] = deque()
        self._failures: list[PortkeyTestFailure] = []
        self._draws = Random(f"{seed}-draws")
        self._stamps = Stamper(Random(f"{seed}-pace"))
        self._lock = threading.RLock()

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        """Answer one request.

        Raises:
            PortkeyTestFailure: the test did not foresee it. It is kept for `verify`, since the application may swallow
                it.
        """
        with self._lock:
            call = self.journal.open(request, now)
            try:
                return self._respond(call, request, now)
            except PortkeyTestFailure as failure:
                call.error, call.duration = failure, 0.0
                self._failures.append(failure)
                raise

    def fail(self, failure: PortkeyTestFailure) -> None:
        """Keep a failure that a mount raised for `verify`."""
        self._failures.append(failure)

    def leftovers(self) -> str | None:
        """The replies that were never used, for people; None if there are none."""
        left = [*self.application.unused(), *self.providers.unused()]
        return _report.unused(left, RULE_UNUSED) if left else None

    def verify(self) -> None:
        """Say what went wrong that the test may not have seen. A second call says only what is new.

        Raises:
            PortkeyTestFailure: one failure, or all of them as `SeveralFailures`.
        """
        with self._lock:
            failures, self._failures = self._failures, []
            leftovers = self.leftovers()
            if leftovers is not None and RULE_UNUSED not in self.allowed:
                failures.append(UnusedReplies(leftovers))
                for script in (*self.application, *self.providers):
                    script.queue.clear()
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise SeveralFailures(failures)

    def _respond(self, call: Call, request: GatewayRequest, now: float) -> Timeline:
        self._stamps.now = now
        scripted = self._application_reply(request)
        if scripted is not None:
            return self._played(call, *self._unrouted(scripted, call))
        if request.path != CHAT or request.method != "POST":
            return self._elsewhere(call, request)
        headers = self._headers(request)
        refused = _validator.refusal(headers)
        if refused is not None:
            return self._played(call, refused)
        body = None
        if "content-type" in headers:
            # Without a content type the gateway does not read the body at all.
            try:
                body = json.loads(request.body)
            except ValueError:
                return self._played(call, _mapping.failure(500, "Something went wrong"))
        config = json.loads(headers.get("x-portkey-config") or "{}")
        if _mentions_hooks(config) or any(name.startswith("x-portkey-default-") for name in headers):
            raise NotSimulated("the config asks for guardrails or hooks, which this fake does not run yet")
        seen = GatewayRequest(request.method, request.url, headers, request.body, request.timeouts)
        return self._routed(call, _Inbound(seen, body, _policy.tree(config, headers)), now)

    def _headers(self, request: GatewayRequest) -> Mapping[str, str]:
        return self.account.resolve(request.headers) if self.edition == "hosted" else request.headers

    def _routed(self, call: Call, inbound: _Inbound, now: float) -> Timeline:
        """Walk the route, keeping its story in the journal."""
        at = now
        steps = call.route.steps
        request = inbound.request
        context = _conditions.context_of(request.headers, inbound.body, request.path)
        walking: Walk[_mapping.Reading] = walk(inbound.node, context, self._draw)
        landed: Landed[_mapping.Reading] | None
        try:
            step = next(walking)
            while True:
                match step:
                    case Try():
                        reading = self._attempt(call, step, inbound, at)
                        at += reading.duration
                        if at == _provider.NEVER:
                            return self._hanging(call)
                        step = walking.send(reading)
                    case Pause(seconds, cause):
                        steps.append(Wait(seconds, cause, at))
                        at += seconds
                        step = next(walking)
                    case MoveOn(cause):
                        call.route.attempts[-1].cause = cause
                        step = next(walking)
        except StopIteration as stop:
            landed = stop.value
        except _conditions.RouterError as error:
            return self._played(call, _mapping.failure(400, str(error)))
        except NoTargets:
            return self._played(call, _mapping.failure(500, "Something went wrong"))
        if landed is None:
            return self._hanging(call)
        call.route.target = landed.target.path
        return self._played(call, landed.outcome.answer, at - now, self._routing_headers(landed, request.headers))

    def _attempt(self, call: Call, step: Try, inbound: _Inbound, at: float) -> _mapping.Reading:
        """One attempt at one target, answered by a script."""
        target, client = step.target, inbound.request
        params: Mapping[str, Any] = {**inbound.params, **target.overrides}
        provider = target.provider
        if provider is None:
            failure = _mapping.failure(500, "Provider  not found", exception=True)
            return _mapping.Reading(ProviderAnswer(0), failure, 0.0, "")
        dialect = dialect_of(provider)
        upstream = _with_forwarded(dialect.request(target, params, client), target, client)
        view = AttemptView(
            provider=provider,
            target=target.path,
            number=step.number,
            params=params,
            client_request=client,
            api_key=target.api_key,
            custom_host=target.custom_host,
            virtual_key=target.virtual_key,
            request=upstream,
        )
        raw, reply = self._provider_answer(view, upstream)
        duration = raw.delay
        if target.timeout is not None and duration > target.timeout:
            raw, duration = _mapping.timed_out(target.timeout * 1000), target.timeout
        reader = _mapping.Reader(provider, dialect, target.strict, self._stamps)
        answer = reader.read(raw, stream=view.stream)
        call.route.steps.append(
            Attempt(
                provider=provider,
                target=target.path,
                number=step.number,
                request=upstream,
                status=answer.status,
                reply=reply,
                started=at,
                duration=duration,
                mapping_recorded=dialect.recorded,
            )
        )
        return _mapping.Reading(raw, answer, duration, reply, dict(raw.headers))

    def _provider_answer(self, view: AttemptView, upstream: UpstreamRequest) -> tuple[ProviderAnswer, str]:
        """What the provider answers, and how the test wrote it."""
        match = self.providers.find(view)
        said = None if match is None else _resolved(match.reply, view)
        # What a model says needs a request the provider takes; an error or the provider's own bytes do not.
        if said is None or isinstance(said, Answer | Completion):
            refused = _validation.refused(view.provider, upstream.body)
            if refused is not None:
                if _validation.RULE not in self.allowed:
                    self._failures.append(
                        RefusedRequest(
                            f"{_report.brief(view)}: the provider would have refused this request with "
                            f"{refused.status}: {refused.message}. {refused.advice}. The application got that refusal; "
                            f"if the test means it, loosen the rule with fake.allow({_validation.RULE!r})."
                        )
                    )
                return _provider.refusal(refused), f"refused: {refused.message}"
        if match is None or said is None:
            raise UnscriptedRequest(_report.unscripted(view, self.providers))
        match.use()
        if isinstance(said, Answer):
            _honesty.check(said, view.params, frozenset(self.allowed))
        return _provider.answer(said, view.provider, view.params, self._stamps), str(said)

    def _application_reply(self, request: GatewayRequest) -> Reply | None:
        if not any(script.queue or script.standby for script in self.application):
            return None
        view = AttemptView("gateway", "", 1, _json_object(request.body), request)
        match = self.application.find(view)
        if match is None:
            return None
        match.use()
        return _resolved(match.reply, view)

    def _unrouted(self, reply: Reply, call: Call) -> tuple[_mapping.GatewayAnswer | Cut, float]:
        """What a script of the application leg puts in place of the gateway's answer."""
        delivery = reply.delivery
        if isinstance(reply, FaultReply):
            fault = wire_fault(reply.name)
            if fault.phase != "body":
                return Cut(0.0, fault.name), delivery.delay
            begun = (Frame(0.0, b'{"id":"chatcmpl-'), Cut(0.0, fault.name))
            return _mapping.GatewayAnswer(200, frames=begun), delivery.delay
        params = call.request.body if isinstance(call.request.body, Mapping) else {}
        raw = _provider.answer(reply, "openai", params, self._stamps)
        return _mapping.GatewayAnswer(
            raw.status, raw.header("content-type"), raw.headers[1:], raw.body, raw.frames
        ), raw.delay

    def _elsewhere(self, call: Call, request: GatewayRequest) -> Timeline:
        """Routes that are no chat completion."""
        if request.path == "/" and request.method == "GET":
            return self._played(call, _mapping.GatewayAnswer(200, "text/plain", body=b"AI Gateway says hey!"))
        if not request.path.startswith("/v1/"):
            body = compact({"message": "Not Found", "ok": False}).encode()
            return self._played(call, _mapping.GatewayAnswer(404, body=body))
        raise NotSimulated(f"{request.method} {request.path}: this fake answers POST {CHAT} only, so far")

    def _hanging(self, call: Call) -> Timeline:
        """The real gateway never answers here."""
        return self._played(call, Cut(0.0, "stall_before_headers"))

    def _draw(self, group: _policy.Group) -> float:
        if self.picks and any(child.path == self.picks[0] for child in group.targets):
            return _draw_for(group, self.picks.popleft())
        return self._draws.random()

    def _routing_headers(
        self, landed: Landed[_mapping.Reading], headers: Mapping[str, str]
    ) -> tuple[tuple[str, str], ...]:
        if landed.outcome.exception:
            return (("x-portkey-gateway-exception", "true"),)
        trace_id = headers.get("x-portkey-trace-id")
        if trace_id is None:
            # The open-source gateway echoes what it got; the hosted one makes an id up.
            trace_id = self._stamps.new_id("trace") if self.edition == "hosted" else ""
        return (
            ("x-portkey-last-used-option-index", landed.target.path),
            ("x-portkey-trace-id", trace_id),
            ("x-portkey-retry-attempt-count", str(landed.retries)),
            ("x-portkey-cache-status", "DISABLED"),
            ("x-portkey-provider", landed.target.provider or ""),
        )

    def _played(
        self,
        call: Call,
        answer: _mapping.GatewayAnswer | Cut,
        delay: float = 0.0,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Timeline:
        """The answer as a timeline that tells the journal how it ended."""
        ended = partial(self._ended, call)
        if isinstance(answer, Cut):
            return Timeline(0, delay=delay, cut=answer, ended=ended)
        call.status = answer.status
        if answer.frames is None:
            call.response = _json_or_text(answer.body)
        typed = () if answer.content_type is None else (("content-type", answer.content_type),)
        frames = (Frame(0.0, answer.body),) if answer.frames is None else answer.frames
        passed = () if answer.exception else answer.headers
        return Timeline(answer.status, (*typed, *passed, *headers), delay, frames, ended=ended)

    def _ended(self, call: Call, ending: Ending) -> None:
        call.finish(ending)
        if isinstance(ending.error, PortkeyTestFailure):
            self._failures.append(ending.error)


def _resolved(reply: Reply, view: AttemptView) -> Reply:
    """A reply that says something: functions are asked until one does."""
    while isinstance(reply, Computed):
        reply = as_reply(reply.function(view))
    return reply


def _with_forwarded(upstream: UpstreamRequest, target: _policy.Target, client: GatewayRequest) -> UpstreamRequest:
    if not target.forward_headers:
        return upstream
    named = {name.lower() for name in target.forward_headers}
    forwarded = {name: value for name, value in client.headers.items() if name in named}
    return UpstreamRequest(upstream.method, upstream.url, {**upstream.headers, **forwarded}, upstream.body)


def _draw_for(group: _policy.Group, path: str) -> float:
    """The number that makes load balancing choose the target at `path`."""
    total = sum(child.weight for child in group.targets)
    before = 0.0
    for child in group.targets:
        if child.path == path:
            return before / total
        before += child.weight
    raise ValueError(f"no target at {path}")


def _mentions_hooks(node: Any) -> bool:
    if not isinstance(node, Mapping):
        return False
    return any(node.get(name) for name in _HOOKS) or any(map(_mentions_hooks, node.get("targets") or ()))


def _json_object(body: bytes) -> Mapping[str, Any]:
    parsed = _json_or_text(body)
    return parsed if isinstance(parsed, dict) else {}


def _json_or_text(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
