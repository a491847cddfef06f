"""Answers requests from a cassette: a `Responder`."""

from __future__ import annotations

import functools
import gc
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from portkey_testing.cassettes import codec, parsed_before, store
from portkey_testing.cassettes.match import (
    MatchRules,
    Meaning,
    brief,
    checked_rules,
    closest,
    difference,
    differing_paths,
)
from portkey_testing.cassettes.model import (
    CLOSED,
    COMPLETE,
    CassetteError,
    EventStream,
    Header,
    Interaction,
    RecordedFailure,
    RecordedRequest,
    RecordedResponse,
)
from portkey_testing.cassettes.redact import Redactor
from portkey_testing.timeline import Cut, Frame, GatewayRequest, Timeline

_CLOSEST: Final = 3
_HOW_TO_RECORD: Final = (
    "To record what is missing: pytest --portkey-record=new (adds to the file); "
    "to record all of it again: pytest --portkey-record=rewrite."
)
_HOW_TO_REPEAT: Final = "If the application may ask as often as it likes: Replay(..., repeat=True)."


class CassetteMissError(Exception):
    """A request that the cassette has no answer to, or no longer; its text is the whole explanation."""


@dataclass(frozen=True, slots=True)
class Play:
    """One interaction that was played.

    Attributes:
        number: Number of the interaction in the cassette, starting at 1.
        interaction: What was recorded.
        request: The live request.
        at: When the request came, in seconds on the mount's clock.
    """

    number: int
    interaction: Interaction
    request: GatewayRequest
    at: float

    @property
    def status(self) -> int | None:
        """The recorded status; None where the connection broke before one came."""
        response = self.interaction.response
        return response.status if isinstance(response, RecordedResponse) else None

    @property
    def provider(self) -> str | None:
        """The provider that answered when it was recorded, as the gateway reported it."""
        response = self.interaction.response
        return response.provider if isinstance(response, RecordedResponse) else None

    @property
    def target(self) -> str | None:
        """The target that answered when it was recorded, such as `config.targets[1]`."""
        response = self.interaction.response
        return response.target if isinstance(response, RecordedResponse) else None


def _raise(explanation: str) -> NoReturn:
    raise CassetteMissError(explanation)


