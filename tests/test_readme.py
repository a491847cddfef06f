"""The README keeps what it promises. Its Python blocks are tests of their own, see `tests.pages`."""

from __future__ import annotations

import re
from typing import Final

import pytest

import portkey_testing
from portkey_testing import FakeGateway, RefusedRequest
from tests.pages import ROOT, blocks, module_of

README: Final = ROOT / "README.md"
TEXT: Final = README.read_text(encoding="utf-8")

_ROW: Final = re.compile(r"^\| (?P<cell>`.+`) \| .+ \|$", re.MULTILINE)
_SCRIPTING: Final = TEXT.partition("## Scripting, in short")[2].partition("\n## ")[0]
CELLS: Final = [cell for row in _ROW.finditer(_SCRIPTING) for cell in row["cell"].strip("`").split("`, `")]


def test_it_is_short_and_every_block_runs() -> None:
    """Nobody reads a longer one, and nothing in it is shown only."""
    assert TEXT.count("\n") <= 250
    assert len(CELLS) >= 10
    assert [] == [block.title for block in blocks(README, "python") if block.title]


def test_the_failure_it_promises_comes_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the override the test fails, in the words that the README quotes."""
    [quoted] = [block.code for block in blocks(README, "text")]
    module = module_of(README)
    targets = [{"provider": provider, "api_key": "KEY"} for provider in ("openai", "anthropic")]
    config = {"strategy": {"mode": "fallback"}, "targets": targets}
    monkeypatch.setattr(module, "client", module.Portkey(api_key="PORTKEY_API_KEY", config=config))
    fake = FakeGateway()

    with fake.mounted(), pytest.raises(Exception, match="max_tokens: Field required"):
        module.test_falls_back_when_openai_is_rate_limited(fake)

    fake.allow("unused_replies")
    with pytest.raises(RefusedRequest) as caught:
        fake.verify()
    assert " ".join(quoted.split()) in " ".join(str(caught.value).split())


@pytest.mark.parametrize("cell", CELLS)
def test_what_the_table_says_can_be_written(cell: str, portkey_fake: FakeGateway) -> None:
    """Each entry of the table is an expression that works; the dots stand for a reply, and a modifier for one of it."""
    portkey_fake.allow("unused_replies")
    portkey_fake.always("Sunny")
    module_of(README).ask("Is there a call to look at?")
    expression = f'text("x"){cell}' if cell.startswith(".") else cell
    known = {name: getattr(portkey_testing, name) for name in portkey_testing.__all__} | {"portkey_fake": portkey_fake}

    eval(expression.replace("(...)", '("x")').replace("{...}", "{}"), known)  # noqa: S307  # it is our own text


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_a_local_link_leads_somewhere(page: str) -> None:
    """Every file and folder it links to is there; the links of docs/ are judged by scripts/docs."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))

    assert links or page != "README.md"
    assert [] == [link for link in links if not (ROOT / link).exists()]
