"""Records live exchanges into a cassette while they happen.

A transport stands between the client and the network, hands every byte on as it comes and keeps a copy. When an
exchange is over it is redacted, searched for secrets once more, and added to the file.

    mode      a request that was recorded   one that was not      the file
    none      is replayed                   fails                 is never written
    once      is replayed                   fails                 as `none` if there is one, else everything is recorded
    new       is replayed                   goes live, is added   keeps what it has
    all       goes live, replaces it        goes live, is added   keeps what was not asked for
    rewrite   goes live                     goes live             starts anew with the first recording
"""

from __future__ import annotations

import datetime as dt
import functools
import os
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, get_args
from urllib.parse import urlsplit

import httpx

from portkey_testing.cassettes import codec, store
from portkey_testing.cassettes._yaml import Unwritable
from portkey_testing.cassettes.exchange import ENCODINGS, Exchange, Tee
from portkey_testing.cassettes.match import MatchRules, checked_rules
from portkey_testing.cassettes.model import CLOSED, COMPLETE, CassetteError, Header, Interaction, Mode
from portkey_testing.cassettes.redact import Redactor
from portkey_testing.cassettes.replay import Replay
from portkey_testing.cassettes.scan import scan
from portkey_testing.faults import unknown
from portkey_testing.timeline import GatewayRequest

MODES: Final[tuple[Mode, ...]] = get_args(Mode)


class Sink(Protocol):
    """Takes what a recording transport sees."""

    def begin(self, request: GatewayRequest, at: float) -> Tee:
        """A request is about to be sent, at `at` seconds: what watches its exchange."""
        ...


def gateway_name(url: str) -> str:
    """What the header of a cassette calls the gateway at a URL whose version nobody knows: its host."""
    return urlsplit(url).hostname or ""


