"""The set-up behind scripts/: it finds a Python that works, installs once, and says in one line what is missing."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = sorted(path for path in [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"] if path.suffix == "")
INSTALL = runpy.run_path(str(ROOT / "scripts" / "_install.py"))

PYPROJECT = """\
[project]
requires-python = ">=3.11"
dependencies = ["httpx>=0.27"]
optional-dependencies.testing = ["pytest>=8.2", "respx>=0.22,<0.24"]

[dependency-groups]
tests = ["pytest==9.2.0", "trio==0.35.0"]
dev = [{ include-group = "tests" }, "ruff==0.17.6"]
"""


def run(*command: str | Path, path: Path | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with `path` as the whole PATH where it is given, and no pyenv to be found."""
    environment = os.environ | {"PYENV_ROOT": "/nonexistent"} | ({"PATH": str(path)} if path else {})
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone, small: the scripts, and a project for them to set up."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (tmp_path / "portkey_client").mkdir()
    (tmp_path / "portkey_client" / "_version.py").write_text('VERSION: Final = "0"\n', encoding="utf-8")
    return tmp_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder to be the whole PATH: the tools of any system, and no Python."""
    folder = tmp_path / "path"
    folder.mkdir()
    for tool in ("awk", "cat", "dirname", "grep", "ls", "sed", "sh", "tr"):
        found = shutil.which(tool)
        assert found is not None, f"{tool} is missing on this machine"
        (folder / tool).symlink_to(found)
    return folder


def program(file: Path, *lines: str) -> None:
    """Write an executable shell script."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    file.chmod(0o755)


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_script_can_be_started(file: Path) -> None:
    """Each script is executable and names its interpreter."""
    assert os.access(file, os.X_OK)
    assert file.read_bytes().startswith(b"#!/")


def test_help_needs_no_set_up(clone: Path) -> None:
    """`scripts/test --help` prints its options from any folder, without making an environment."""
    said = run(clone / "scripts" / "test", "--help", cwd=Path("/"))

    assert said.returncode == 0
    assert "--every-python" in said.stdout
    assert "--floor" in said.stdout
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("script", ["check", "demo", "smoke", "test"])
def test_no_python(clone: Path, path: Path, script: str) -> None:
    """Without any Python, every script says so in one line and fails."""
    said = run(clone / "scripts" / script, path=path)

    assert said.returncode == 1
    [line] = said.stderr.splitlines()
    assert 'requires-python = ">=3.11"' in line


def test_pythons_that_do_not_run_are_passed_over(clone: Path, path: Path) -> None:
    """A shim that fails and a Python that is too old are skipped, and each version is listed once, by its base."""
    program(path / "python3", 'echo "python3: command not found" >&2', "exit 127")
    program(path / "python3.10", "exec false")
    program(path / "python3.12", f'exec "{sys.executable}" "$@"')
    program(path / "python3.13", f'exec "{sys.executable}" "$@"')

    said = run(clone / "scripts" / "_pythons", path=path)

    [line] = said.stdout.splitlines()
    version, _, found = line.partition(" ")
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" == version
    assert sys.base_prefix == run(found, "-c", "import sys; print(sys.prefix)").stdout.strip()


def test_an_environment_that_cannot_be_made(clone: Path) -> None:
    """A Python that cannot make an environment is reported in one line after what was tried."""
    program(clone / "broken", "echo 'No module named venv' >&2", "exit 1")

    said = run(sys.executable, clone / "scripts" / "_install.py", "--python", clone / "broken")

    assert said.returncode == 1
    assert said.stderr.splitlines()[1:] == ["scripts: python -m venv cannot make .venv: No module named venv"]


class FakeEnvironment:
    """A `.venv` whose Python notes what it is asked for, instead of doing it."""

    def __init__(self, clone: Path, *, fails: bool = False) -> None:
        self._clone = clone
        self._asked = clone / "asked.txt"
        answer = ("echo 'ERROR: No matching distribution found for httpx'", "exit 1") if fails else ("exit 0",)
        program(clone / ".venv" / "bin" / "python", f'echo "$*" >> "{self._asked}"', *answer)
        (clone / ".venv" / "pyvenv.cfg").write_text("version = 3.11.0\n", encoding="utf-8")

    def set_up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the set-up on it."""
        return run(sys.executable, self._clone / "scripts" / "_install.py", *arguments)

    @property
    def installs(self) -> int:
        """How often pip was asked to install."""
        return self._asked.read_text(encoding="utf-8").count("-m pip install") if self._asked.exists() else 0

    @property
    def requirements(self) -> Sequence[str]:
        """What pip was last told to install beside the project."""
        return (self._clone / ".venv" / "requirements.txt").read_text(encoding="utf-8").split()


def test_what_is_installed_is_reused(clone: Path) -> None:
    """An installation runs again when pyproject.toml changes or more is wanted, and at no other time."""
    environment = FakeEnvironment(clone)
    counts = []
    for arguments in (["tests"], ["tests"], [], ["dev"], ["tests"]):
        assert environment.set_up(*arguments).returncode == 0
        counts.append(environment.installs)
    assert counts == [1, 1, 1, 2, 2]

    (clone / "pyproject.toml").write_text(PYPROJECT.replace("trio==0.35.0", "trio==0.34.0"), encoding="utf-8")
    environment.set_up("tests")

    assert environment.installs == 3
    assert "trio==0.34.0" in environment.requirements


def test_an_environment_beside_another_has_its_groups_alone(clone: Path) -> None:
    """It is made without pip, sees what the other has and the project, and pip installs nothing but the groups."""
    environment = FakeEnvironment(clone)
    said = environment.set_up("--venv", ".venv-beside", "--beside", ".venv", "tests")

    assert 0 == said.returncode, said.stderr
    packages = clone / ".venv-beside" / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    assert [str(clone / ".venv" / packages.relative_to(clone / ".venv-beside")), str(clone)] == (
        packages / "beside.pth"
    ).read_text(encoding="utf-8").split()
    (asked,) = (clone / "asked.txt").read_text(encoding="utf-8").splitlines()
    assert asked.startswith(f"-m pip --python {clone / '.venv-beside' / 'bin' / 'python'} install ")
    assert "--editable" not in asked


def test_a_failed_installation_is_tried_again(clone: Path) -> None:
    """The reason pip gives is passed on in one line, and nothing is taken for installed."""
    said = FakeEnvironment(clone, fails=True).set_up("tests")

    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].endswith("ERROR: No matching distribution found for httpx")

    environment = FakeEnvironment(clone)
    assert environment.set_up("tests").returncode == 0
    assert environment.installs == 2


def test_floor_replaces_the_pins(clone: Path) -> None:
    """With --floor each dependency is held at its lower bound, the pinned development tools included."""
    environment = FakeEnvironment(clone)
    environment.set_up("--floor", "tests")

    assert environment.requirements == ["httpx==0.27", "pytest==8.2", "respx==0.22", "trio==0.35.0"]


def test_a_dependency_without_a_floor_is_refused(clone: Path) -> None:
    """A dependency without a lower bound cannot be tested at it, and is named."""
    (clone / "pyproject.toml").write_text(PYPROJECT.replace("httpx>=0.27", "httpx"), encoding="utf-8")
    said = FakeEnvironment(clone).set_up("--floor", "tests")

    assert said.returncode == 1
    assert "'httpx' has no lower bound (NAME>=VERSION)" in said.stderr


def test_every_tool_is_pinned() -> None:
    """Each development tool of the project has an exact version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    pins = INSTALL["requirements"](project, groups=[*project["dependency-groups"]])

    assert [] == [pin for pin in pins if "==" not in pin]
