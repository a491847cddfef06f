"""The scripted gateway: a `Responder` that walks a request through scripted providers and computes the answer.

It does no I/O and never waits: the time an answer takes is part of the answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import lru_cache, partial
from random import Random
from typing import Any, Final, Literal

from portkey_testing import (
    _conditional_routing,
    _honesty,
    _hooks,
    _inbound,
    _mapping,
    _policy,
    _provider,
    _reads,
    _refusals,
    _report,
    _routes,
    _validator,
)
from portkey_testing._draws import Draws
from portkey_testing._encode import compact
from portkey_testing._guardrails import Finding, external_checks
from portkey_testing._hosted import Account
from portkey_testing._inbound import Inbound
from portkey_testing._routing import Landed, MoveOn, NoTargets, Pause, Step, Try, walk
from portkey_testing._stamper import Stamper
from portkey_testing._upstream import Upstream
from portkey_testing._visit import Visit
from portkey_testing.chaos import Chaos, strike
from portkey_testing.failures import (
    NotSimulated,
    PortkeyTestFailure,
    SeveralFailures,
    UnusedReplies,
)
from portkey_testing.faults import wire_fault
from portkey_testing.journal import Attempt, Call, Journal, Wait
from portkey_testing.matching import AttemptView, Scripts
from portkey_testing.replies import FaultReply, Pace, Reply
from portkey_testing.timeline import Cut, Ending, Frame, GatewayRequest, Timeline

Edition = Literal["hosted", "open-source"]

MAX_HEAD: Final = 16 * 2**10 - 1
"""Bytes of a request's head that the open-source gateway takes, whose server has Node's default `maxHeaderSize`."""

RULE_UNUSED: Final = "unused_replies"
RULES: Final = _honesty.RULES | {RULE_UNUSED, _refusals.RULE}
"""The rules a test may loosen by name."""


class Engine:
    """The brain behind one fake.

    Attributes:
        providers: Scripts of the provider leg.
        application: Scripts of the leg between the application and the gateway.
        account: What the hosted edition keeps.
        journal: What happened.
        allowed: The rules that are loosened.
        chaos: What strikes at random.
        draws: What load balancing chooses.
    """

    def __init__(self, *, seed: int, edition: Edition, fakes_mounted: Callable[[], int]) -> None:
        self.edition: Edition = edition
        self.seed = seed
        self.providers = Scripts()
        self.application = Scripts()
        self.account = Account()
        self.journal = Journal()
        self.allowed: set[str] = set()
        self.chaos: list[Chaos] = []
        self.draws = Draws(Random(f"{seed}-draws"), self.account.stickiness if edition == "hosted" else None)
        self._failures: list[PortkeyTestFailure] = []
        self._stamps = Stamper(Random(f"{seed}-pace"))
        self._lock = threading.RLock()
        self._upstream = Upstream(
            self.providers,
            chaos=self.chaos,
            allowed=self.allowed,
            stamps=self._stamps,
            fail=self.fail,
            fakes_mounted=fakes_mounted,
        )

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

    def keep(self, answer: object, params: Mapping[str, Any]) -> str:
        """Put a completion into the providers' store; returns its id.

        Raises:
            TypeError: it is nothing that a model says.
            ValueError: it has no id.
        """
        with self._lock:
            return self._upstream.keep(answer, params)

    def leftovers(self) -> str | None:
        """The replies that were never used, for people; None if there are none."""
        left = [*self.application.unused(), *self.providers.unused()]
        return _report.unused(left, RULE_UNUSED, self.journal.calls) if left else None

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
            picks = self.draws.picks
            if picks and RULE_UNUSED not in self.allowed:
                failures.append(UnusedReplies(_report.unused_picks(picks, sorted(self.draws.drawable), RULE_UNUSED)))
                picks.clear()
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise SeveralFailures(failures)

    def _respond(self, call: Call, request: GatewayRequest, now: float) -> Timeline:
        self._stamps.now = now
        scripted = self._application_reply(request) if self.chaos or len(self.application) else None
        if scripted is not None:
            return self._played(call, *self._unrouted(scripted, call))
        if self.edition == "open-source" and _head_size(request) > MAX_HEAD:
            return self._played(call, _mapping.GatewayAnswer(431, None, (("connection", "close"),)))
        hosted = self.edition == "hosted"
        path = request.path
        route = _routes.route_of(request.method, path)
        if route is None:
            return self._played(call, _nowhere(request))
        if route is _routes.PROMPTS and hosted:
            raise NotSimulated(
                f"{path}: prompts are kept by the hosted product, and this fake keeps none. "
                "Script the answer with fake.gateway.reply(...)."
            )
        seen = self.account.resolve(request) if hosted else request
        headers = seen.headers
        refused = _validator.refusal(headers, hosted=hosted) if route.validated else None
        if refused is not None:
            return self._played(call, refused)
        if route is _routes.PROMPTS:
            return self._played(call, _mapping.failure(500, "prompt completions error: Something went wrong"))
        if route is _routes.REALTIME:
            return self._hanging(call)
        try:
            inbound = _inbound.read(seen, route)
            node = _policy.tree_of(headers)
        except _policy.BrokenRequestError as error:
            return self._played(call, _unroutable(error, route))
        return self._routed(call, inbound, node, route, now)

    def _routed(self, call: Call, inbound: Inbound, node: _policy.Node, route: _routes.Route, now: float) -> Timeline:
        """Walk the route, keeping its story in the journal."""
        at = now
        steps = call.route.steps
        request = inbound.request
        context = _conditional_routing.context_of(inbound.metadata, inbound.body, request.path)
        config = request.headers.get("x-portkey-config", "")
        draw = partial(self.draws.draw, config=config, context=context, now=now)
        walking: Generator[Step, _mapping.Reading, Landed[_mapping.Reading] | None] = walk(node, context, draw)
        visit: Visit | None = None
        landed: Landed[_mapping.Reading] | None
        try:
            step = next(walking)
            while True:
                match step:
                    case Try(target, number):
                        if visit is None or number == 1:
                            visit = self._visit(target, inbound, call)
                        reading = visit.attempt(number, at)
                        at += reading.duration
                        if at == _provider.NEVER:
                            return self._hanging(call)
                        step = walking.send(reading)
                    case Pause(seconds, cause):
                        steps.append(Wait(seconds, cause, at))
                        at += seconds
                        step = next(walking)
                    case MoveOn(cause):
                        _note_cause(call, cause)
                        step = next(walking)
        except StopIteration as stop:
            landed = stop.value
        except (_conditional_routing.RouterError, NoTargets, _policy.BrokenRequestError) as error:
            return self._played(call, _unroutable(error, route))
        if landed is None:
            return self._hanging(call)
        call.route.target = landed.target.path
        outcome = landed.outcome
        answer = self._carried(outcome.answer, outcome.raw.pace)
        if outcome.raw.fragile:
            answer = _noted(answer, call)
        return self._played(call, answer, at - now, self._routing_headers(landed, request.headers))

    def _visit(self, target: _policy.Target, inbound: Inbound, call: Call) -> Visit:
        return Visit(
            target,
            inbound,
            route=call.route,
            ask=self._upstream.answer,
            stamps=self._stamps,
            clockwork=self._clockwork,
            cache=self.account.cache if self.edition == "hosted" else None,
        )

    def _clockwork(self) -> _hooks.Clockwork:
        return _hooks.Clockwork(self._stamps.seconds, self._stamps.random, self._external_verdict)

    def _external_verdict(self, check_id: str) -> Finding | None:
        """What a check finds that asks a service outside; None for one that the gateway does not have."""
        if check_id not in external_checks():
            return None
        if check_id not in self.account.verdicts:
            raise NotSimulated(
                f"the config asks for the check {check_id!r}, which the gateway leaves to a service outside, and this "
                f"fake calls none. Say what it finds with fake.check({check_id!r}, passes=True)."
            )
        return Finding(verdict=self.account.verdicts[check_id])

    def _application_reply(self, request: GatewayRequest) -> Reply | None:
        if self.chaos and (struck := strike(self.chaos, "application")) is not None:
            return struck
        if not any(script.queue or script.standby for script in self.application):
            return None
        view = AttemptView("gateway", "", 1, _json_object(request.body), request)
        match = self.application.find(view)
        if match is None:
            return None
        said = match.said(view)
        match.use()
        return said

    def _unrouted(self, reply: Reply, call: Call) -> tuple[_mapping.GatewayAnswer | Cut, float]:
        """What a script of the application leg puts in place of the gateway's answer."""
        delivery = reply.delivery
        if isinstance(reply, FaultReply) and wire_fault(reply.name).phase != "body":
            return Cut(0.0, reply.name), delivery.delay
        params = call.request.body if isinstance(call.request.body, Mapping) else {}
        raw = _provider.application_answer(reply, params, self._stamps)
        headers = tuple(pair for pair in raw.headers if pair[0] != "content-type")
        answer = _mapping.GatewayAnswer(raw.status, raw.header("content-type"), headers, raw.body, raw.frames)
        answer = self._carried(answer, raw.pace)
        return (_noted(answer, call) if raw.fragile else answer), raw.delay

    def _carried(self, answer: _mapping.GatewayAnswer, pace: Pace | None) -> _mapping.GatewayAnswer:
        """A stream as its bytes travel to the application."""
        if answer.frames is None or pace is None:
            return answer
        return answer._replace(frames=_reads.carried(answer.frames, pace, self._stamps.random))

    def _hanging(self, call: Call) -> Timeline:
        """The real gateway never answers here."""
        return self._played(call, Cut(0.0, "stall_before_headers"))

    def _routing_headers(
        self, landed: Landed[_mapping.Reading], headers: Mapping[str, str]
    ) -> tuple[tuple[str, str], ...]:
        if landed.outcome.exception:
            return (("x-portkey-gateway-exception", "true"),)
        trace_id = headers.get("x-portkey-trace-id")
        if trace_id is None:
            # The open-source gateway echoes what it got; the hosted one makes an id up.
            trace_id = self._stamps.new_id("trace") if self.edition == "hosted" else ""
        target = landed.target
        option, *others = _told(target.path, landed.retries, landed.outcome.cache_status, target.provider or "")
        return (option, ("x-portkey-trace-id", trace_id), *others)

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
        if call.http.method == "HEAD":
            answer = answer._replace(body=b"", frames=None)
        call.status = answer.status
        if answer.frames is None:
            call.content = bytes(answer.body)  # and not what it was written from, which the journal would keep
        typed = () if answer.content_type is None else (("content-type", answer.content_type),)
        passed = () if answer.exception else answer.headers
        call.answer_headers = (*typed, *passed, *headers)
        frames = (Frame(0.0, answer.body),) if answer.frames is None else answer.frames
        return Timeline(answer.status, call.answer_headers, delay, frames, ended=ended)

    def _ended(self, call: Call, ending: Ending) -> None:
        call.finish(ending)
        if isinstance(ending.error, PortkeyTestFailure):
            self._failures.append(ending.error)


