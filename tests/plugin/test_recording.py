"""`--portkey-record`: the marked tests record what they ask for, and replay it from then on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from portkey_testing._cli.commands import portkey_testing
from portkey_testing.cassettes import MODES, load_cassette
from portkey_testing.plugin import RECORD_MODES
from tests.plugin.conftest import HEAD, Run
from tests.recording_support import TinyGateway, tiny_gateway

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


def test_workers_that_record_one_file_lose_nothing(run: Run, pytester: pytest.Pytester, gateway: TinyGateway) -> None:
    """Two processes of one run rewrite one cassette together: what both recorded is in it, what was there is not."""
    tests = """
    @pytest.mark.portkey_cassette("shared.yaml")
    @pytest.mark.parametrize("place", ["Oslo", "Bergen", "Rome", "Paris"])
    def test_it(portkey_fake, place):
        assert ask(place).startswith("answer")
    """.replace("\n    ", "\n")
    options = ("--portkey-record=rewrite", f"--portkey-gateway={gateway.url}", "-n", "2", "--dist", "load")

    for _ in range(2):
        run(tests, *options, apart=True).assert_outcomes(passed=4)

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


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "two"])
def test_files_that_no_test_uses_are_found(
    pytester: pytest.Pytester, gateway: TinyGateway, monkeypatch: pytest.MonkeyPatch, run: Run, workers: tuple[str, ...]
) -> None:
    """The last run tells, whichever worker used a file; an earlier run does not count."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(test_app=HEAD + MARKED)
    record = ("--portkey-record=once", f"--portkey-gateway={gateway.url}", *workers)

    pytester.runpytest_subprocess(*record).assert_outcomes(passed=2)
    whole = CliRunner().invoke(portkey_testing, ["check", "--unused", "--strict"])
    pytester.runpytest_subprocess(*workers, "-k", "Oslo").assert_outcomes(passed=1)
    part = CliRunner().invoke(portkey_testing, ["check", "--unused", "--strict"])

    assert (0, "2 cassettes, 0 errors, 0 warnings\n") == (whole.exit_code, whole.output)
    assert 1 == part.exit_code
    assert "test_it-Bergen.yaml: warning: no test of the last run used it" in part.output
    assert "test_it-Oslo.yaml" not in part.output


def test_without_a_run_nobody_knows_what_is_used(pytester: pytest.Pytester) -> None:
    """Asked for what no run has told, the command says what to do."""
    pytester.mkdir("cassettes")

    result = CliRunner().invoke(portkey_testing, ["check", "--unused"])

    assert 2 == result.exit_code
    assert "run pytest here first" in result.output
