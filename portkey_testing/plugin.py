"""The pytest plugin: the fixture `portkey_fake`, the marker `portkey_cassette`, and how to configure them.

It is imported in every pytest run of everyone who has the package installed, so it imports nothing but pytest and the
standard library; the rest loads in the fixture.

A failure of the fake is raised where it happens. Threads, task groups, `gather(return_exceptions=True)` and
`except BaseException` keep it from the test, so every failure is also written down, and what the test has not seen by
its end fails it then. A test that fails anyway is told about the others in its report.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from portkey_testing.failures import PortkeyTestFailure
    from portkey_testing.gateway import FakeGateway

_FAKE = pytest.StashKey["FakeGateway"]()
_FOUND = pytest.StashKey[list["PortkeyTestFailure"]]()
"""What the fake has written down and the report of the phase has yet to tell."""
_TOLD = pytest.StashKey[list[BaseException]]()
"""What the test has been stopped by so far, in any phase."""

_SESSION = pytest.StashKey[str]()
"""Name of this run, for recordings."""

_MARKER = "portkey_cassette"
RECORD_MODES = ("none", "once", "new", "all", "rewrite")
"""Those of `portkey_testing.cassettes.recorder`, which would be too much to import."""
_LONGEST_NAME = 100
"""Characters of a cassette's default name, so that it fits the file systems people use."""


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
        help=f"tests with the marker {_MARKER} send requests to the real gateway and record them: once (where there is "
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
    if not re.match(r"https?://[^/\s]+", text):
        raise ArgumentTypeError(f"expected a URL such as http://127.0.0.1:8787/v1, not {text!r}")
    return text


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(name=None): replay a recorded cassette through portkey_fake, or record it with --portkey-record; "
        "the default name is MODULE/TEST.yaml in the cassette folder",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # A marked test is judged even if it never asks for the fixture.
    if any(item.get_closest_marker(_MARKER) is not None for item in items):
        Judge.take_seat(config)


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
    """A fake Portkey gateway that answers every httpx and httpx2 client of the process."""
    item, config = request.node, request.config
    from_ini = {name: config.getini(f"portkey_{name}") for name in ("gateway_urls", "allow_hosts")}
    settings = {**from_ini, **portkey_settings}
    if (seed := config.getoption("--portkey-seed")) is not None:
        settings["seed"] = seed
    fake = _fake_class()(**settings)
    Judge.take_seat(config)
    item.stash[_FAKE], item.stash[_FOUND], item.stash[_TOLD] = fake, [], []
    with ExitStack() as stack:
        marker = item.get_closest_marker(_MARKER)
        if marker is not None:
            stack.enter_context(_cassette_played(request, fake, marker))
        stack.enter_context(fake.mounted())
        yield fake
    if not item.stash[_TOLD]:
        # The test itself was judged at its end; this finds what came after it, from threads and other fixtures.
        fake.verify()


def _fake_class() -> type[FakeGateway]:
    try:
        from portkey_testing.gateway import FakeGateway
    except ModuleNotFoundError as cause:
        if cause.name is None or cause.name.startswith("portkey_"):
            raise
        missing = cause.name
    else:
        return FakeGateway
    # Outside the handler, here and below: pytest would show the traceback of the cause as well.
    pytest.fail(
        f'portkey_fake needs {missing}, which comes with: pip install "portkey-testing[testing]"', pytrace=False
    )


class Judge:
    """The hooks that only tests with a fake need; registered when the first one comes, so that others cost nothing."""

    @classmethod
    def take_seat(cls, config: pytest.Config) -> None:
        if not config.pluginmanager.has_plugin(__name__ + ".judge"):
            config.pluginmanager.register(cls(), __name__ + ".judge")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Judge a test at its end, and unwrap a failure of the fake that a task group has wrapped."""
        result, raised = None, None
        try:
            result = yield
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised = error
        # Outside the handler: raised again within it, a failure would get entangled with what the test has raised.
        if item.stash.get(_FAKE, None) is not None:
            # Kept as well as raised: what unittest reports is what its test raised.
            item.stash[_FOUND] = found = _found(item)
            if raised is None and found:
                raise _as_one(found)
            if isinstance(raised, BaseExceptionGroup) and (wrapped := _ours_alone(raised)):
                raise _as_one(wrapped)
        elif raised is None and item.get_closest_marker(_MARKER) is not None:
            pytest.fail(
                f"the marker {_MARKER} has no effect without the fixture portkey_fake: add it to the parameters of the "
                'test, or @pytest.mark.usefixtures("portkey_fake")',
                pytrace=False,
            )
        if raised is not None:
            raise raised
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Tell the story of the calls beside a failure, and spare its author the frames of the libraries."""
        report = yield
        fake = item.stash.get(_FAKE, None)
        if fake is None or call.excinfo is None:
            return report
        from portkey_testing.failures import PortkeyTestFailure

        item.stash[_TOLD].append(call.excinfo.value)
        if report.failed:
            if isinstance(call.excinfo.value, PortkeyTestFailure) and not item.config.getoption("fulltrace"):
                report.longrepr = _told(item, call.excinfo)
            if call.when != "call":
                item.stash[_FOUND] += _found(item)
            untold = [failure for failure in item.stash[_FOUND] if not _shows(failure, call.excinfo.value)]
            if untold:
                report.sections.append(("portkey_fake, what else went wrong", str(_as_one(untold))))
            report.sections.append((f"portkey_fake, seed {fake.seed}", fake.journal))
        return report


