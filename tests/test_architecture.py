"""Imports run one way: the tables below are the architecture, and ARCHITECTURE.md tells them in words."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("portkey_client", "portkey_testing")

CLIENT_NOUNS: Final = ("_finish", "_gateway", "_version", "errors", "types", "config", "headers")
"""What both packages speak of. Nouns know nouns only."""

CLIENT_SHELLS: Final = (
    "_exchange",
    "_chunks",
    "_drive",
    "_streams",
    "_event_streams",
    "_messages",
    "_chat",
    "_achat",
    "_client",
)
"""From the core outwards; each may use the ones before it. Every other module of the client is pure: it may use nouns
and pure modules."""

CLIENT_ROOTS: Final = frozenset({"httpx", "pydantic", "pydantic_core", "anyio", "certifi"})
"""What the client may import from outside: its two dependencies and what comes with them."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What some modules of `portkey_testing` may import of ours.

    Attributes:
        reason: Why.
        of: The modules; a name stands for the package below it too.
        but_not: Those among them that the rule does not speak of.
        may: What they may import, likewise; None is anything that `may_not` leaves.
        may_not: What they may not.
    """

    reason: str
    of: tuple[str, ...]
    but_not: tuple[str, ...] = ()
    may: tuple[str, ...] | None = None
    may_not: tuple[str, ...] = ()


NOUNS: Final = tuple(f"portkey_client.{name}" for name in CLIENT_NOUNS)
CHECKING: Final = ("portkey_client._sse", "portkey_client._accumulate")
"""The client's reading of a stream, which may check what a test or a cassette holds."""

RULES: Final = (
    Rule(
        "the vocabulary of the fake knows nobody",
        of=("portkey_testing.timeline", "portkey_testing.failures", "portkey_testing.faults"),
        may=(),
    ),
    Rule(
        "mounts know the timeline and the clock, never what answers",
        of=("portkey_testing.mounts",),
        may=(
            "portkey_client._clock",
            "portkey_testing._patching",
            "portkey_testing._playback",
            "portkey_testing.failures",
            "portkey_testing.faults",
            "portkey_testing.guard",
            "portkey_testing.mounts",
            "portkey_testing.timeline",
        ),
    ),
    Rule(
        "a recording needs no scripted gateway and no mount",
        of=("portkey_testing.cassettes",),
        may=(
            *NOUNS,
            *CHECKING,
            "portkey_client._clock",
            "portkey_testing.cassettes",
            "portkey_testing.failures",
            "portkey_testing.faults",
            "portkey_testing.timeline",
        ),
    ),
    Rule(
        "the fake's streams are written without the client's reading of them: both could be wrong in the same way",
        of=("portkey_testing._encode", "portkey_testing._synth", "portkey_testing._dialects"),
        may_not=("portkey_client",),
    ),
    Rule(
        "what answers knows neither how it is reached nor recordings",
        of=tuple(
            f"portkey_testing.{name}"
            for name in ("_engine", "_upstream", "_visit", "_draws", "_routing", "_policy", "_mapping", "_dialects")
        ),
        may_not=(
            "portkey_testing._playback",
            "portkey_testing.cassettes",
            "portkey_testing.clock",
            "portkey_testing.gateway",
            "portkey_testing.guard",
            "portkey_testing.mounts",
        ),
    ),
    Rule(
        "the fake shares the client's vocabulary, not its grammar",
        of=("portkey_testing",),
        but_not=("portkey_testing._cli.demo",),  # an application, which uses the client as any other does
        may=(*NOUNS, *CHECKING, "portkey_client._clock", "portkey_testing"),
    ),
    Rule(
        "only what holds a stream in its hands may check it with the client's reading",
        of=tuple(f"portkey_testing.{name}" for name in ("_engine", "_playback", "mounts", "plugin", "gateway")),
        may_not=CHECKING,
    ),
)


def _modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES: Final = _modules()


