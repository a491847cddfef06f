"""Judges each test with a fake at its end, and tells what went wrong beside a failure.

A failure of the fake is raised where it happens. Threads, task groups, `gather(return_exceptions=True)` and
`except BaseException` keep it from the test, so every failure is also written down, and what the test has not seen by
its end fails it then. A test that fails anyway is told about the others in its report.
"""

from __future__ import annotations

import linecache
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import pytest

from portkey_testing._stack import LIBRARIES, root
from portkey_testing.failures import PortkeyTestFailure, SeveralFailures
from portkey_testing.plugin import MARKER

if TYPE_CHECKING:  # what it needs may not be installed
    from portkey_testing.gateway import FakeGateway

_FAKE: Final = pytest.StashKey["FakeGateway"]()
_FOUND: Final = pytest.StashKey[list[PortkeyTestFailure]]()
"""What the fake has written down and the report of the phase has yet to tell."""
_TOLD: Final = pytest.StashKey[list[BaseException]]()
"""What the test has been stopped by so far, in any phase."""

_NO_FIXTURE: Final = (
    f"the marker {MARKER} has no effect without the fixture portkey_fake: add it to the parameters of the test, or "
    '@pytest.mark.usefixtures("portkey_fake")'
)
_FIRST_LINES: Final = 40
_LAST_LINES: Final = 80
"""Of a journal longer than both, what a report shows: how it began, and what came last."""


class Judge:
    """The hooks that only tests with a fake need; registered when the first one comes, so that others cost nothing."""

    @classmethod
    def take_seat(cls, config: pytest.Config) -> None:
        """Judge this run, if nobody does yet."""
        if not config.pluginmanager.has_plugin(__name__):
            config.pluginmanager.register(cls(), __name__)

    @staticmethod
    def watch(item: pytest.Item, fake: FakeGateway) -> None:
        """Judge a test by what its fake has seen."""
        Judge.take_seat(item.config)
        item.stash[_FAKE], item.stash[_FOUND], item.stash[_TOLD] = fake, [], []

    @staticmethod
    def is_told(item: pytest.Item) -> bool:
        """Whether the test has been stopped by something already."""
        return bool(item.stash[_TOLD])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Judge a test at its end, and unwrap a failure of the fake that a task group has wrapped."""
        result, raised = None, None
        try:
            result = yield
        except BaseException as error:  # noqa: BLE001  # raised again below
            raised = error
        # Outside the handler: raised again within it, a failure would get entangled with what the test has raised.
        if item.stash.get(_FAKE, None) is not None:
            # Kept as well as raised: what unittest reports is what its test raised.
            item.stash[_FOUND] = found = _found(item)
            if raised is None and found:
                raise _as_one(found)
            if isinstance(raised, BaseExceptionGroup) and (wrapped := _ours_alone(raised)):
                raise _as_one(wrapped)
            if (mistaken := _taken_for_a_result(raised)) is not None:
                raise mistaken
        elif raised is None and item.get_closest_marker(MARKER) is not None:
            pytest.fail(_NO_FIXTURE, pytrace=False)
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
            if report.failed and call.when == "call" and item.get_closest_marker(MARKER) is not None:
                report.sections.append(("portkey_fake", _NO_FIXTURE))
            return report
        item.stash[_TOLD].append(call.excinfo.value)
        if report.failed:
            excinfo = _unwrapped(call.excinfo)
            if _is_for_the_author(excinfo) and not item.config.getoption("fulltrace"):
                report.longrepr = _told(item, excinfo)
            if call.when != "call":
                item.stash[_FOUND] += _found(item)
            untold = [failure for failure in item.stash[_FOUND] if not _shows(failure, call.excinfo.value)]
            if untold:
                report.sections.append(("portkey_fake, what else went wrong", str(_as_one(untold))))
            journal = fake.journal if item.config.get_verbosity() >= 2 else _abridged(fake.journal)
            report.sections.append((f"portkey_fake, seed {fake.seed}", journal))
        return report


def _abridged(journal: str) -> str:
    """A journal that does not push everything else off the screen."""
    lines = journal.splitlines()
    left_out = len(lines) - _FIRST_LINES - _LAST_LINES
    if left_out <= 1:
        return journal
    hint = f"... {left_out} lines are left out; pytest -vv and print(portkey_fake.journal) show them ..."
    return "\n".join([*lines[:_FIRST_LINES], hint, *lines[-_LAST_LINES:]])


def _found(item: pytest.Item) -> list[PortkeyTestFailure]:
    """What the fake has written down since the last time, without what a subtest has told already."""
    found: list[PortkeyTestFailure] = []
    try:
        item.stash[_FAKE].verify()
    except SeveralFailures as several:
        found += several.failures
    except PortkeyTestFailure as failure:
        found.append(failure)
    return [failure for failure in found if not any(_shows(failure, told) for told in item.stash[_TOLD])]


def _as_one(failures: list[PortkeyTestFailure]) -> PortkeyTestFailure:
    return failures[0] if len(failures) == 1 else SeveralFailures(failures)


def _ours_alone(group: BaseExceptionGroup[BaseException]) -> list[PortkeyTestFailure]:
    """The failures of the fake in a group that has nothing else in it; else none."""
    ours, others = group.split(PortkeyTestFailure)
    return [] if ours is None or others is not None else list(_leaves(ours))


def _taken_for_a_result(raised: BaseException | None) -> PortkeyTestFailure | None:
    """The failure of the fake that a library has gathered with its results, and then used as one of them."""
    taken = raised.obj if isinstance(raised, AttributeError) else None
    return taken if isinstance(taken, PortkeyTestFailure) else None


def _unwrapped(excinfo: pytest.ExceptionInfo[BaseException]) -> pytest.ExceptionInfo[BaseException]:
    """The failure of the fake in a group, where unittest has taken the group for the outcome of a test."""
    if isinstance(excinfo.value, BaseExceptionGroup) and (wrapped := _ours_alone(excinfo.value)):
        failure = _as_one(wrapped)
        return pytest.ExceptionInfo.from_exc_info((type(failure), failure, failure.__traceback__ or excinfo.tb))
    return excinfo


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[Any]:
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from _leaves(inner)
        else:
            yield inner


def _shows(failure: PortkeyTestFailure, raised: BaseException) -> bool:
    """Whether a report of `raised` shows a failure too: it is that, or among its causes, or in its group."""
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


def _is_for_the_author(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """Whether the text says it all: a failure of the fake, or what one of our packages raised on purpose."""
    last = excinfo.traceback[-1]
    if isinstance(excinfo.value, PortkeyTestFailure):
        return True
    line = linecache.getline(str(last.path), last.lineno + 1)
    return root(last.frame.raw) in ("portkey_client", "portkey_testing") and line.lstrip().startswith("raise ")


def _told(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
    """What a report says of a failure of the fake or the client: its text, below the frames that are no library's."""
    entries: list[TracebackType] = []
    shortened: TracebackType | None = None
    entry: TracebackType | None = excinfo.tb
    while entry is not None:
        entries.append(entry)
        entry = entry.tb_next
    # Traceback objects of our own, since pytest cuts what it shows from those.
    for entry in reversed(entries):
        if root(entry.tb_frame) not in LIBRARIES:
            shortened = TracebackType(shortened, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    if shortened is None:
        return excinfo.getrepr(style="value")
    return item.repr_failure(pytest.ExceptionInfo.from_exc_info((excinfo.type, excinfo.value, shortened)))