# Most answers say the same of their way, and the journal keeps what each of them said.


@lru_cache(maxsize=256)
def _told(path: str, retries: int, cache_status: str | None, provider: str) -> tuple[tuple[str, str], ...]:
    """What the application is told of an answer's way, but for the id of its trace, which comes second."""
    return (
        ("x-portkey-last-used-option-index", path),
        ("x-portkey-retry-attempt-count", str(retries)),
        *(() if cache_status is None else (("x-portkey-cache-status", cache_status),)),
        ("x-portkey-provider", provider),
    )


def _note_cause(call: Call, cause: str) -> None:
    """Write down why the gateway did not stop at its last attempt; a guardrail may have kept it from making one."""
    for step in reversed(call.route.steps):
        if isinstance(step, Attempt):
            step.cause = cause
            return


def _head_size(request: GatewayRequest) -> int:
    """Bytes of a request's head as Node counts them: its target, and the names and values of its headers."""
    target = request.url.partition("//")[2].partition("/")[2]  # but for its first slash
    return 1 + len("".join((target, *request.headers, *request.headers.values())))


def _nowhere(request: GatewayRequest) -> _mapping.GatewayAnswer:
    """Paths the gateway has no route for."""
    if request.path == "/" and request.method in ("GET", "HEAD"):
        return _mapping.GatewayAnswer(200, _mapping.PLAIN, body=b"AI Gateway says hey!")
    return _mapping.GatewayAnswer(404, body=compact({"message": "Not Found", "ok": False}).encode())


def _unroutable(error: Exception, route: _routes.Route) -> _mapping.GatewayAnswer:
    """What the gateway says of a request that it cannot take to a target."""
    match error:
        case _conditional_routing.RouterError() if route.says_why:
            return _mapping.failure(400, str(error))
        case _conditional_routing.RouterError():
            return _mapping.failure(500, "Something went wrong")
        case _:
            return _mapping.failure(500, route.unreadable.format(error))


def _noted(answer: _mapping.GatewayAnswer, call: Call) -> _mapping.GatewayAnswer:
    """The answer, with what is delivered of it written down."""
    received: list[bytes] = []
    call.received = received

    def frames() -> Iterator[Frame | Cut]:
        for step in answer.frames or ():
            if isinstance(step, Frame):
                received.append(step.data)
            yield step

    return answer if answer.frames is None else answer._replace(frames=frames())


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