def checked_mode(mode: str) -> Mode:
    """`mode`, if it is one.

    Raises:
        ValueError: it is none.
    """
    for known in MODES:
        if mode == known:
            return known
    raise unknown("record mode", mode, MODES)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One interaction that was recorded away from the project's files.

    Attributes:
        header: Text of the header document that a new file for it would have.
        interaction: Its text.
    """

    header: str
    interaction: str


class Recorder:
    """Writes exchanges to one cassette. A `Sink` and a context manager; any number of threads and tasks may use it.

    Nothing is raised into the application that is being recorded: what cannot be written is kept in `unsaved`, and
    reported by `close`.

    Args:
        path: The file; need not exist.
        mode: What to do with a request, see the table above.
        redactor: What must not be written.
        rules: What the comparison leaves out, for `new` and `all`.
        gateway: What answers, such as `open-source 1.15.2`, for the header of the file; by default the host that the
            first request goes to.
        today: The date of the recording, as `2026-11-23`; by default the real one.
        session: Name of the test run, the same in all of its processes, so that those that rewrite one file together
            do not drop each other's recordings. Made up by default.
        away: Leave the file alone and keep what is recorded in `luggage`, for a process whose files are not the
            project's.
        clock: Seconds since any origin, the same as that of the transports.
        replay_options: Further options of the `Replay`, such as `on_miss`, `repeat` and `cache`.

    Raises:
        ValueError: the mode is none.
        CassetteError: there is no file in mode `none`, or the file is damaged.
    """

    def __init__(
        self,
        path: str | Path,
        mode: str = "once",
        *,
        redactor: Redactor | None = None,
        rules: MatchRules | None = None,
        gateway: str = "",
        today: str | None = None,
        session: str | None = None,
        away: bool = False,
        clock: Callable[[], float] = time.monotonic,
        replay_options: dict[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.mode = checked_mode(mode)
        self._redactor = redactor or Redactor()
        self._rules = checked_rules(rules)
        self._gateway = gateway
        self._today = today
        self._session = session or uuid.uuid4().hex
        self._away = away
        self.luggage: list[Parcel] = []
        self._clock = clock
        exists = os.path.lexists(self.path)
        self.replay: Replay | None = None
        if self.mode == "none" or (exists and self.mode in ("once", "new")):
            options: dict[str, Any] = {"rules": self._rules, "redactor": self._redactor, **(replay_options or {})}
            self.replay = Replay(self.path, **options)
        self._lock = threading.Lock()
        self._open: set[Tee] = set()
        self._counts: Counter[bytes] = Counter()
        self._keys: dict[str, bytes] = {}
        self._unsaved: list[Interaction] = []
        self._failures: list[Exception] = []
        self._appended = False
        self._process = os.getpid()

    @property
    def is_recording(self) -> bool:
        """Whether a request that is not replayed may go live."""
        return self.mode in ("new", "all", "rewrite") or self.replay is None

    @property
    def unsaved(self) -> Sequence[Interaction]:
        """What was recorded and could not be written, without secrets."""
        return tuple(self._unsaved)

    def begin(self, request: GatewayRequest, at: float) -> Tee:
        tee = Tee(request, at, self._finished)
        with self._lock:
            self._open.add(tee)
        return tee

    def _finished(self, tee: Tee, exchange: Exchange | None) -> None:
        with self._lock:
            self._open.discard(tee)
        if exchange is not None:
            self.save(exchange)

    def save(self, exchange: Exchange) -> None:
        """Redact one exchange and add it to the file."""
        self._gateway = self._gateway or gateway_name(exchange.request.url)
        try:
            interaction, text = self._prepared(exchange)
        except Exception as error:  # noqa: BLE001  # the application must not see it; `close` reports it
            with self._lock:
                self._failures.append(error)
            return
        with self._lock:
            try:
                self._add(interaction, text)
            except CassetteError as error:
                self._unsaved.append(interaction)
                self._failures.append(error)

    def _prepared(self, exchange: Exchange) -> tuple[Interaction, str]:
        """The interaction, and its text as it will stand in the file, proved to hold it and no secret."""
        interaction, secrets = self._redactor.interaction(exchange)
        try:
            text = codec.encode_interaction(interaction)
        except Unwritable as error:
            raise CassetteError(f"an interaction cannot be written: {error}", path=self.path) from None
        document = codec.Document(text, 2, 1, self.path)
        if codec.decode_interaction(document) != interaction:
            raise CassetteError(
                "an interaction does not read back as it was written; please report this", path=self.path
            )
        if finding := scan(interaction, secrets, self._redactor.shapes):
            raise CassetteError(
                f"not written, because a secret would be in it: {finding}. Add a rule: Redactor(rules={{...}}) or "
                "Redactor(fields=[...])",
                path=self.path,
            )
        return interaction, text

    def _add(self, interaction: Interaction, text: str, new_header: str = "") -> None:
        new_header = new_header or codec.encode_header(self._header())
        if self._away:
            self.luggage.append(Parcel(new_header, text))
            return

        # `all` replaces what is there, so it has to look for it.
        if self.mode != "all" and store.append(self.path, codec.appendix(text).encode(), self._session):
            self._appended = True
            return

        def change(old: bytes | None, *, known: bool) -> bytes:
            if old is None or (self.mode == "rewrite" and not known):
                return codec.join(new_header, [text]).encode()
            header, *documents = (document.text for document in codec.split(old, self.path))
            codec.decode_header(codec.Document(header, 1, 1, self.path))
            place = self._place(documents, interaction) if self.mode == "all" else len(documents)
            documents[place : place + 1] = [text]
            return codec.join(header, documents).encode()

        store.update(self.path, change, self._session)

    def unpack(self, parcel: Parcel) -> None:
        """Add to the file what was recorded for it away from here, in the same run and mode.

        Raises:
            CassetteError: the file cannot be changed.
        """
        document = codec.Document(parcel.interaction, 2, 1, self.path)
        with self._lock:
            self._add(codec.decode_interaction(document), parcel.interaction, parcel.header)

    def _tidy(self) -> None:
        """Write the file as a whole once more, after what was added behind its end."""
        if not self._appended:
            return

        def change(old: bytes | None, **_: bool) -> bytes:
            if old is None:
                raise CassetteError("the file was taken away while it was recorded", path=self.path)
            header, *documents = (document.text for document in codec.split(old, self.path))
            return codec.join(header, documents).encode()

        try:
            store.update(self.path, change, self._session)
        except CassetteError as error:
            self._failures.append(error)
        self._appended = False

    def _place(self, documents: list[str], interaction: Interaction) -> int:
        """Where the interaction goes that the new one replaces: the n-th of a meaning replaces the n-th."""
        key = self._rules.key(interaction.request)
        turn = self._counts[key]
        self._counts[key] += 1
        places = [place for place, document in enumerate(documents) if self._key(document) == key]
        return places[turn] if turn < len(places) else len(documents)

    def _key(self, text: str) -> bytes:
        if text not in self._keys:
            self._keys[text] = self._rules.key(codec.decode_interaction(codec.Document(text, 2, 1, self.path)).request)
        return self._keys[text]

    def _header(self) -> Header:
        return Header(recorded=self._today or dt.datetime.now(dt.UTC).date().isoformat(), gateway=self._gateway)

    def finish(self) -> None:
        """Keep what is still under way as hung up by the client."""
        if os.getpid() != self._process:
            return  # a fork of the process that records has its copy of everything
        with self._lock:
            still_open = list(self._open)
        for tee in still_open:
            tee.end(CLOSED, self._clock())

    def close(self) -> None:
        """Keep what is still under way as hung up by the client, and say what could not be written.

        Raises:
            CassetteError: something could not be written; it is in `unsaved`.
        """
        self.finish()
        if os.getpid() != self._process:
            return
        with self._lock:
            self._tidy()
        failures, self._failures = self._failures, []
        if failures:
            first = failures[0]
            problem = first.problem if isinstance(first, CassetteError) else f"{type(first).__name__}: {first}"
            others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            raise CassetteError(f"{problem}{others}", path=self.path) from first

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class RecordingTransport(httpx.BaseTransport):
    """A transport that tells `sink` what goes through `inner`. Works for httpx and httpx2.

    Args:
        inner: What sends the request.
        sink: What keeps the copy, such as a `Recorder`.
        clock: Seconds since any origin.
    """

    def __init__(self, inner: httpx.BaseTransport, sink: Sink, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._sink = sink
        self._clock = clock

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        tee = _begin(request, self._sink, self._clock)
        try:
            response = self._inner.handle_request(request)
        except BaseException as error:
            tee.end(fault_of(error, before_headers=True), self._clock())
            raise
        tee.head(response.status_code, response.headers.multi_items(), self._clock())
        return _watched(response, tee, self._clock)

    def close(self) -> None:
        self._inner.close()


class AsyncRecordingTransport(httpx.AsyncBaseTransport):
    """The asynchronous `RecordingTransport`."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, sink: Sink, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._sink = sink
        self._clock = clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        tee = _begin(request, self._sink, self._clock)
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            tee.end(fault_of(error, before_headers=True), self._clock())
            raise
        tee.head(response.status_code, response.headers.multi_items(), self._clock())
        return _watched(response, tee, self._clock)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _begin(request: httpx.Request, sink: Sink, clock: Callable[[], float]) -> Tee:
    accepted = [part.strip() for part in request.headers.get("accept-encoding", "").split(",")]
    if any(coding.partition(";")[0] not in (*ENCODINGS, "identity", "") for coding in accepted):
        # What this module cannot unpack it could not search for secrets.
        request.headers["accept-encoding"] = "gzip, deflate"
    headers = {name.lower(): value for name, value in request.headers.items()}
    return sink.begin(GatewayRequest(request.method, str(request.url), headers, request.content), clock())


