"""The claims on the SDKs that have environments of their own, where they are installed unmodified."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.clients.conftest import ENVIRONMENT, SDKS, skip

ROOT: Final = Path(__file__).resolve().parents[2]

_FOR_ALL: Final = ("test_claims.py", "test_against_gateway.py")
CLAIMS: Final = {
    "client-openai-2": (*_FOR_ALL, "test_stored.py", "test_openai.py"),
    "client-portkey-ai": (*_FOR_ALL, "test_stored.py"),
    "client-langchain": _FOR_ALL,
}
"""What is run where."""


def test_every_environment_is_run() -> None:
    """An environment that is described runs its claims."""
    assert set(SDKS) - {""} == set(CLAIMS)


@pytest.mark.live
@pytest.mark.parametrize("name", CLAIMS)
def test_an_environment(name: str) -> None:
    """Every claim holds for the SDKs of the environment, in a pytest run of its own."""
    python = ROOT / f".venv-{name}" / "bin" / "python"
    if not python.exists():
        skip(f"the environment {python.parent.parent.name} is missing: run scripts/clients")

    # An SDK's own warnings are no failures of ours, hence -W.
    done = subprocess.run(
        [
            *(python, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *("--confcutdir", "tests/clients", *(f"tests/clients/{file}" for file in CLAIMS[name])),
        ],
        cwd=ROOT,
        env={**os.environ, ENVIRONMENT: name},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, f"{done.stdout}\n{done.stderr}"
    assert " passed" in done.stdout
