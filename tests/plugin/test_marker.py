"""The marker that replays a cassette: which file, and what happens if that or the test is not as it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.plugin.conftest import Run

RECORDED: Final = Path(__file__).parents[2] / "cassettes" / "agent" / "streamed_tool_call.yaml"

AGENT = """
from examples.agent import run_agent

def weather():
    assert run_agent("Weather in Oslo?") == "It is 21 degrees in Oslo."

"""


def _record(pytester: pytest.Pytester, *names: str) -> None:
    """Put the recorded conversation where a test looks for it."""
    for name in names:
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(RECORDED, path)


def test_the_default_name_is_module_and_test(run: Run, pytester: pytest.Pytester) -> None:
    """Each test has a file of its own, in a folder named after its module."""
    _record(
        pytester,
        "cassettes/test_app/test_plain.yaml",
        "cassettes/test_app/TestClass.test_method.yaml",
        "cassettes/test_app/test_places-Oslo.yaml",
        "cassettes/test_app/test_ünï-Å.yaml",
    )

    result = run(
        f"{AGENT}pytestmark = pytest.mark.portkey_cassette\n\n\n"
        "def test_plain(portkey_fake):\n    weather()\n\n\n"
        "class TestClass:\n    def test_method(self, portkey_fake):\n        weather()\n\n\n"
        "@pytest.mark.parametrize('place', ['Oslo'])\ndef test_places(portkey_fake, place):\n    weather()\n\n\n"
        "@pytest.mark.parametrize('place', ['Å'])\ndef test_ünï(portkey_fake, place):\n    weather()\n",
        "-o",
        "disable_test_id_escaping_and_forfeit_all_rights_to_community_support=true",
    )

    result.assert_outcomes(passed=4)


@pytest.mark.parametrize(
    ("first", "second"), [("a/b", "a:b"), ("x" * 300, "x" * 299 + "y"), ("a b", "a-b")], ids=["odd", "long", "blank"]
)
def test_names_that_no_file_can_have_stay_apart(run: Run, first: str, second: str) -> None:
    """A test id with separators, or too long for a file, gets a name of its own all the same."""
    result = run(
        f"{AGENT}@pytest.mark.portkey_cassette\n@pytest.mark.parametrize('place', [{first!r}, {second!r}])\n"
        "def test_it(portkey_fake, place):\n    weather()\n"
    )

    result.assert_outcomes(errors=2)
    messages = [line for line in result.stdout.lines if line.startswith("/") and "no such cassette" in line]
    names = {Path(message.partition(": there is no")[0]) for message in messages}
    assert 2 == len(names)
    assert {"test_app"} == {name.parent.name for name in names}
    assert all(len(name.name) < 130 for name in names)


def test_a_name_may_be_given(run: Run, pytester: pytest.Pytester) -> None:
    """The marker names a file in the cassette folder, by position or keyword."""
    _record(pytester, "cassettes/agent/weather.yaml")

    result = run(
        f"{AGENT}@pytest.mark.portkey_cassette('agent/weather.yaml')\ndef test_one(portkey_fake):\n    weather()\n\n\n"
        "@pytest.mark.portkey_cassette(name='agent/weather.yaml')\ndef test_two(portkey_fake):\n    weather()\n"
    )

    result.assert_outcomes(passed=2)


def test_the_folder_may_be_moved(run: Run, pytester: pytest.Pytester) -> None:
    """The ini key moves it for a project, a fixture for a part of one."""
    _record(pytester, "tapes/weather.yaml", "elsewhere/weather.yaml")
    pytester.makeini("[pytest]\nportkey_cassettes = tapes\n")

    result = run(
        f"{AGENT}pytestmark = pytest.mark.portkey_cassette('weather.yaml')\n\n\n"
        "def test_ini(portkey_fake):\n    weather()\n\n\n"
        "class TestFixture:\n    @pytest.fixture\n    def portkey_cassette_dir(self, pytestconfig):\n"
        "        return pytestconfig.rootpath / 'elsewhere'\n\n"
        "    def test_it(self, portkey_fake, pytestconfig):\n"
        "        (pytestconfig.rootpath / 'tapes' / 'weather.yaml').unlink()\n        weather()\n"
    )

    result.assert_outcomes(passed=2)


def test_a_missing_cassette_is_an_error_that_says_how_to_record_it(run: Run, pytester: pytest.Pytester) -> None:
    """The message has the path, and no traceback."""
    result = run(f"{AGENT}@pytest.mark.portkey_cassette\ndef test_it(portkey_fake):\n    weather()\n")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [f"{pytester.path}/cassettes/test_app/test_it.yaml: there is no such cassette; record it: *"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*replay.py*")


def test_a_file_that_is_no_cassette_is_an_error_that_says_where(run: Run, pytester: pytest.Pytester) -> None:
    """The message has the path and the line, and no traceback."""
    (pytester.path / "cassettes").mkdir()
    (pytester.path / "cassettes" / "bad.yaml").write_text("hello: 1\n")

    result = run("@pytest.mark.portkey_cassette('bad.yaml')\ndef test_it(portkey_fake):\n    pass\n")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"{pytester.path}/cassettes/bad.yaml, line 1, *"])


def test_a_request_that_was_not_recorded_fails_the_test(run: Run, pytester: pytest.Pytester) -> None:
    """A miss is a failure like that of a script, with the journal."""
    _record(pytester, "cassettes/weather.yaml")

    result = run(
        "@pytest.mark.portkey_cassette('weather.yaml')\ndef test_it(portkey_fake):\n    ask('Something else?')\n"
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["app.py:*: CassetteMiss", "*portkey_fake, what else went wrong*", "*portkey_fake, seed 0*"]
    )


def test_a_recording_that_is_not_played_to_its_end_fails_the_test(run: Run, pytester: pytest.Pytester) -> None:
    """It is a failed test, not an error of its tear-down."""
    _record(pytester, "cassettes/weather.yaml")

    result = run("@pytest.mark.portkey_cassette('weather.yaml')\ndef test_it(portkey_fake):\n    pass\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*weather.yaml: 2 of 2 recorded interactions were never asked for (number 1, 2)*"])


@pytest.mark.parametrize("arguments", ["'a', 'b'", "'a', name='b'", "file='a'", "1"])
def test_a_wrong_marker_is_an_error(run: Run, arguments: str) -> None:
    """The marker takes one name and nothing else."""
    result = run(f"@pytest.mark.portkey_cassette({arguments})\ndef test_it(portkey_fake):\n    pass\n")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*takes * name*"])


def test_a_marker_without_the_fixture_is_told_where_the_test_fails(run: Run) -> None:
    """It fails since its request went to the network: no wonder, without the fixture."""
    result = run("@pytest.mark.portkey_cassette('weather.yaml')\ndef test_it():\n    raise OSError('no network')\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *OSError: no network", "the marker * has no effect without the fixture *"])


def test_a_marker_without_the_fixture_is_a_failure(run: Run) -> None:
    """It would have no effect, and a test that believes to replay would talk to the network."""
    result = run("@pytest.mark.portkey_cassette('weather.yaml')\ndef test_it():\n    pass\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["the marker portkey_cassette has no effect without the fixture portkey_fake: *usefixtures*"]
    )
