"""The pytest plugin: the fixture `portkey_fake`, the marker `portkey_cassette`, and how to configure them.

It is imported in every pytest run of everyone who has the package installed, so it is short, and imports nothing that
pytest has not imported already; the rest loads with the fixture.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from portkey_testing.gateway import FakeGateway

MARKER: Final = "portkey_cassette"
RECORD_MODES: Final = ("none", "once", "new", "all", "rewrite")
"""Those of `portkey_testing.cassettes.recorder`, which would be too much to import."""
TOLD: Final = "portkey_cassette"
"""What a report carries that tells of a cassette."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("portkey", "fake Portkey gateway")
    group.addoption(
        "--portkey-seed",
        type=int,
        metavar="N",
        help="seed of everything the fake gateway leaves to chance; a failing test prints the one it had (default: 0)",
    )
    group.addoption(
        "--portkey-record",
        choices=RECORD_MODES,
        default="none",
        help=f"tests with the marker {MARKER} send requests to the real gateway and record them: once (where there is "
        "no cassette), new (what the cassette lacks), all (everything, in place of what was recorded), rewrite (all of "
        "it, dropping what is no longer asked for); none only replays (default: none)",
    )
    group.addoption(
        "--portkey-gateway",
        metavar="URL",
        type=_gateway_url,
        help="base URL of the gateway to record, in place of the clients' own; the credentials stay theirs",
    )
    parser.addini(
        "portkey_cassettes",
        "folder of the recorded cassettes, relative to the root folder (default: cassettes)",
        default="cassettes",
    )
    parser.addini(
        "portkey_max_age",
        "days after which a cassette is too old: `90` warns, `90 error` fails its tests (default: none is)",
        default="",
    )
    parser.addini(
        "portkey_gateway_urls",
        "base URLs of gateways of your own, whose requests portkey_fake answers even without Portkey's headers",
        type="linelist",
    )
    parser.addini(
        "portkey_allow_hosts",
        "patterns of hosts off this machine that may be reached beside portkey_fake; * switches the guard off",
        type="linelist",
    )


def _gateway_url(text: str) -> str:
    """The value of --portkey-gateway."""
    if not text.startswith(("http://", "https://")) or not text.partition("://")[2].strip("/"):
        raise ArgumentTypeError(f"expected a URL such as http://127.0.0.1:8787/v1, not {text!r}")
    return text


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(name=None, max_age=None): replay a recorded cassette through portkey_fake, or record it with "
        "--portkey-record; the default name is MODULE/TEST.yaml in the cassette folder, max_age as in the ini file",
    )
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Arrivals(config))


