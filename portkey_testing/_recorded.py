"""A cassette in the place of the scripted gateway: it answers, and the journal is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from portkey_testing.cassettes import Replay
from portkey_testing.failures import CassetteMiss, PortkeyTestFailure, UnplayedInteractions
from portkey_testing.journal import Attempt, Call, Journal, UpstreamRequest
from portkey_testing.timeline import Ending, GatewayRequest, Timeline

_NOT_RECORDED = UpstreamRequest("", "", {}, None)


class RecordedGateway:
    """Replays one cassette.

    Args:
        path: The cassette.
        journal: Where the calls are written down.
        fail: Told about each failure, since the application may swallow the one that is raised.
    """

    def __init__(self, path: str | Path, journal: Journal, fail: Callable[[PortkeyTestFailure], None]) -> None:
        self._replay = Replay(path, on_miss=_miss)
        self._journal = journal
        self._fail = fail

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        call = self._journal.open(request, now)
        try:
            timeline = self._replay.respond(request, now)
        except PortkeyTestFailure as failure:
            call.error, call.duration = failure, 0.0
            self._fail(failure)
            raise
        call.status = None if timeline.cut is not None else timeline.status
        self._note_target(call, dict(timeline.headers), now, timeline.delay)

        def ended(ending: Ending) -> None:
            call.finish(ending)
            if isinstance(ending.error, PortkeyTestFailure):
                self._fail(ending.error)
            if timeline.ended is not None:
                timeline.ended(ending)

        return replace(timeline, ended=ended)

    def verify(self) -> None:
        """Report the interactions nothing asked for."""
        unplayed = self._replay.unplayed
        if unplayed:
            numbers = ", ".join(str(number) for number, _ in unplayed)
            total = len(self._replay.interactions)
            self._fail(
                UnplayedInteractions(
                    f"{self._replay.path}: {len(unplayed)} of {total} recorded interactions were never asked for "
                    f"(number {numbers}). The application no longer makes these calls, or the test ended early. "
                    "Record the cassette again if that is meant."
                )
            )

    def _note_target(self, call: Call, headers: dict[str, str], now: float, delay: float) -> None:
        """A recording knows the target that answered, not the ones before it."""
        target = headers.get("x-portkey-last-used-option-index")
        if target is None or call.status is None:
            return
        call.route.target = target
        call.route.steps.append(
            Attempt(
                provider=headers.get("x-portkey-provider", ""),
                target=target,
                number=1,
                request=_NOT_RECORDED,
                status=call.status,
                reply=f"recorded in {self._replay.path.name}",
                started=now,
                duration=delay,
            )
        )


def _miss(explanation: str) -> NoReturn:
    raise CassetteMiss(explanation)
