"""The cassette of a marked test: which file, and played or recorded while the test runs.

What a test played, and what a worker of pytest-xdist recorded that has files of its own (`--tx popen//chdir=...`, or on
another machine), travels in the report of the test to the process that started the run; `_home` sees to it there.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

import pytest

from portkey_testing.cassettes import CassetteError, Recorder, Replay, located
from portkey_testing.cassettes.check import expired
from portkey_testing.gateway import FakeGateway
from portkey_testing.plugin import MARKER, TOLD

_SESSION: Final = pytest.StashKey[str]()
"""Name of this run, for recordings."""
_TELLS: Final = pytest.StashKey[dict[str, Any]]()
"""What the report of a test is to tell, of types that travel between processes."""
_LONGEST_NAME: Final = 100
"""Characters of a cassette's default name, so that it fits the file systems people use."""


class MaxAge(NamedTuple):
    """How old a recording may be.

    Attributes:
        days: Days from its date on.
        is_error: Whether an older one fails its test, or only warns.
    """

    days: int
    is_error: bool


class Reporter:
    """Puts into the report of a test what its cassette has to tell; registered when the first one comes."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "teardown" and (tells := item.stash.get(_TELLS, None)) is not None:
            setattr(report, TOLD, tells)
        return report


@contextmanager
def cassette_played(request: pytest.FixtureRequest, fake: FakeGateway, marker: pytest.Mark) -> Generator[None]:
    """Replay or record the cassette of a test while it runs."""
    config, item = request.config, request.node
    path, max_age = _cassette(request, marker)
    if not config.pluginmanager.has_plugin(__name__):
        config.pluginmanager.register(Reporter(), __name__)
    tells: dict[str, Any] = {"file": _from_root(config, path), "played": None}
    item.stash[_TELLS] = tells
    options: dict[str, Any] = {"cache": _cache(config), **request.getfixturevalue("portkey_cassette_settings")}
    mode = str(config.getoption("--portkey-record"))
    gateway = config.getoption("--portkey-gateway")
    explanation = None
    try:
        if mode == "none":
            with fake.replay(path, **options) as replay:
                _judge_age(item, replay, max_age)
                yield
            tells["played"] = sorted(play.number for play in replay.plays)
        else:
            with fake.record(
                path, gateway, mode, session=_session(config), away=_is_away(config), **options
            ) as recorder:
                if not recorder.is_recording and recorder.replay is not None:
                    _judge_age(item, recorder.replay, max_age)
                try:
                    yield
                finally:
                    recorder.finish()
                    tells |= _recorded(recorder, _session(config))
    except CassetteError as error:
        explanation = str(error)
    if explanation is not None:
        pytest.fail(explanation, pytrace=False)


def _recorded(recorder: Recorder, session: str) -> dict[str, Any]:
    parcels = [list(astuple(parcel)) for parcel in recorder.luggage]
    return {"parcels": parcels, "mode": recorder.mode, "session": session}


def _judge_age(item: pytest.Item, replay: Replay, max_age: MaxAge | None) -> None:
    """Warn of a recording that is too old, or fail its test; nothing goes live because of that."""
    if max_age is None:
        return
    problem = expired(replay.header, dt.datetime.now(dt.UTC).date(), max_age.days)
    if problem is None:
        return
    if max_age.is_error:
        raise CassetteError(problem, path=replay.path, line=1)
    item.warn(pytest.PytestWarning(f"{replay.path}: {problem}"))


def _max_age(value: object) -> MaxAge | None:
    """What `max_age` in the marker or in the ini file says: days, and `error` behind them.

    Raises:
        ValueError: it is neither.
    """
    if value is None or value == "":
        return None
    match = re.fullmatch(r"([0-9]{1,6})(?:\s+(warning|error))?", str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError(f"expected days such as 90, or '90 error', as the greatest age of a cassette, not {value!r}")
    return MaxAge(int(match[1]), match[2] == "error")


def _cache(config: pytest.Config) -> Path | None:
    """Where the run before left what it has parsed; None where such things are not kept."""
    cache = getattr(config, "cache", None)
    return None if cache is None else cache.mkdir("portkey")


def _session(config: pytest.Config) -> str:
    """A name for this run, the same in all workers of pytest-xdist."""
    if (worker := getattr(config, "workerinput", None)) is not None:
        return str(worker["testrunuid"])
    if _SESSION not in config.stash:
        config.stash[_SESSION] = uuid4().hex
    return config.stash[_SESSION]


def _is_away(config: pytest.Config) -> bool:
    """Whether this is a worker whose files are not those of the process that started the run."""
    home = getattr(config, "workerinput", {}).get("portkey_home")
    if home is None:
        return False
    root, token = home
    return not Path(token).exists() or Path(root).resolve() != config.rootpath.resolve()


def _from_root(config: pytest.Config, path: Path) -> str:
    """A path as it is the same in all processes of the run."""
    return path.relative_to(config.rootpath).as_posix() if path.is_relative_to(config.rootpath) else str(path)


def _cassette(request: pytest.FixtureRequest, marker: pytest.Mark) -> tuple[Path, MaxAge | None]:
    """The file a marker names, or the one its test is named after, and how old it may be."""
    names = [*marker.args, *(value for key, value in marker.kwargs.items() if key == "name")]
    if len(names) > 1 or marker.kwargs.keys() - {"name", "max_age"}:
        pytest.fail(
            f"the marker takes one name, as in {MARKER}('agent/summary.yaml'), and max_age, not {marker}", pytrace=False
        )
    name = names[0] if names else None
    if not isinstance(name, str | Path | None):
        pytest.fail(f"{MARKER} takes the name of a file, not {name!r}", pytrace=False)
    folder: Path = request.getfixturevalue("portkey_cassette_dir")
    problem = None
    try:
        max_age = _max_age(marker.kwargs.get("max_age", request.config.getini("portkey_max_age")))
        if isinstance(name, Path) and name.is_absolute():
            return name, max_age  # nobody writes that by accident
        return located(folder, _default_name(request) if name is None else str(name)), max_age
    except (CassetteError, ValueError) as error:
        problem = str(error)
    pytest.fail(problem, pytrace=False)


def _default_name(request: pytest.FixtureRequest) -> str:
    """MODULE/TEST.yaml; a name that no file can have gets a hash of the original, so that it stays the only one."""
    name = request.node.name
    test = re.sub(r"[^\w.-]+", "-", name).strip("-")
    if test != name.replace("[", "-", 1).removesuffix("]") or len(test) > _LONGEST_NAME:
        test = f"{test[:_LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:8]}"
    owner = "" if request.cls is None else f"{request.cls.__name__}."
    return f"{request.path.stem}/{owner}{test}.yaml"
