"""What the README shows is run: its Python blocks, one after the other, as one module with tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

import portkey_testing
from portkey_testing import FakeGateway, RefusedRequest

README: Final = Path(__file__).parent.parent / "README.md"
TEXT: Final = README.read_text("utf-8")

_BLOCK: Final = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_ROW: Final = re.compile(r"^\| (?P<cell>`.+`) \| .+ \|$", re.MULTILINE)


def _blocks(language: str) -> Iterator[tuple[int, str]]:
    """The line before each block, and what is in it."""
    for block in _BLOCK.finditer(TEXT):
        if block["language"] == language:
            yield TEXT.count("\n", 0, block.start("code")), block["code"]


def _module() -> ModuleType:
    module = ModuleType("readme")
    for line, code in _blocks("python"):
        # The empty lines make tracebacks point into the README.
        exec(compile("\n" * line + code, README, "exec"), vars(module))  # noqa: S102 - it is our own text
    return module


MODULE: Final = _module()
TESTS: Final[dict[str, Callable[[FakeGateway], None]]] = {
    name: value for name, value in vars(MODULE).items() if name.startswith("test_")
}
CELLS: Final = [cell for row in _ROW.finditer(TEXT) for cell in row["cell"].strip("`").split("`, `")]


def test_there_is_something_to_run() -> None:
    """The README has tests and a table of what can be scripted."""
    assert len(TESTS) >= 2
    assert len(CELLS) >= 10


@pytest.mark.parametrize("name", TESTS)
def test_a_test_of_the_readme_passes(name: str, portkey_fake: FakeGateway) -> None:
    """Each test it shows passes as it stands."""
    TESTS[name](portkey_fake)


def test_the_failure_it_promises_comes_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the override the test fails, in the words that the README quotes."""
    quoted = next(code for _, code in _blocks("text"))
    targets = [{"provider": provider, "api_key": "KEY"} for provider in ("openai", "anthropic")]
    config = {"strategy": {"mode": "fallback"}, "targets": targets}
    monkeypatch.setattr(MODULE, "client", MODULE.Portkey(api_key="PORTKEY_API_KEY", config=config))
    fake = FakeGateway()

    with fake.mounted(), pytest.raises(Exception, match="max_tokens: Field required"):
        TESTS["test_falls_back_when_openai_is_rate_limited"](fake)

    fake.allow("unused_replies")
    with pytest.raises(RefusedRequest) as caught:
        fake.verify()
    assert " ".join(quoted.split()) in " ".join(str(caught.value).split())


@pytest.mark.parametrize("cell", CELLS)
def test_what_the_table_says_can_be_written(cell: str, portkey_fake: FakeGateway) -> None:
    """Each entry of the table is an expression that works; the dots stand for a reply, and a modifier for one of it."""
    portkey_fake.allow("unused_replies")
    portkey_fake.always("Sunny")
    MODULE.ask("Is there a call to look at?")
    expression = f'text("x"){cell}' if cell.startswith(".") else cell
    known = {name: getattr(portkey_testing, name) for name in portkey_testing.__all__} | {"portkey_fake": portkey_fake}

    eval(expression.replace("(...)", '("x")').replace("{...}", "{}"), known)  # noqa: S307 - as above


def test_a_local_link_leads_somewhere() -> None:
    """Every file and folder it links to is there."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)

    assert links
    assert [] == [link for link in links if not (README.parent / link).exists()]