def _found(item: pytest.Item) -> list[PortkeyTestFailure]:
    """What the fake has written down since the last time, without what a subtest has told already."""
    from portkey_testing.failures import PortkeyTestFailure, SeveralFailures

    found: list[PortkeyTestFailure] = []
    try:
        item.stash[_FAKE].verify()
    except SeveralFailures as several:
        found += several.failures
    except PortkeyTestFailure as failure:
        found.append(failure)
    return [failure for failure in found if not any(_shows(failure, told) for told in item.stash[_TOLD])]


def _as_one(failures: list[PortkeyTestFailure]) -> PortkeyTestFailure:
    from portkey_testing.failures import SeveralFailures

    return failures[0] if len(failures) == 1 else SeveralFailures(failures)


def _ours_alone(group: BaseExceptionGroup[BaseException]) -> list[PortkeyTestFailure]:
    """The failures of the fake in a group that has nothing else in it; else none."""
    from portkey_testing.failures import PortkeyTestFailure

    ours, others = group.split(PortkeyTestFailure)
    return [] if ours is None or others is not None else list(_leaves(ours))


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[Any]:
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from _leaves(inner)
        else:
            yield inner


def _shows(failure: PortkeyTestFailure, raised: BaseException) -> bool:
    """Whether a report of `raised` shows a failure too: it is that, or among its causes, or in its group."""
    from portkey_testing.failures import SeveralFailures

    pending: list[BaseException | None] = [raised]
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if one is failure:
            return True
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        pending += [one.__cause__, None if one.__suppress_context__ else one.__context__]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
        elif isinstance(one, SeveralFailures):
            pending += one.failures
    return False


def _told(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
    """What a report says of a failure of the fake: its text, below the frames that are not a library's."""
    from portkey_testing.guard import LIBRARIES

    foreign = LIBRARIES | {"_pytest", "pluggy", "unittest"}
    entries, shortened = [], None
    entry: TracebackType | None = excinfo.tb
    while entry is not None:
        entries.append(entry)
        entry = entry.tb_next
    # Traceback objects of our own, since pytest cuts what it shows from those.
    for entry in reversed(entries):
        if str(entry.tb_frame.f_globals.get("__name__", "")).partition(".")[0] not in foreign:
            shortened = TracebackType(shortened, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    if shortened is None:
        return excinfo.getrepr(style="value")
    return item.repr_failure(pytest.ExceptionInfo.from_exc_info((excinfo.type, excinfo.value, shortened)))


# Cassettes


@contextmanager
def _cassette_played(request: pytest.FixtureRequest, fake: FakeGateway, marker: pytest.Mark) -> Iterator[None]:
    """Replay or record the cassette of a test while it runs."""
    from portkey_testing.cassettes import CassetteError, usage

    config, path = request.config, _cassette(request, marker)
    if (cache := _cache(config)) is not None:
        usage.note(cache, _session(config), path)
    options = {"cache": cache, **request.getfixturevalue("portkey_cassette_settings")}
    mode = config.getoption("--portkey-record")
    if mode == "none":
        playing = fake.replay(path, **options)
    else:
        gateway = config.getoption("--portkey-gateway")
        playing = fake.record(path, gateway, mode, session=_session(config), **options)
    explanation = None
    try:
        with playing:
            yield
    except CassetteError as error:
        explanation = str(error)
    if explanation is not None:
        pytest.fail(explanation, pytrace=False)


def _cache(config: pytest.Config) -> Path | None:
    """Where the run before left what it has parsed; None where such things are not kept."""
    cache = getattr(config, "cache", None)
    return None if cache is None else cache.mkdir("portkey")


def _session(config: pytest.Config) -> str:
    """A name for this run, the same in all workers of pytest-xdist."""
    if (worker := getattr(config, "workerinput", None)) is not None:
        return str(worker["testrunuid"])
    if _SESSION not in config.stash:
        from uuid import uuid4

        config.stash[_SESSION] = uuid4().hex
    return config.stash[_SESSION]


def _cassette_folder(config: pytest.Config) -> Path:
    return config.rootpath / str(config.getini("portkey_cassettes"))


def _cassette(request: pytest.FixtureRequest, marker: pytest.Mark) -> Path:
    """The file a marker names, or the one its test is named after."""
    if len(marker.args) > 1 or marker.kwargs.keys() - {"name"} or (marker.args and marker.kwargs):
        pytest.fail(f"the marker takes one name, as in {_MARKER}('agent/summary.yaml'), not {marker}", pytrace=False)
    name = marker.args[0] if marker.args else marker.kwargs.get("name")
    if not isinstance(name, str | Path | None):
        pytest.fail(f"{_MARKER} takes the name of a file, not {name!r}", pytrace=False)
    folder: Path = request.getfixturevalue("portkey_cassette_dir")
    return folder / (_default_name(request) if name is None else name)


def _default_name(request: pytest.FixtureRequest) -> str:
    """MODULE/TEST.yaml; a name that no file can have gets a hash of the original, so that it stays the only one."""
    name = request.node.name
    test = re.sub(r"[^\w.-]+", "-", name).strip("-")
    if test != name.replace("[", "-", 1).removesuffix("]") or len(test) > _LONGEST_NAME:
        from hashlib import sha256

        test = f"{test[:_LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:8]}"
    owner = "" if request.cls is None else f"{request.cls.__name__}."
    return f"{request.path.stem}/{owner}{test}.yaml"
