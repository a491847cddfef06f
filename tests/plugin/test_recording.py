"""`--portkey-record`: the marked tests record what they ask for, and replay it from then on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
from click.testing import CliRunner

from portkey_testing._cli.commands import portkey_testing
from portkey_testing.cassettes import MODES, load_cassette
from portkey_testing.plugin import RECORD_MODES
from tests.cassettes.support import questions_of
from tests.plugin.conftest import HEAD, Run
from tests.recording_support import TinyGateway, tiny_gateway

SHARED = """
@pytest.mark.portkey_cassette("shared.yaml")
@pytest.mark.parametrize("place", ["Oslo", "Bergen", "Rome", "Paris"])
def test_it(portkey_fake, place):
    assert ask(place).startswith("answer")
"""

MARKED = """
pytestmark = pytest.mark.portkey_cassette

@pytest.mark.parametrize("place", ["Oslo", "Bergen"])
def test_it(portkey_fake, place):
    assert ask(place).startswith("answer")
"""


@pytest.fixture
def gateway() -> Iterator[TinyGateway]:
    """A gateway on loopback."""
    with tiny_gateway() as running:
        yield running


def test_what_is_recorded_once_is_replayed_for_ever(run: Run, pytester: pytest.Pytester, gateway: TinyGateway) -> None:
    """Each case of a parametrised test has a file of its own; once they are there, nothing goes live any more."""
    recorded = run(MARKED, "--portkey-record=once", f"--portkey-gateway={gateway.url}")
    live = len(gateway.requests)
    again = run(MARKED, "--portkey-record=once", f"--portkey-gateway={gateway.url}")
    replayed = run(MARKED)

    for result in (recorded, again, replayed):
        result.assert_outcomes(passed=2)
    assert 2 == live == len(gateway.requests)
    names = {path.name for path in (pytester.path / "cassettes" / "test_app").iterdir() if path.suffix == ".yaml"}
    assert {"test_it-Oslo.yaml", "test_it-Bergen.yaml"} == names
    recorded.stdout.fnmatch_lines([f"portkey: recording once from {gateway.url}*"])


def test_the_credentials_stay_the_clients(run: Run, gateway: TinyGateway) -> None:
    """Another gateway gets the key of the client."""
    run(MARKED, "--portkey-record=all", f"--portkey-gateway={gateway.url}")

    assert {"k"} == {headers["x-portkey-api-key"] for _, headers in gateway.requests}


@pytest.mark.once
def test_workers_that_record_one_file_lose_nothing(run: Run, pytester: pytest.Pytester, gateway: TinyGateway) -> None:
    """Two processes of one run rewrite one cassette together: what both recorded is in it, what was there is not."""
    options = ("--portkey-record=rewrite", f"--portkey-gateway={gateway.url}", "-n", "2", "--dist", "load")

    for _ in range(2):
        run(SHARED, *options, apart=True).assert_outcomes(passed=4)

    assert 4 == len(load_cassette(pytester.path / "cassettes" / "shared.yaml").interactions)


def test_a_misspelt_mode_is_a_usage_error(run: Run) -> None:
    """Pytest stops before it runs anything, and says what there is."""
    result = run("def test_it():\n    pass\n", "--portkey-record=onec")

    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines(["*--portkey-record*onec*none*once*new*all*rewrite*"])


def test_a_gateway_that_is_no_url_is_a_usage_error(run: Run) -> None:
    """The message shows what one looks like."""
    result = run("def test_it():\n    pass\n", "--portkey-gateway=localhost")

    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines(["*expected a URL such as http://127.0.0.1:8787/v1, not 'localhost'*"])


def test_the_plugin_knows_the_modes_of_the_recorder() -> None:
    """The plugin names them without importing them."""
    assert set(MODES) == set(RECORD_MODES)


def test_unmarked_tests_are_not_recorded(run: Run, pytester: pytest.Pytester, gateway: TinyGateway) -> None:
    """Scripts answer them as ever."""
    result = run(
        "def test_it(portkey_fake):\n    portkey_fake.reply('Sunny')\n    assert ask() == 'Sunny'\n",
        "--portkey-record=all",
        f"--portkey-gateway={gateway.url}",
    )

    result.assert_outcomes(passed=1)
    assert [] == gateway.requests
    assert not (pytester.path / "cassettes").exists()


def test_rules_of_a_project_are_a_fixture(run: Run, pytester: pytest.Pytester, gateway: TinyGateway) -> None:
    """They hold for the recording and for its replay."""
    (pytester.path / "conftest.py").write_text(
        "import pytest\nfrom portkey_testing.cassettes import MatchRules, Redactor\n\n"
        "@pytest.fixture(scope='session')\ndef portkey_cassette_settings():\n"
        "    rules = MatchRules(ignore=('headers.x-portkey-provider',))\n"
        "    return {'rules': rules, 'redactor': Redactor(rules={'ticket': r'ACME-[0-9]+'})}\n"
    )
    tests = (
        "@pytest.mark.portkey_cassette('x.yaml')\n"
        "def test_it(portkey_fake):\n    assert ask('ACME-12', {!r}) == 'answer 1'\n"
    )

    run(tests.format("openai"), "--portkey-record=once", f"--portkey-gateway={gateway.url}").assert_outcomes(passed=1)
    run(tests.format("groq")).assert_outcomes(passed=1)

    assert "<redacted-ticket>" in (pytester.path / "cassettes" / "x.yaml").read_text()


def test_a_recording_that_cannot_be_written_is_an_error(
    run: Run, pytester: pytest.Pytester, gateway: TinyGateway
) -> None:
    """The test is told at its end, without a traceback of ours."""
    (pytester.path / "cassettes").write_text("in the way")

    result = run(MARKED, "--portkey-record=once", f"--portkey-gateway={gateway.url}")

    result.assert_outcomes(passed=2, errors=2)
    result.stdout.no_fnmatch_line("*recorder.py*")


def _checked(*options: str) -> tuple[int, str]:
    result = CliRunner().invoke(portkey_testing, ["check", "--unused", "--strict", *options])
    return result.exit_code, result.output


@pytest.mark.once
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "two"])
def test_what_no_test_plays_is_found(
    pytester: pytest.Pytester, gateway: TinyGateway, monkeypatch: pytest.MonkeyPatch, run: Run, workers: tuple[str, ...]
) -> None:
    """Files and single interactions; the last run of all tests tells, whichever worker ran them."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(test_app=HEAD + MARKED)
    record = ("--portkey-record=once", f"--portkey-gateway={gateway.url}")
    pytester.runpytest_inprocess(*record).assert_outcomes(passed=2)
    folder = pytester.path / "cassettes" / "test_app"
    one, other = (folder / f"test_it-{place}.yaml" for place in ("Oslo", "Bergen"))
    one.write_text(one.read_text().removesuffix("...\n") + "---\n" + other.read_text().partition("---\n")[2])
    (folder / "old.yaml").write_text(other.read_text())

    pytester.runpytest_subprocess(*workers).assert_outcomes(passed=1, failed=1)
    status, text = _checked()

    assert (1, True) == (status, text.endswith("3 cassettes, 2 errors, 0 warnings\n"))
    assert "old.yaml: warning: no test of the last run used it" in text
    assert re.search(
        r"test_it-Oslo\.yaml:\d+: warning: no test of the last run played interaction 2 \(POST /chat/", text
    )


