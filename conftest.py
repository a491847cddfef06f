"""What every test run needs: plugin tests that run real pytest, and the versions that matter in the header."""

from __future__ import annotations

from importlib.metadata import version

pytest_plugins = ["pytester"]


def pytest_report_header() -> str:
    """The versions a failure may depend on."""
    return ", ".join(f"{name} {version(name)}" for name in ("httpx", "httpx2", "pydantic", "respx"))
