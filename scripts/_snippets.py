"""Writes the Python blocks of README and docs to build/snippets/, for the type checkers; run by scripts/check.

A page becomes one module whose blocks stand in the lines they have on the page, so what a checker complains of is found
there. A block with the name of a file as its title belongs to a module of that name; the recipes of the cookbook are
files of the repository, which are checked as such.
"""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

# Readers take single blocks, so each imports what it needs. It stands in line 1, where a page has its title.
HEAD: Final = "# pyright: reportDuplicateImport=false"

ROOT: Final = Path(__file__).resolve().parent.parent
SNIPPETS: Final = ROOT / "build" / "snippets"

sys.path.insert(0, str(ROOT))

from tests.pages import PAGES, blocks  # noqa: E402  # found by the line above: scripts are no package


def main() -> None:
    """Write the modules anew, so that none is left of a page that is gone."""
    shutil.rmtree(SNIPPETS, ignore_errors=True)
    SNIPPETS.mkdir(parents=True)
    for page in PAGES:
        modules: defaultdict[str, list[str]] = defaultdict(lambda: [HEAD])
        for block in blocks(page, "python"):
            if "--8<--" in block.code:
                continue
            named = block.title if block.title.endswith(".py") else f"{page.stem}_md.py"
            lines = modules[named]
            lines += [""] * (block.line - 1 - len(lines)) + block.code.splitlines()
        for name, lines in modules.items():
            (SNIPPETS / name).write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