class Replay:
    """A cassette that answers requests. Each interaction is played once, equal requests in recorded order.

    Any number of threads and tasks may ask at the same time.

    Args:
        path: The file.
        rules: What the comparison leaves out.
        redactor: The rules by which the recording was redacted, where they are not the defaults.
        repeat: Whether the last of several equal requests answers any number of further ones.
        on_miss: Called with the explanation when there is no answer; must raise. By default it raises
            `CassetteMissError`.
        cache: Folder in which to keep what a large file was parsed to, for the next run.

    Raises:
        CassetteError: the file is none, or is damaged.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        rules: MatchRules | None = None,
        redactor: Redactor | None = None,
        repeat: bool = False,
        on_miss: Callable[[str], NoReturn] = _raise,
        cache: Path | None = None,
    ) -> None:
        self.path = Path(path)
        self._rules = checked_rules(rules)
        self._redactor = redactor or Redactor()
        self._repeat = repeat
        self._on_miss = on_miss
        self._lock = threading.Lock()
        self._plays: list[Play] = []
        self._interactions: dict[int, Interaction] = {}
        self._data = store.read(self.path)
        parsed = None if cache is None else parsed_before.read(cache, self.path, self._data)
        if parsed is None:
            with _no_garbage():
                parsed = self._parsed()
            if cache is not None:
                parsed_before.write(cache, self.path, self._data, parsed)
        self._values, self._lines = parsed.values, parsed.lines
        self._places: dict[bytes, list[int]] = {}
        for place, key in enumerate(parsed.keys if self._rules == MatchRules() else self._keys()):
            self._places.setdefault(key, []).append(place)
        self._next: dict[bytes, int] = dict.fromkeys(self._places, 0)

    def _parsed(self) -> parsed_before.Parsed:
        """The whole file, each interaction checked."""
        header, *documents = self._documents
        codec.decode_header(header)
        rules = MatchRules()
        parsed = parsed_before.Parsed([], [], [])
        for place, document in enumerate(documents):
            value = document.value()
            self._interactions[place] = interaction = codec.decode_interaction(document, value)
            parsed.values.append(value)
            parsed.lines.append(document.line)
            parsed.keys.append(rules.key(interaction.request))
        return parsed

    @functools.cached_property
    def _documents(self) -> list[codec.Document]:
        return codec.split(self._data, self.path)

    @property
    def header(self) -> Header:
        """The header of the file."""
        return codec.decode_header(self._documents[0])

    def _interaction(self, place: int) -> Interaction:
        if place not in self._interactions:
            self._interactions[place] = codec.decode_interaction(self._documents[place + 1], self._values[place])
        return self._interactions[place]

    def _keys(self) -> Iterator[bytes]:
        """What the recorded requests mean under rules of the project's own."""
        for place in range(len(self._values)):
            try:
                yield self._rules.key(self._interaction(place).request)
            except ValueError as error:
                raise self._documents[place + 1].error(str(error), "request") from None

    @property
    def interactions(self) -> Sequence[Interaction]:
        """Everything recorded, in recorded order."""
        return tuple(map(self._interaction, range(len(self._values))))

    @property
    def plays(self) -> Sequence[Play]:
        """What was played so far, in that order."""
        return tuple(self._plays)

    @property
    def unplayed(self) -> Sequence[tuple[int, Interaction]]:
        """The interactions that no request has asked for, with their numbers, which start at 1."""
        played = {play.number for play in self._plays}
        return [
            (number, interaction) for number, interaction in enumerate(self.interactions, 1) if number not in played
        ]

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        """The recorded answer to `request`, with its recorded timing.

        Raises:
            CassetteMissError: there is none, or it is damaged (or what `on_miss` raises).
        """
        try:
            timeline = self.find(request, now)
        except CassetteError as error:
            # A client would swallow it, as it does every other exception around its transport.
            self._on_miss(str(error))
        if timeline is None:
            self._on_miss(self._explanation(request))
        return timeline

    def find(self, request: GatewayRequest, now: float) -> Timeline | None:
        """The recorded answer to `request`, or None if there is none left.

        Raises:
            CassetteError: the recorded stream is damaged.
        """
        place = self._claim(request)
        if place is None:
            return None
        interaction = self._interaction(place)
        reads = self._reads(place, interaction.response)
        with self._lock:
            self._plays.append(Play(place + 1, interaction, request, now))
        return _timeline(interaction.response, reads, lambda: self._on_miss(self._past_the_end(place)))

    def _claim(self, request: GatewayRequest) -> int | None:
        """Take the next recorded request that means the same."""
        for recorded in self._redactor.readings(request):
            key = self._rules.key(recorded)
            places = self._places.get(key)
            if places is not None:
                with self._lock:
                    turn = self._next[key]
                    if turn < len(places):
                        self._next[key] = turn + 1
                        return places[turn]
                return places[-1] if self._repeat else None
        return None

    def _reads(self, place: int, response: RecordedResponse | RecordedFailure) -> list[tuple[int, bytes]]:
        if isinstance(response, RecordedFailure) or response.body is None:
            return []
        if isinstance(response.body, EventStream):
            return codec.reads_of(self._documents[place + 1], response.body)
        when = response.after_ms if response.body_ms is None else response.body_ms
        return [(when, response.body.content())]

    def _past_the_end(self, place: int) -> str:
        return (
            f"The recording of interaction {place + 1} ends here, because the client that made it hung up; "
            f"this one reads on, and nobody knows what would come.\n"
            f"cassette: {self.path}, line {self._lines[place]}\n\n{_HOW_TO_RECORD}"
        )

    def _explanation(self, request: GatewayRequest) -> str:
        readings = list(self._redactor.readings(request))
        live = readings[-1]  # this text gets into logs, and that one is free of secrets
        meaning = self._rules.meaning(live)
        places = [place for key in {*map(self._rules.key, readings)} for place in self._places.get(key, ())]
        played = len({play.number for play in self._plays})
        head = [
            "No recorded interaction answers this request.",
            f"reason:   {self._reason(places)}",
            f"request:  {brief(live)}",
            f"cassette: {self.path} ({len(self._values)} interactions, {played} played)",
        ]
        if self._rules.ignore or self._rules.normalise:
            head.append(f"rules:    {self._rules}")
        if places:
            return "\n".join([*head, "", _HOW_TO_REPEAT, _HOW_TO_RECORD])
        recorded = [self._rules.meaning(interaction.request) for interaction in self.interactions]
        return "\n".join([*head, *self._candidates(live, meaning, recorded), "", _HOW_TO_RECORD])

    def _reason(self, places: list[int]) -> str:
        if not self._values:
            return "the cassette holds no interaction at all"
        if places:
            lines = ", ".join(str(self._lines[place]) for place in places)
            return f"it was recorded {_times(len(places))} (line {lines}), and has been played as often"
        return "no recorded request means the same"

    def _candidates(self, live: RecordedRequest, meaning: Meaning, recorded: list[Meaning]) -> list[str]:
        lines = []
        played = {play.number for play in self._plays}
        best = closest(meaning, recorded, _CLOSEST)
        for rank, place in enumerate(best):
            state = "played" if place + 1 in played else "not played"
            title = "The closest" if rank == 0 else "Then"
            lines += [
                "",
                f"{title}: interaction {place + 1}, line {self._lines[place]}, {state}",
                *(f"  {line}" for line in difference(recorded[place], meaning, 40 if rank == 0 else 12)),
            ]
        paths = differing_paths(recorded[best[0]], meaning) if best else []
        if len(paths) <= 3 and (ignorable := tuple(path for path in paths if _leaves_something(path, live))):
            lines += ["", f"If that differs from run to run: MatchRules(ignore={ignorable!r})"]
        return lines


@contextmanager
def _no_garbage() -> Generator[None]:
    """Hold the garbage collector: a cassette being built leaves no cycles, and looking for them takes a while."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _leaves_something(path: str, request: RecordedRequest) -> bool:
    """Whether there is anything left to compare where that path is ignored."""
    try:
        MatchRules(ignore=(path,)).meaning(request)
    except ValueError:
        return False
    return True


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _timeline(
    response: RecordedResponse | RecordedFailure, reads: list[tuple[int, bytes]], past_the_end: Callable[[], NoReturn]
) -> Timeline:
    if isinstance(response, RecordedFailure):
        return Timeline(status=0, cut=Cut(response.after_ms / 1000, response.fault))
    return Timeline(
        status=response.status,
        headers=tuple(response.headers.items()),
        delay=response.after_ms / 1000,
        frames=_frames(response, reads, past_the_end),
    )


def _frames(
    response: RecordedResponse, reads: list[tuple[int, bytes]], past_the_end: Callable[[], NoReturn]
) -> Iterator[Frame | Cut]:
    before = response.after_ms
    for when, data in reads:
        yield Frame(max(0, when - before) / 1000, data)
        before = max(before, when)
    if response.ended == CLOSED:
        past_the_end()
    if response.ended != COMPLETE:
        end = before if response.ended_ms is None else response.ended_ms
        yield Cut(max(0, end - before) / 1000, response.ended)
