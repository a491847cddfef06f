"""A cassette in the place of the scripted gateway: it answers, or is recorded, and the journal is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

from portkey_client._clock import Clock
from portkey_testing.cassettes import Recorder, Replay
from portkey_testing.cassettes.exchange import Tee
from portkey_testing.cassettes.model import CLOSED, COMPLETE
from portkey_testing.cassettes.recorder import fault_of
from portkey_testing.failures import CassetteMiss, NotRecorded, PortkeyTestFailure, UnplayedInteractions
from portkey_testing.journal import Attempt, Call, Journal, UpstreamRequest
from portkey_testing.timeline import Ending, GatewayRequest, Outcome, Timeline

_NOT_RECORDED = UpstreamRequest("", "", {}, None)


class CassetteGateway(Protocol):
    """What answers from a cassette, or records it."""

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        """The recorded answer."""
        ...

    def verify(self) -> None:
        """Report what the test may not have noticed."""
        ...


class ReplayingGateway:
    """Replays one cassette.

    Args:
        replay: The cassette.
        journal: Where the calls are written down.
        fail: Told about each failure, since the application may swallow the one that is raised.
    """

    def __init__(self, replay: Replay, journal: Journal, fail: Callable[[PortkeyTestFailure], None]) -> None:
        self.replay = replay
        self._journal = journal
        self._fail = fail
        self._reported: set[int] = set()

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        call = self._journal.open(request, now)
        try:
            timeline = self.replay.respond(request, now)
        except PortkeyTestFailure as failure:
            call.error, call.duration = failure, 0.0
            self._fail(failure)
            raise
        return self._noted(call, timeline, now)

    def find(self, request: GatewayRequest, now: float) -> Timeline | None:
        """The same; None, and nothing noted, if there is no answer."""
        timeline = self.replay.find(request, now)
        return None if timeline is None else self._noted(self._journal.open(request, now), timeline, now)

    def _noted(self, call: Call, timeline: Timeline, now: float) -> Timeline:
        call.status = None if timeline.cut is not None else timeline.status
        note_target(call, dict(timeline.headers), now, timeline.delay, f"recorded in {self.replay.path.name}")

        def ended(ending: Ending) -> None:
            call.finish(ending)
            if isinstance(ending.error, PortkeyTestFailure):
                self._fail(ending.error)
            if timeline.ended is not None:
                timeline.ended(ending)

        return timeline._replace(ended=ended)

    def verify(self) -> None:
        """Report the interactions nothing asked for; a second time, only what is new."""
        unplayed = [number for number, _ in self.replay.unplayed if number not in self._reported]
        self._reported.update(unplayed)
        if unplayed:
            numbers = ", ".join(map(str, unplayed))
            total = len(self.replay.interactions)
            self._fail(
                UnplayedInteractions(
                    f"{self.replay.path}: {len(unplayed)} of {total} recorded interactions were never asked for "
                    f"(number {numbers}). The application no longer makes these calls, or the test ended early. "
                    "Record the cassette again if that is meant."
                )
            )


class RecordingGateway:
    """Records one cassette: what the mode says is replayed, the rest goes to the real gateway.

    Args:
        recorder: Keeps what went live.
        gateway: Base URL of the gateway that requests go to; None leaves them the one they were made for.
        claims: Tells the gateway's requests from others, by their URL and headers.
        clock: The clock of what is replayed; what goes live takes its time.
        journal: Where the calls are written down.
        fail: Told about each failure.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        gateway: str | None,
        claims: Callable[[str, Iterable[tuple[bytes, bytes]]], bool],
        clock: Clock,
        journal: Journal,
        fail: Callable[[PortkeyTestFailure], None],
    ) -> None:
        self._recorder = recorder
        self.gateway = gateway
        self.claims = claims
        self.clock = clock
        self._journal = journal
        self._fail = fail
        self._replayed = None if recorder.replay is None else ReplayingGateway(recorder.replay, journal, fail)

    def answer(self, request: GatewayRequest) -> Timeline | None:
        """What was recorded before; None for what is to be recorded now.

        Raises:
            CassetteMiss: it was not recorded, and the mode records nothing more.
        """
        if self._replayed is None:
            return None
        if self._recorder.is_recording:
            return self._replayed.find(request, self.clock.time())
        return self._replayed.respond(request, self.clock.time())

    def begin(self, request: GatewayRequest, at: float) -> LiveCall:
        """A request goes live."""
        call = self._journal.open(request, self.clock.time())
        return LiveCall(self._recorder.begin(request, at), call, at)

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        """Answer a request that nobody records: of a client with a transport of the fake, or that its server got.

        Raises:
            NotRecorded: the answer is not recorded yet.
        """
        timeline = None if self._replayed is None else self._replayed.find(request, now)
        if timeline is None:
            failure = NotRecorded(
                f"{request.method} {request.url} came through FakeGateway.transport() or .serve(), which answer and "
                "do not record. Give the client its own transport and base URL while recording; to record a program "
                "in another process: portkey-testing record --gateway URL -o FILE -- COMMAND."
            )
            self._fail(failure)
            raise failure
        return timeline

    def verify(self) -> None:
        """Report the interactions nothing asked for, where nothing is recorded any more."""
        if self._replayed is not None and not self._recorder.is_recording:
            self._replayed.verify()


