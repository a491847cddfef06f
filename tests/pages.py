"""Markdown pages as test modules: the Python blocks of a page, one after the other, are one module with its tests.

What stands outside of functions runs when the page is collected, with a fake gateway mounted. A comment before a block
scripts it, unseen by readers of the site, with the names of `portkey_testing`:

    <!-- fake.reply("Sunny") -->

What a block prints must stand below the print, each line after `#> `. A block with a title (```python title="...") is
not run here: the title is the name of a file, which is tested as that, or begins with "Not run" and says why.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = (
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)

_BLOCK: Final = re.compile(
    r"(?:^<!-- (?P<script>fake\..*?) -->\n\n?)?"
    r"^(?P<fence>```+)(?P<language>\w+)(?: title=\"(?P<title>[^\"]*)\")?\n(?P<code>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_PRINTED: Final = re.compile(r"^\s*#>(?: (.*))?\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The file.
        line: The number of its first line of code.
        language: Such as `python`.
        title: What the site shows above it; empty if nothing.
        code: What is in it.
        script: What the fake is told before it runs; empty if nothing.
    """

    page: Path
    line: int
    language: str
    title: str
    code: str
    script: str

    @property
    def printed(self) -> str:
        """What it claims to print."""
        return "".join(f"{line}\n" for line in _PRINTED.findall(self.code))


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The blocks of a page in these languages, from top to bottom."""
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        if match["language"] in languages:
            line = text.count("\n", 0, match.start("code")) + 1
            yield Block(page, line, match["language"], match["title"] or "", match["code"], match["script"] or "")


def module_of(page: Path) -> ModuleType:
    """Run the Python blocks of a page, and return the module they make up."""
    import portkey_testing

    module = ModuleType(f"{page.stem}_page")
    sys.modules[module.__name__] = module  # dataclasses and models look up their annotations there
    fake = portkey_testing.FakeGateway()
    known = {name: getattr(portkey_testing, name) for name in portkey_testing.__all__} | {"fake": fake}
    with fake.mounted(), chdir(ROOT):
        for block in blocks(page, "python"):
            if block.title:
                continue
            exec(block.script, known)  # noqa: S102  # it is our own text
            # The empty lines make tracebacks point into the page.
            code = compile("\n" * (block.line - 1) + block.code, page, "exec")
            with redirect_stdout(StringIO()) as out:
                exec(code, vars(module))  # noqa: S102  # likewise
            fake.verify()
            claimed, printed = block.printed, out.getvalue()
            assert claimed == printed, f"{page}:{block.line}: claims to print {claimed!r}, prints {printed!r}"
    return module


class Page(pytest.Module):
    """A page whose tests pytest runs as those of any module."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        self.obj = module_of(self.path)
        yield from super().collect()
