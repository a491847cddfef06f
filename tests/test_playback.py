"""Playing a timeline to a client: its waits, its breaks, and what is told at its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import anyio
import httpx
import pytest

from portkey_testing import HangingRequest, VirtualClock
from portkey_testing._playback import Playback
from portkey_testing.timeline import Cut, Ending, Frame, Timeline, Timeouts

BACKENDS = pytest.mark.parametrize("backend", [None, "asyncio", "trio"], ids=["sync", "asyncio", "trio"])
PATIENT = Timeouts(connect=5.0, read=10.0, write=7.0)


class Played:
    """One playing of a timeline.

    Attributes:
        read: What was read.
        endings: What was told at the end.
        error: What was raised.
        now: Seconds it took.
    """

    def __init__(
        self,
        backend: str | None,
        frames: Iterable[Frame | Cut] = (),
        *,
        delay: float = 0.0,
        cut: Cut | None = None,
        timeouts: Timeouts = PATIENT,
        take: int | None = None,
    ) -> None:
        self.read: list[bytes] = []
        self.endings: list[Ending] = []
        self.error: BaseException | None = None
        clock = VirtualClock()
        timeline = Timeline(200, delay=delay, frames=frames, cut=cut, ended=self.endings.append)
        playback = Playback(timeline, clock, timeouts, httpx)
        try:
            if backend is None:
                self._sync(playback, take)
            else:
                anyio.run(self._async, playback, take, backend=backend)
        except (httpx.HTTPError, HangingRequest) as error:
            self.error = error
        self.now = clock.now

    def _sync(self, playback: Playback, take: int | None) -> None:
        playback.start()
        for data in playback:
            self.read.append(data)
            if len(self.read) == take:
                break
        playback.close()

    async def _async(self, playback: Playback, take: int | None) -> None:
        await playback.astart()
        async for data in playback:
            self.read.append(data)
            if len(self.read) == take:
                break
        await playback.aclose()

    @property
    def outcome(self) -> tuple[str, int]:
        """How it ended, and after how many frames; there is exactly one ending."""
        (ending,) = self.endings
        return ending.outcome, ending.frames


TWO = (Frame(1.0, b"a"), Frame(2.0, b"b"))


@BACKENDS
def test_a_timeline_takes_its_time(backend: str | None) -> None:
    """The delay and every gap."""
    played = Played(backend, TWO, delay=4.0)

    assert [b"a", b"b"] == played.read
    assert ("complete", 2) == played.outcome
    assert 7.0 == played.now
    assert 7.0 == played.endings[0].at


@BACKENDS
def test_a_client_that_hangs_up_is_noticed(backend: str | None) -> None:
    """With what it has read."""
    assert ("closed", 1) == Played(backend, TWO, take=1).outcome


@BACKENDS
def test_a_client_that_stops_after_the_last_frame_has_read_everything(backend: str | None) -> None:
    """It saw the end in the last frame."""
    assert ("complete", 2) == Played(backend, TWO, take=2).outcome


@BACKENDS
@pytest.mark.parametrize(
    ("fault", "error", "waited"),
    [("reset", httpx.ReadError, 0.0), ("dropped", httpx.RemoteProtocolError, 0.0), ("stall", httpx.ReadTimeout, 10.0)],
)
def test_a_cut_is_an_exception(backend: str | None, fault: str, error: type[Exception], waited: float) -> None:
    """After what came before it; silence lasts as long as the client waits."""
    played = Played(backend, (Frame(0.0, b"a"), Cut(0.5, fault)))

    assert [b"a"] == played.read
    assert isinstance(played.error, error)
    assert ("cut", 1) == played.outcome
    assert max(0.5, waited) == played.now


@BACKENDS
def test_a_clean_end_is_none(backend: str | None) -> None:
    """The client sees nothing, the journal does."""
    played = Played(backend, (Frame(0.0, b"a"), Cut(0.0, "end")))

    assert played.error is None
    assert ("cut", 1) == played.outcome


@BACKENDS
@pytest.mark.parametrize(
    ("fault", "error", "waited"),
    [
        ("refused", httpx.ConnectError, 0.0),
        ("connect_timeout", httpx.ConnectTimeout, 5.0),
        ("stall_request", httpx.WriteTimeout, 7.0),
        ("stall_before_headers", httpx.ReadTimeout, 10.0),
    ],
)
def test_a_cut_in_place_of_the_headers(backend: str | None, fault: str, error: type[Exception], waited: float) -> None:
    """Each silence has the timeout of its phase."""
    played = Played(backend, cut=Cut(0.0, fault))

    assert isinstance(played.error, error)
    assert ("cut", 0) == played.outcome
    assert waited == played.now


@BACKENDS
@pytest.mark.parametrize("frames", [(), (Frame(11.0, b"late"),)], ids=["headers", "frame"])
def test_a_wait_beyond_the_read_timeout_is_a_timeout(backend: str | None, frames: tuple[Frame, ...]) -> None:
    """Before the headers or between frames."""
    played = Played(backend, frames, delay=0.0 if frames else 11.0)

    assert isinstance(played.error, httpx.ReadTimeout)
    assert 10.0 == played.now


@BACKENDS
def test_silence_without_a_timeout_fails_the_test(backend: str | None) -> None:
    """It would last for ever."""
    played = Played(backend, cut=Cut(0.0, "stall_before_headers"), timeouts=Timeouts())

    assert isinstance(played.error, HangingRequest)
    assert played.endings[0].error is played.error


@BACKENDS
def test_frames_are_made_as_they_are_played(backend: str | None) -> None:
    """A long stream is never in memory as a whole."""
    made: list[int] = []

    def frames() -> Iterator[Frame]:
        for number in range(1_000):
            made.append(number)
            yield Frame(0.0, b"x")

    Played(backend, frames(), take=3)

    assert len(made) <= 4


def test_async_texts_are_those_of_an_event_loop() -> None:
    """Asyncio words a refused connection in its own way."""
    assert "All connection attempts failed" == str(Played("asyncio", cut=Cut(0.0, "refused")).error)
    assert "[Errno 111] Connection refused" == str(Played(None, cut=Cut(0.0, "refused")).error)