def _watched(response: httpx.Response, tee: Tee, clock: Callable[[], float]) -> httpx.Response:
    # A new one, of the class of its library: one that holds its content already would never ask the stream for it.
    return type(response)(
        response.status_code,
        headers=response.headers,
        stream=_stream_class(type(response).__mro__)(response.stream, tee, clock),
        extensions=response.extensions,
    )


@functools.cache
def _stream_class(response: tuple[type, ...]) -> Any:
    """`_TeeStream` as a stream of the library that the classes of a response are from: each insists on its own."""
    libraries = (sys.modules[kind.__module__.partition(".")[0]] for kind in response)
    library: Any = next(module for module in libraries if hasattr(module, "SyncByteStream"))
    return type("TeeStream", (_TeeStream, library.SyncByteStream, library.AsyncByteStream), {})


class _TeeStream:
    """Hands a body on as it comes, and tells a tee."""

    def __init__(self, inner: Any, tee: Tee, clock: Callable[[], float]) -> None:
        self._inner = inner
        self._tee = tee
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        try:
            for data in self._inner:
                self._tee.read(data, self._clock())
                yield data
        except BaseException as error:
            self._tee.end(fault_of(error, before_headers=False), self._clock())
            raise
        self._tee.end(COMPLETE, self._clock())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._inner:
                self._tee.read(data, self._clock())
                yield data
        except BaseException as error:
            self._tee.end(fault_of(error, before_headers=False), self._clock())
            raise
        self._tee.end(COMPLETE, self._clock())

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._tee.end(CLOSED, self._clock())

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._tee.end(CLOSED, self._clock())


def fault_of(error: BaseException, *, before_headers: bool) -> str | None:
    """The wire fault behind an exception, `closed` if the client hung up, None if nothing went over the wire."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).lower()
    if "ConnectTimeout" in names:
        return "connect_timeout"
    if "ConnectError" in names:
        if any(word in text for word in ("name or service", "nodename", "getaddrinfo", "name resolution")):
            return "dns"
        return "tls" if any(word in text for word in ("ssl", "certificate", "tls")) else "refused"
    if "ReadTimeout" in names or "WriteTimeout" in names:
        return "stall_before_headers" if before_headers else "stall"
    if "RemoteProtocolError" in names:
        return "closed_before_headers" if before_headers else "dropped"
    if "NetworkError" in names:
        return "reset_before_headers" if before_headers else "reset"
    if not before_headers:
        return CLOSED
    # A cancelled client waited in vain; any other exception is of its own making, such as a URL that is none.
    return None if isinstance(error, Exception) else "stall_before_headers"
