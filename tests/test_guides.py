"""What the guides show is run: the Python blocks of each, one after the other, as one module with tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from portkey_testing import FakeGateway
from portkey_testing.chaos import PROVIDER_ERRORS
from portkey_testing.faults import CATALOGUE, DAMAGES
from portkey_testing.matching import Conditions

DOCS: Final = Path(__file__).parent.parent / "docs"
GUIDES: Final = ("scripting", "failures", "streaming", "time")
_BLOCK: Final = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(guide: str) -> str:
    """A guide as it is written."""
    return (DOCS / f"{guide}.md").read_text(encoding="utf-8")


def _tests() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for guide in GUIDES:
        module: dict[str, Any] = {"__name__": f"docs_{guide}"}
        text = text_of(guide)
        for block in _BLOCK.finditer(text):
            # The empty lines make tracebacks point into the guide.
            code = "\n" * text.count("\n", 0, block.start(1)) + block[1]
            exec(compile(code, DOCS / f"{guide}.md", "exec"), module)  # noqa: S102  # it is our own text
        found |= {f"{guide}: {name}": value for name, value in module.items() if name.startswith("test_")}
    return found


TESTS: Final = _tests()


@pytest.mark.parametrize("name", sorted(TESTS))
def test_a_test_of_a_guide_passes(name: str, portkey_fake: FakeGateway) -> None:
    """Each test that is shown passes as it stands; one that is parametrised, for each of its parameters."""
    test = TESTS[name]
    marks = getattr(test, "pytestmark", [])
    if not marks:
        test(portkey_fake)
    for parameter in marks[0].args[1] if marks else ():
        test(portkey_fake, *parameter.values)


def test_every_guide_shows_something() -> None:
    """Three tests at least, in each."""
    for guide in GUIDES:
        assert sum(name.startswith(guide) for name in TESTS) >= 3


def test_the_guide_to_failures_names_them_all() -> None:
    """Wire faults, damages and the errors that every provider has."""
    text = text_of("failures")

    for name in (*CATALOGUE, *DAMAGES, *PROVIDER_ERRORS):
        assert f"`{name}`" in text, name


def test_the_guide_to_scripting_names_every_condition() -> None:
    """As tests write them."""
    text = text_of("scripting")

    for name in Conditions.__dataclass_fields__:
        assert f"`{name}=" in text, name
