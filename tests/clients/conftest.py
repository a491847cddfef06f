"""The SDKs of this environment, one after the other, and a fake that each of them reaches in its way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import pytest

from portkey_testing import FakeGateway
from tests.clients import in_node, in_python
from tests.clients.sdk import Ask, Said, Sdk
from tests.live.conftest import REQUIRED, gateway, provider, pytest_configure

__all__ = ["gateway", "provider", "pytest_configure"]  # the real gateway, and the marker of tests that need it

ENVIRONMENT: Final = "PORTKEY_CLIENT"
"""Names the environment whose SDKs are tested; set by `test_environments.py`."""

SDKS: Final[dict[str, Sequence[Any]]] = {
    "": (*in_python.OPENAI, *in_node.NODE),
    "client-openai-2": in_python.OPENAI,
    "client-portkey-ai": in_python.PORTKEY_AI,
    "client-langchain": in_python.LANGCHAIN,
}
"""By the environment they are installed in; the one without a name is that of all other tests."""

HERE: Final[Sequence[Sdk]] = SDKS[os.environ.get(ENVIRONMENT, "")]


def sdks(fits: Callable[[Sdk], bool] = lambda _: True) -> pytest.MarkDecorator:
    """The SDKs for which a test holds. Those for Node are tested once, on the default Python."""
    params = [
        pytest.param(sdk, id=sdk.name, marks=[] if sdk.in_process else [pytest.mark.live]) for sdk in HERE if fits(sdk)
    ]
    return pytest.mark.parametrize("sdk", params, indirect=True)


def skip(reason: str) -> None:
    """Pass over a test, unless nothing may be passed over."""
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{REQUIRED}=required, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node() -> Iterator[in_node.Node]:
    """The process that runs the SDKs for Node."""
    if (reason := in_node.missing()) is not None:
        skip(reason)
    with in_node.running() as process:
        yield process


@pytest.fixture
def sdk(request: pytest.FixtureRequest) -> Sdk:
    """An SDK, of those that `sdks` names."""
    made: Sdk = request.param
    if isinstance(made, in_node.NodeSdk):
        made.node = request.getfixturevalue("node")
    return made


@dataclass(frozen=True, slots=True)
class Reached:
    """An SDK that reaches a fake.

    Attributes:
        sdk: The SDK.
        fake: The fake: that of the fixture where the SDK runs in process, else one on a port.
        base_url: Where the SDK finds it.
    """

    sdk: Sdk
    fake: FakeGateway
    base_url: str

    def chat(self, ask: Ask | None = None) -> Said:
        return self.sdk.chat(self.base_url, Ask() if ask is None else ask)


@pytest.fixture
def reached(request: pytest.FixtureRequest, sdk: Sdk) -> Iterator[Reached]:
    """Each SDK, and a fake it reaches: through the fixture if it can be, else on a port that does not wait."""
    if sdk.in_process:
        yield Reached(sdk, request.getfixturevalue("portkey_fake"), "https://api.portkey.ai/v1")
        return
    fake = FakeGateway()
    with ExitStack() as stack:
        server = stack.enter_context(fake.serve(time_scale=0))
        yield Reached(sdk, fake, server.url)
