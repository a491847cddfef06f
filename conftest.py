"""What every test run needs: plugin tests that run real pytest, the documentation as tests, versions in the header."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tests.pages import PAGES, Page

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known that `scripts/test` selects by, whichever tests are asked for."""
    config.addinivalue_line(
        "markers", "live: talks to the real gateway on loopback; scripts/gateway --install enables it"
    )
    config.addinivalue_line("markers", "once: takes long, and is alike on every Python: run on the default one only")


def pytest_report_header() -> str:
    """The versions a failure may depend on."""
    return ", ".join(f"{name} {version(name)}" for name in ("httpx", "httpx2", "pydantic", "respx"))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Page | None:
    """The Python blocks of a page are a module of tests."""
    return Page.from_parent(parent, path=file_path) if file_path in PAGES else None
