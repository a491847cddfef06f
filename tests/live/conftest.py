"""The real gateway and the provider behind it, one of each per test process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest

from tests.live.corpus import warm_up
from tests.live.gateway import INSTALL_COMMAND, RealGateway
from tests.live.provider import LoopbackProvider

# for CI, where a skipped test is one that nobody misses
REQUIRED: Final = "PORTKEY_LIVE"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for the SDKs' environments as well, which do not see the root's."""
    config.addinivalue_line("markers", f"live: talks to the real gateway on loopback; {INSTALL_COMMAND} enables it")


@pytest.fixture(scope="session")
def provider() -> Iterator[LoopbackProvider]:
    """The scripted provider; each test loads a key of its own."""
    with LoopbackProvider() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(provider: LoopbackProvider) -> Iterator[RealGateway]:
    """The real gateway, warmed up. Never installed from here: a test run does not reach for the network."""
    reason = RealGateway.unavailable()
    if reason is None and not RealGateway.installed():
        reason = f"the real gateway is not installed: run {INSTALL_COMMAND}"
    if reason is not None:
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"{REQUIRED}=required, but {reason}", pytrace=False)
        pytest.skip(reason)
    with RealGateway() as running:
        warm_up(running.url, provider)
        yield running