@pytest.mark.once
def test_a_run_of_some_tests_raises_no_false_alarm(pytester: pytest.Pytester, gateway: TinyGateway, run: Run) -> None:
    """What was left out by -k, by a path or by stopping early is not taken for unused."""
    pytester.makepyfile(test_app=HEAD + MARKED)
    record = ("--portkey-record=once", f"--portkey-gateway={gateway.url}")

    pytester.runpytest_inprocess(*record, "-k", "Oslo").assert_outcomes(passed=1)
    before = _checked()
    pytester.runpytest_inprocess(*record).assert_outcomes(passed=2)
    for part in (["-k", "Oslo"], ["test_app.py::test_it[Bergen]"], ["--deselect", "test_app.py::test_it[Bergen]"]):
        pytester.runpytest_inprocess(*part).assert_outcomes(passed=1, deselected=None)

        assert (0, "2 cassettes, 0 errors, 0 warnings\n") == _checked()

    assert 2 == before[0]
    assert "run of all tests" in before[1]


@pytest.mark.once
@pytest.mark.parametrize("mode", ["once", "all"])
def test_recordings_of_workers_with_files_of_their_own_travel_home(
    run: Run, pytester: pytest.Pytester, gateway: TinyGateway, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Two workers in folders of their own record one cassette: all of it is in the folder that the run began in."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(test_app=HEAD + SHARED)
    pytester.path.joinpath("conftest.py").write_text("")
    away = [pytester.path.parent / f"{pytester.path.name}-{name}" for name in "ab"]
    for folder in away:
        copytree(pytester.path, folder)
    workers = [f"--tx=popen//chdir={folder}" for folder in away]
    record = (f"--portkey-record={mode}", f"--portkey-gateway={gateway.url}")

    for _ in range(2 if mode == "all" else 1):
        result = pytester.runpytest_subprocess(*record, *workers, "--dist=load")

        result.assert_outcomes(passed=4)

    shared = pytester.path / "cassettes" / "shared.yaml"
    assert ["Bergen", "Oslo", "Paris", "Rome"] == sorted(questions_of(shared))
    assert 1 == shared.read_text().splitlines().count("...")
    assert [] == [file for folder in away for file in folder.rglob("*.yaml")]


@pytest.mark.once
def test_what_travels_home_and_cannot_be_written_fails_the_run(
    run: Run, pytester: pytest.Pytester, gateway: TinyGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests of the worker pass, the run does not, and it says which file lacks what."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(test_app=HEAD + SHARED)
    pytester.path.joinpath("conftest.py").write_text("")
    away = pytester.path.parent / f"{pytester.path.name}-away"
    copytree(pytester.path, away)
    (pytester.path / "cassettes" / "shared.yaml").mkdir(parents=True)

    result = pytester.runpytest_subprocess(
        "--portkey-record=all", f"--portkey-gateway={gateway.url}", f"--tx=popen//chdir={away}", "--dist=load"
    )

    result.assert_outcomes(passed=4)
    assert pytest.ExitCode.TESTS_FAILED == result.ret
    result.stdout.fnmatch_lines(["*portkey: a recording was lost*", "*shared.yaml: *expected an ordinary file*"])


@pytest.mark.parametrize(
    ("marker", "ini", "outcome"),
    [
        ("", "", {"passed": 1}),
        ("", "90", {"passed": 1, "warnings": 1}),
        ("", "90 error", {"errors": 1}),
        ("max_age=90", "1 error", {"passed": 1, "warnings": 1}),
        ("max_age='90 error'", "", {"errors": 1}),
        ("max_age=100000", "1 error", {"passed": 1}),
        ("max_age='soon'", "", {"errors": 1}),
    ],
)
def test_an_old_cassette_warns_or_fails_and_nothing_goes_live(
    run: Run, pytester: pytest.Pytester, gateway: TinyGateway, marker: str, ini: str, outcome: dict[str, int]
) -> None:
    """The ini file says how old a recording may be, and a marker for itself."""
    tests = f"@pytest.mark.portkey_cassette({marker})\ndef test_it(portkey_fake):\n    assert ask() == 'answer 1'\n"
    record = ("--portkey-record=once", f"--portkey-gateway={gateway.url}")
    run(tests.replace(marker, ""), *record)
    file = pytester.path / "cassettes" / "test_app" / "test_it.yaml"
    file.write_text(re.sub("recorded: .*", "recorded: '2020-01-01'", file.read_text()))
    pytester.makeini(f"[pytest]\nportkey_max_age = {ini}\n")

    result = run(tests, *record, "-Wdefault")

    result.assert_outcomes(**outcome)
    assert 1 == len(gateway.requests)


@pytest.mark.parametrize("name", ["../outside", "/abs/outside", "a/../../b", "C:\\\\x", "a\\0b"])
def test_a_marker_that_leads_out_of_the_folder_is_refused(
    run: Run, pytester: pytest.Pytester, gateway: TinyGateway, name: str
) -> None:
    """Nothing is read or written beside the cassettes."""
    tests = f"@pytest.mark.portkey_cassette({name!r})\ndef test_it(portkey_fake):\n    ask()\n".replace("\\\\", "\\")

    result = run(tests, "--portkey-record=all", f"--portkey-gateway={gateway.url}")

    result.assert_outcomes(errors=1)
    assert [] == gateway.requests
    assert [] == list(pytester.path.parent.glob("*.yaml"))


def test_without_a_run_nobody_knows_what_is_used(pytester: pytest.Pytester) -> None:
    """Asked for what no run has told, the command says what to do."""
    copytree(Path(__file__).parents[2] / "cassettes", pytester.path / "cassettes")

    result = CliRunner().invoke(portkey_testing, ["check", "--unused"])

    assert 2 == result.exit_code
    assert "run pytest here first" in result.output
