"""The pytest plugin: the fixture `portkey_fake`, the marker `portkey_cassette` and a few options.

It is imported in every pytest run of everyone who has the package installed, so it imports nothing but pytest and the
standard library; the rest loads in the fixture.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from portkey_testing.gateway import FakeGateway

_FAKE = pytest.StashKey["FakeGateway"]()

_FOREIGN_FRAMES = ("portkey_testing", "portkey_client", "httpx", "httpx2", "httpcore", "httpcore2", "respx", "openai")
"""Packages whose frames stand between a test and the failure of the fake, and tell its author nothing."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("portkey", "fake Portkey gateway")
    group.addoption(
        "--portkey-seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of everything the fake gateway leaves to chance (default: 0)",
    )
    parser.addini(
        "portkey_cassettes", "folder of the recorded cassettes, relative to the root folder", default="cassettes"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "portkey_cassette(name=None): replay a recorded cassette through portkey_fake; "
        "the default name is MODULE/TEST.yaml in the cassette folder",
    )


@pytest.fixture
def portkey_fake(request: pytest.FixtureRequest) -> Iterator[FakeGateway]:
    """A fake Portkey gateway that answers every httpx and httpx2 client of the process."""
    try:
        from portkey_testing.gateway import FakeGateway
    except ModuleNotFoundError as cause:
        if cause.name is None or cause.name.startswith("portkey_"):
            raise
        pytest.fail(
            f'portkey_fake needs {cause.name}, which comes with: pip install "portkey-testing[testing]"', pytrace=False
        )
    fake = FakeGateway(seed=request.config.getoption("--portkey-seed"))
    request.node.stash[_FAKE] = fake
    with ExitStack() as stack:
        marker = request.node.get_closest_marker("portkey_cassette")
        if marker is not None:
            stack.enter_context(fake.replay(_cassette(request, marker)))
        stack.enter_context(fake.mounted())
        yield fake
    if not request.node.stash.get(_FAILED, False):
        # The test itself was verified at its end; this finds what came after it, from threads and other fixtures.
        fake.verify()


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that passed although the fake knows better; leave one that failed anyway alone."""
    try:
        result = yield
        fake = item.stash.get(_FAKE, None)
        if fake is not None:
            fake.verify()
    except BaseException:
        item.stash[_FAILED] = True
        raise
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the story of the calls beside a failure, and spare its author the frames of the libraries."""
    fake = item.stash.get(_FAKE, None)
    if fake is not None and call.excinfo is not None:
        _shorten(call.excinfo)
    report = yield
    if fake is not None and report.failed:
        report.sections.append((f"portkey_fake, seed {fake.seed}", fake.journal))
        leftovers = fake.leftovers
        if leftovers and call.when == "call":
            report.sections.append(("portkey_fake, replies left over", leftovers))
    return report


def _shorten(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    from portkey_testing.failures import PortkeyTestFailure

    if isinstance(excinfo.value, PortkeyTestFailure):
        own = excinfo.traceback.filter(
            lambda entry: str(entry.frame.f_globals.get("__name__", "")).split(".")[0] not in _FOREIGN_FRAMES
        )
        if own:
            excinfo.traceback = own


def _cassette(request: pytest.FixtureRequest, marker: pytest.Mark) -> Path:
    """The file a marker names, or the one its test is named after."""
    folder = request.config.rootpath / request.config.getini("portkey_cassettes")
    name = marker.args[0] if marker.args else marker.kwargs.get("name")
    if name is None:
        test = re.sub(r"[^\w.-]+", "-", request.node.name).strip("-")
        name = f"{request.node.path.stem}/{test}.yaml"
    return Path(folder, name)