class _Arrivals:
    """Receives what the tests with cassettes tell, wherever they ran."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._home: Any = None
        self._token: Any = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (told := getattr(report, TOLD, None)) is not None:
            if self._home is None:
                self._home = _loaded("_home").Home(self._config)
            self._home.hear(told)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Let a worker of pytest-xdist find out whether its files are these."""
        if self._token is None:
            from tempfile import NamedTemporaryFile

            self._token = NamedTemporaryFile(prefix="portkey-testing-home-")  # noqa: SIM115  # it is closed in the end
        node.workerinput["portkey_home"] = [str(self._config.rootpath), self._token.name]

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._token is not None:
            self._token.close()
        if self._home is None:
            return
        broken_off = session.shouldstop or session.shouldfail
        self._home.finish(all_ran=exitstatus in (0, 1) and not broken_off)
        if self._home.failures:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for failure in () if self._home is None else self._home.failures:
            terminalreporter.section("portkey: a recording was lost", red=True)
            terminalreporter.line(str(failure))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # A marked test is judged even if it never asks for the fixture.
    if _pytest_is_new_enough() and any(item.get_closest_marker(MARKER) is not None for item in items):
        _loaded("_judge").Judge.take_seat(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """What sets this run apart; nothing where all is as always."""
    facts = []
    if (seed := config.getoption("--portkey-seed")) is not None:
        facts.append(f"seed {seed}")
    if (mode := config.getoption("--portkey-record")) != "none":
        facts.append(f"recording {mode} from {config.getoption('--portkey-gateway') or 'the gateway of each client'}")
    if (folder := _cassette_folder(config)).is_dir():
        facts.append(f"cassettes in {folder}")
    if allowed := config.getini("portkey_allow_hosts"):
        facts.append(f"allowed hosts {' '.join(allowed)}")
    return f"portkey: {', '.join(facts)}" if facts else None


@pytest.fixture(scope="session")
def portkey_settings() -> Mapping[str, Any]:
    """Keyword arguments of the `FakeGateway` behind `portkey_fake`; override it, in any scope, to change them.

    `--portkey-seed` on the command line goes before a `seed` given here.
    """
    return {}


@pytest.fixture(scope="session")
def portkey_cassette_dir(pytestconfig: pytest.Config) -> Path:
    """The folder of the cassettes; override it, in any scope, to move them."""
    return _cassette_folder(pytestconfig)


@pytest.fixture(scope="session")
def portkey_cassette_settings() -> Mapping[str, Any]:
    """How cassettes are compared and redacted: `rules` (`MatchRules`) and `redactor` (`Redactor`); override it."""
    return {}


@pytest.fixture
def portkey_fake(request: pytest.FixtureRequest, portkey_settings: Mapping[str, Any]) -> Iterator[FakeGateway]:
    """A fake Portkey gateway that answers every httpx, httpx2 and aiohttp client of the process.

    Each test has its own. One of a wider scope is a fixture of yours: `with FakeGateway().mount() as fake: yield fake`.
    """
    if not _pytest_is_new_enough():
        advice = f"portkey_fake needs pytest 8.2 or newer, not {pytest.__version__}: pip install --upgrade pytest"
        pytest.fail(advice, pytrace=False)
    gateway, judge, _ = _loaded("gateway"), _loaded("_judge").Judge, _loaded("mounts.respx")
    item, config = request.node, request.config
    from_ini = {name: config.getini(f"portkey_{name}") for name in ("gateway_urls", "allow_hosts")}
    settings = {**from_ini, **portkey_settings}
    if (seed := config.getoption("--portkey-seed")) is not None:
        settings["seed"] = seed
    fake: FakeGateway = gateway.FakeGateway(**settings)
    judge.watch(item, fake)
    with ExitStack() as stack:
        if (marker := item.get_closest_marker(MARKER)) is not None:
            stack.enter_context(_loaded("_marked").cassette_played(request, fake, marker))
        stack.enter_context(fake.mounted())
        yield fake
    if not judge.is_told(item):
        # The test itself was judged at its end; this finds what came after it, from threads and other fixtures.
        fake.verify()
    fake.retire(
        f"this portkey_fake was the one of {item.nodeid}, which is over: nothing that is scripted on it is ever asked "
        "for. Each test has its own; one that several tests share is a fixture of yours: "
        "`with FakeGateway().mount() as fake: yield fake`"
    )


def _loaded(module: str) -> Any:
    """A module of ours, or a failure that says what to install for it."""
    try:
        return import_module(f"portkey_testing.{module}")
    except ModuleNotFoundError as cause:
        if cause.name is None or cause.name.startswith("portkey_"):
            raise
        missing = cause.name
    # Outside the handler: pytest would show the traceback of the cause as well.
    pytest.fail(
        f'portkey_fake needs {missing}, which comes with: pip install "portkey-testing[testing]"', pytrace=False
    )


def _pytest_is_new_enough() -> bool:
    return hasattr(pytest, "version_tuple") and pytest.version_tuple >= (8, 2)


def _cassette_folder(config: pytest.Config) -> Path:
    return config.rootpath / str(config.getini("portkey_cassettes"))
