"""Builds the documentation as a site; run by scripts/docs.

The tables in docs/ and ARCHITECTURE.md that repeat what the code knows are made here from the code: `--write` brings
them up to date, and a test compares them.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import portkey_client
import portkey_testing
from portkey_client.headers import HEADER_OPTIONS
from portkey_testing import cassettes

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md")))
PACKAGES = ("portkey_client", "portkey_testing")
SITE = ROOT / "build" / "site"
UNDOCUMENTED = {"__version__"}  # a public name that needs no place in the reference


def main() -> int:
    """Do what the command line asks for; 0 when all is well."""
    parser = argparse.ArgumentParser(description="Build the documentation as a site, strictly.")
    parser.add_argument("--serve", action="store_true", help="show it while it is being written")
    parser.add_argument("--write", action="store_true", help="only bring the tables made from the code up to date")
    options = parser.parse_args()

    if options.write:
        write_tables()
        return 0
    # Not --quiet: a warning that is not logged is not counted either, and would not fail the build.
    command = ["serve"] if options.serve else ["build", "--strict", "--clean"]
    # The theme's notice about the next major version of mkdocs, which is not the one that is pinned.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "true"}
    status = subprocess.run([sys.executable, "-m", "mkdocs", *command], cwd=ROOT, env=environment, check=False)
    if status.returncode != 0 or options.serve:
        return status.returncode
    missing = sorted(set(public_names()) - set(inventory(SITE / "objects.inv")))
    if missing:
        print(f"docs: docs/reference/ has no place for {', '.join(missing)}", file=sys.stderr)
        return 1
    print(f"docs: {SITE.relative_to(ROOT)}/index.html")
    return 0


def write_tables() -> None:
    """Put the tables into the pages that show them."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (updated := with_tables(text)) != text:
            page.write_text(updated, encoding="utf-8")


def with_tables(text: str) -> str:
    """A page with its tables as the code has them."""

    def table(match: re.Match[str]) -> str:
        return f"{match['head']}\n\n{TABLES[match['name']]()}\n{match['end']}"

    return re.sub(
        r"(?P<head><!-- table (?P<name>\w+), made by scripts/docs --write -->).*?(?P<end><!-- end of table -->)",
        table,
        text,
        flags=re.DOTALL,
    )


def header_table() -> str:
    """Every keyword of the client that becomes a request header."""
    head = ["| keyword | takes | header | meaning |", "|---|---|---|---|"]
    rows = [
        f"| `{each.keyword}` | {each.kind} | `{each.header}` | {each.meaning} |" for each in HEADER_OPTIONS.values()
    ]
    return "\n".join([*head, *rows, ""])


def module_table() -> str:
    """Every module, with the first line of its docstring."""
    rows = ["| module | what it is |", "|---|---|"]
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            purpose = docstring.split("\n")[0].replace("|", "\\|")
            rows.append(f"| `{file.relative_to(ROOT)}` | {purpose} |")
    return "\n".join([*rows, ""])


TABLES = {"headers": header_table, "modules": module_table}


def public_names() -> Iterator[str]:
    """Everything that `import *` gives."""
    for package in (portkey_client, portkey_testing, cassettes):
        yield from (f"{package.__name__}.{name}" for name in package.__all__ if name not in UNDOCUMENTED)


def inventory(file: Path) -> Iterator[str]:
    """The names a site documents, from the inventory it publishes (Sphinx's format, version 2)."""
    content = file.read_bytes().split(b"\n", 4)[4]
    for line in zlib.decompress(content).decode().splitlines():
        yield line.split(" ", 1)[0]


if __name__ == "__main__":
    sys.exit(main())
