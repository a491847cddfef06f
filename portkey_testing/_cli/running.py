"""Serving and recording until somebody says stop."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from portkey_testing._cli.control import FakeDesk, RecordingDesk, with_control
from portkey_testing._recorded import RecordingGateway, miss
from portkey_testing.cassettes import Recorder
from portkey_testing.cassettes.recorder import gateway_name
from portkey_testing.failures import PortkeyTestFailure
from portkey_testing.gateway import FakeGateway
from portkey_testing.journal import Journal
from portkey_testing.mounts.asgi import App, Connections, GatewayApp
from portkey_testing.mounts.proxy import RecordingProxy
from portkey_testing.mounts.server import ScaledClock, Server, running


@contextmanager
def fake_running(
    *, scenario: Path | None, cassette: Path | None, host: str, port: int, time_scale: float
) -> Generator[Server]:
    """The fake on a real port, with its back door.

    Raises:
        ScenarioError: the scenario is none.
        CassetteError: the cassette is none.
        OSError: the port cannot be had.
    """

    def prepare(fake: FakeGateway, stack: ExitStack) -> None:
        if scenario is not None:
            fake.load(scenario)
        if cassette is not None:
            stack.enter_context(fake.replay(cassette))

    desk, clock = FakeDesk(prepare), ScaledClock(time_scale)

    def app(connections: Connections) -> App:
        return with_control(GatewayApp(desk, clock, connections), desk)

    with running(app, host=host, port=port) as server:
        yield server


@contextmanager
def proxy_running(*, gateway: str, cassette: Path, mode: str, host: str, port: int) -> Generator[Server]:
    """A recording proxy on a real port; the recording is closed when the block is left.

    Raises:
        CassetteError: the cassette is damaged, or something could not be written.
        OSError: the port cannot be had.
    """
    failures: list[PortkeyTestFailure] = []
    journal = Journal()
    with Recorder(cassette, mode, gateway=gateway_name(gateway), replay_options={"on_miss": miss}) as recorder:
        recording = RecordingGateway(
            recorder,
            gateway=gateway,
            claims=lambda _url, _headers: True,
            clock=ScaledClock(1.0),
            journal=journal,
            fail=failures.append,
        )

        def app(connections: Connections) -> App:
            return with_control(RecordingProxy(recording, gateway, connections), RecordingDesk(journal))

        with running(app, host=host, port=port) as server:
            yield server


def environment(server: Server) -> Mapping[str, str]:
    """This process's environment, with the base URLs of the usual SDKs replaced; the credentials stay."""
    return {**os.environ, **{name: value for name, value in server.env.items() if value == server.url}}


def run_command(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program to its end, and return its exit status as a shell does.

    Raises:
        OSError: it cannot be started.
    """
    with subprocess.Popen(command, env=dict(environment)) as process, _passing_on(process):  # noqa: S603  # it is asked for
        status = process.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Generator[None]:
    """Let the program decide what SIGTERM and Ctrl-C mean; Ctrl-C reaches it without our help."""
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate()),
        signal.SIGINT: signal.signal(signal.SIGINT, lambda _number, _frame: None),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stoppable() -> Generator[Callable[[], None]]:
    """Take SIGTERM and Ctrl-C within the block; the function it gives waits for one of them."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda _number, _frame: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }

    def wait_for_stop() -> None:
        while not stop.wait(0.2):  # a wait without end would hold back the signals on some systems
            pass

    try:
        yield wait_for_stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
