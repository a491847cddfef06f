"""What `scripts/gateway` refuses, without starting anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.__main__ import main


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [{kind: gopher}]", "steps.yaml.a[0]: unknown kind 'gopher'"),
        ("a: []", "steps.yaml.a: expected a list of at least one step"),
        ("{}", "expected at least one upstream"),
        ("- 1", "expected a mapping of upstream names"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_bad_script_is_refused_by_place(
    content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that cannot be played ends the command with status 2 and one error that names the place."""
    file = tmp_path / "steps.yaml"
    file.write_text(content)

    status = main(["--script", str(file)])

    assert status == 2
    assert said in capsys.readouterr().err


def test_a_missing_script_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that is not there ends the command with status 2."""
    status = main(["--script", str(tmp_path / "missing.yaml")])

    assert status == 2
    assert "missing.yaml cannot be read" in capsys.readouterr().err


def test_a_pattern_without_scenarios_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Agreement on nothing is no agreement."""
    status = main(["--conformance", "no_such_scenario"])

    assert status == 2
    assert "no scenario matches 'no_such_scenario'" in capsys.readouterr().err


def test_recording_needs_scenarios_to_play(capsys: pytest.CaptureFixture[str]) -> None:
    """`--record` alone is refused."""
    with pytest.raises(SystemExit):
        main(["--record"])

    assert "--record goes with --conformance" in capsys.readouterr().err