def imports(name: str, *, deferred: bool) -> set[str]:
    """The modules that a module imports, without those for type checkers; `deferred` adds those within functions."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return {
        module
        for statement in _statements(ast.parse(path.read_text("utf-8")), deferred=deferred)
        for module in _imported(statement, package)
    }


def _statements(tree: ast.AST, *, deferred: bool) -> Iterator[ast.stmt]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for branch in node.orelse:
                yield branch
                yield from _statements(branch, deferred=deferred)
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not deferred:
            continue
        if isinstance(node, ast.stmt):
            yield node
        yield from _statements(node, deferred=deferred)


def _imported(statement: ast.stmt, package: str) -> Iterator[str]:
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        source = resolve_name("." * statement.level + (statement.module or ""), package)
        for alias in statement.names:
            # `from package import module` is an import of the module.
            full = f"{source}.{alias.name}"
            yield full if full in MODULES else source


def _is_within(name: str, places: Sequence[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def _ours(names: set[str]) -> set[str]:
    return {name for name in names if _is_within(name, PACKAGES)}


def test_there_is_no_import_cycle() -> None:
    """The imports that run when a module is loaded form no cycle, so each module can be read and loaded alone."""
    graph = {name: _ours(imports(name, deferred=False)) for name in MODULES}

    order = list(TopologicalSorter(graph).static_order())

    assert set(MODULES) == set(order)


def test_the_client_never_imports_the_test_tools() -> None:
    """What ships in production does not know the package that tests it, not even within a function."""
    assert {} == {
        name: found
        for name in MODULES
        if _is_within(name, ["portkey_client"])
        and (found := {other for other in imports(name, deferred=True) if _is_within(other, ["portkey_testing"])})
    }


def test_the_client_depends_on_httpx_and_pydantic_only() -> None:
    """Nothing else is imported from outside, not even within a function."""
    outside = {
        f"{name} imports {other}"
        for name in MODULES
        if _is_within(name, ["portkey_client"])
        for other in imports(name, deferred=True)
        if (root := other.partition(".")[0]) not in sys.stdlib_module_names
        and root not in CLIENT_ROOTS | {"portkey_client"}
    }

    assert set() == outside


def _rank(name: str) -> int:
    """Nouns, pure modules, then the shells one by one."""
    short = name.removeprefix("portkey_client.")
    if short == "portkey_client":
        return len(CLIENT_SHELLS) + 2
    if short in CLIENT_NOUNS:
        return 0
    return CLIENT_SHELLS.index(short) + 2 if short in CLIENT_SHELLS else 1


def test_the_client_runs_from_nouns_to_shells() -> None:
    """A noun imports nouns, a pure module nouns and pure ones, a shell whatever lies within it."""
    wrong = {
        f"{name} imports {other}"
        for name in MODULES
        if _is_within(name, ["portkey_client"])
        for other in _ours(imports(name, deferred=False))
        if _rank(other) > _rank(name)
    }

    assert set() == wrong


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_the_fake_keeps_its_import_table(rule: Rule) -> None:
    """Each rule of the table holds, also for imports within functions."""
    judged = [name for name in MODULES if _is_within(name, rule.of) and not _is_within(name, rule.but_not)]
    wrong = {
        f"{name} imports {other}"
        for name in judged
        for other in _ours(imports(name, deferred=True))
        if _is_within(other, rule.may_not) or (rule.may is not None and not _is_within(other, rule.may))
    }

    assert judged, "the rule speaks of modules that do not exist"
    assert set() == wrong, rule.reason


LOADED = """
import sys
before = set(sys.modules)
{statement}
print(" ".join({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def _loaded_by(statement: str) -> set[str]:
    """Roots of what a statement loads in a fresh interpreter."""
    command = [sys.executable, "-c", LOADED.format(statement=statement)]
    return set(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split())


LOADS: Final[Mapping[str, str]] = {
    "portkey_testing": "pass",
    "portkey_testing.failures": "pass",
    "portkey_testing.plugin": "import pytest",
    "portkey_client": "import httpx, pydantic; pydantic.create_model('Model', field=(int, 1))",
}
"""What importing a module may load beside the standard library and its own package: what this statement loads."""

HEAVY: Final = frozenset({"asyncio", "ssl", "http", "urllib", "email", "json", "socket", "inspect"})
"""Parts of the standard library that cost a pytest run without the fixture more than they are worth."""


@pytest.mark.parametrize("module", LOADS)
def test_importing_a_module_loads_nothing_else(module: str) -> None:
    """Importing the client loads its two dependencies; importing the test tools or their plugin loads nothing."""
    loaded = _loaded_by(f"import {module}") - _loaded_by(LOADS[module]) - sys.stdlib_module_names

    # A name with a leading underscore is a part of Python's own build, such as the platform's _sysconfigdata.
    assert {module.partition(".")[0]} == {root for root in loaded if not root.startswith("_")}


def test_the_test_tools_load_no_heavy_standard_modules() -> None:
    """`import portkey_testing` costs every pytest run of everyone who has it installed: next to nothing."""
    assert set() == _loaded_by("import portkey_testing") & HEAVY