class LiveCall:
    """Looks on while one request is answered by the real gateway. Times are in real seconds.

    Args:
        tee: Makes the recording.
        call: Where it is written down; its times become those of the fake's clock.
        started: When the request was sent.
    """

    def __init__(self, tee: Tee, call: Call, started: float) -> None:
        self._tee = tee
        self._call = call
        self._started = started
        self._reads = 0

    def head(self, status: int, headers: Sequence[tuple[str, str]], at: float) -> None:
        self._call.status = status
        self._call.answer_headers = tuple(headers)
        named = self._call.response_headers
        note_target(self._call, named, self._call.started, at - self._started, "the real gateway")
        self._tee.head(status, headers, at)

    def read(self, data: bytes, at: float) -> None:
        self._reads += 1
        self._tee.read(data, at)

    def end(self, at: float) -> None:
        self._finish("complete", at, None)
        self._tee.end(COMPLETE, at)

    def close(self, at: float) -> None:
        self._finish("closed", at, None)
        self._tee.end(CLOSED, at)

    def fail(self, error: BaseException, at: float) -> None:
        fault = fault_of(error, before_headers=self._call.status is None)
        self._finish("closed" if fault == CLOSED else "cut", at, error)
        self._tee.end(fault, at)

    def _finish(self, outcome: Outcome, at: float, error: BaseException | None) -> None:
        if self._call.duration is None:
            self._call.finish(Ending(outcome, self._call.started + at - self._started, self._reads, error))


def note_target(call: Call, headers: Mapping[str, str], now: float, delay: float, reply: str) -> None:
    """What is not scripted tells the target that answered, not the ones before it."""
    target = headers.get("x-portkey-last-used-option-index")
    if target is None or call.status is None:
        return
    call.route.target = target
    call.route.steps.append(
        Attempt(
            provider=headers.get("x-portkey-provider", ""),
            target=target,
            number=1,
            _request=_NOT_RECORDED,
            status=call.status,
            answered_by=reply,
            started=now,
            duration=delay,
        )
    )


def open_cassette(
    path: str | Path, journal: Journal, fail: Callable[[PortkeyTestFailure], None], **options: Any
) -> ReplayingGateway:
    """A cassette to replay; `options` are those of `Replay`.

    Raises:
        CassetteError: the file is no cassette, or is damaged.
    """
    return ReplayingGateway(Replay(path, on_miss=miss, **options), journal, fail)


def miss(explanation: str) -> NoReturn:
    raise CassetteMiss(explanation)
