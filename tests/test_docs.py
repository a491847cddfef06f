"""The documentation says what is so: its blocks run (see `tests.pages`), and what repeats the code agrees with it."""

from __future__ import annotations

import inspect
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml
from click.testing import CliRunner

import portkey_client
from portkey_client import errors, headers
from portkey_testing import FakeGateway, ScenarioError, UnscriptedRequest, UnusedReplies, replies
from portkey_testing._cli.commands import portkey_testing
from portkey_testing.cassettes import MODES, load_cassette
from portkey_testing.chaos import PROVIDER_ERRORS
from portkey_testing.faults import CATALOGUE, DAMAGES
from portkey_testing.matching import Conditions
from tests.live.steps import parse_script
from tests.pages import PAGES, ROOT, Block, blocks, module_of

DOCS: Final = ROOT / "docs"
COOKBOOK: Final = ROOT / "examples" / "cookbook"
BUILD: Final[dict[str, Any]] = runpy.run_path(str(ROOT / "scripts" / "_docs.py"))

NOT_RUN: Final = {
    ("cassettes.md", "Not run: it records from a live gateway"),
    ("live.md", "Not run: it needs Node.js and an installed gateway"),
}
"""Every Python block that is shown and not run; a new one needs a reason that convinces a reviewer."""


def text_of(page: str) -> str:
    """A page of the documentation as it is written."""
    return (DOCS / page).read_text(encoding="utf-8")


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages."""
    return [block for page in PAGES for block in blocks(page, *languages)]


# What repeats the code or the tree


@pytest.mark.parametrize("page", BUILD["PAGES"], ids=lambda page: page.name)
def test_tables_made_from_the_code_are_up_to_date(page: Path) -> None:
    """As `scripts/docs --write` writes them."""
    text = page.read_text(encoding="utf-8")

    assert BUILD["with_tables"](text) == text, f"{page.name} lags behind the code: run scripts/docs --write"


def test_every_module_says_what_it_is() -> None:
    """So that the map of the modules has no gap."""
    table = BUILD["module_table"]()

    assert table.count("\n") > 100
    assert [] == [row for row in table.splitlines() if row.endswith("|  |")]


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_a_module_that_is_named_is_there(page: str) -> None:
    """By its path, or by the name alone."""
    named = set(re.findall(r"[\w/]+\.py\b", (ROOT / page).read_text(encoding="utf-8")))
    files = [
        str(file.relative_to(ROOT))
        for folder in ("portkey_*", "tests", "scripts", "examples")
        for file in [*(found for top in ROOT.glob(folder) for found in top.rglob("*.py"))]
    ]

    assert named
    assert [] == [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)]


def test_the_map_has_every_folder() -> None:
    """Those of the project, and those of the tests, which are many."""
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    folders = [file.parent for file in (ROOT / "tests").glob("[a-z]*/*") if file.is_file()]
    folders += [ROOT / name for name in ("benchmarks", "cassettes", "docs", "examples", "scripts", "tests")]

    assert len(set(folders)) > 10
    assert [] == [folder for folder in folders if f"`{folder.name}/" not in page]


def test_every_script_is_listed() -> None:
    """Each command that a contributor may call."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    scripts = [file.name for file in (ROOT / "scripts").iterdir() if not file.name.startswith("_")]

    assert [] == [name for name in scripts if f"`scripts/{name}`" not in page]


# What is shown runs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_goes_unseen(page: Path) -> None:
    """Every fence of a page opens or closes a block that has a language."""
    fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert len(fences) == 2 * len(list(blocks(page, "diff", "ini", "python", "sh", "text", "yaml")))


def test_a_python_block_that_is_not_run_says_why() -> None:
    """It is one of few, or shows a file that is tested where it is."""
    titled = {(block.page.name, block.title) for block in all_blocks("python") if block.title}
    files = {(page, title) for page, title in titled if title.endswith(".py")}

    assert titled - files == NOT_RUN
    assert {page for page, _ in files} == {"cookbook.md", "index.md"}


ASKING: Final = """
from portkey_client import Portkey
messages = [{"role": "user", "content": "Weather?"}]
"""
ASKED: Final = """
answer = Portkey(api_key="k", provider="openai").chat.completions.create(model="gpt-4o", messages=messages)
print(answer.choices[0].message.content)
"""


def page_of(folder: Path, script: str, *codes: str) -> Path:
    """A page with these blocks, and a script before the last one."""
    *first, last = (f"```python\n{code}```\n" for code in codes)
    page = folder / "shown.md"
    page.write_text("\n".join([*first, script, last]), encoding="utf-8")
    return page


def test_a_page_is_one_module_whose_calls_are_answered(tmp_path: Path) -> None:
    """Later blocks use what earlier ones define, and the comment before a block scripts the fake."""
    page = page_of(tmp_path, '<!-- fake.reply("Sunny") -->\n', ASKING, f"{ASKED}#> Sunny\n")

    assert module_of(page).answer.choices[0].message.content == "Sunny"


@pytest.mark.parametrize("claim", ["#> Rain\n", ""])
def test_a_block_that_prints_something_else_fails(claim: str, tmp_path: Path) -> None:
    """The page, its line and both texts are told."""
    page = page_of(tmp_path, '<!-- fake.reply("Sunny") -->\n', ASKING, ASKED + claim)

    with pytest.raises(AssertionError, match=r"shown\.md:\d+: claims to print .* prints 'Sunny\\n'"):
        module_of(page)


@pytest.mark.parametrize(
    ("script", "failure"),
    [("", UnscriptedRequest), ('<!-- fake.reply("Sunny", "never asked for") -->\n', UnusedReplies)],
)
def test_a_block_is_held_to_its_script(script: str, failure: type[BaseException], tmp_path: Path) -> None:
    """As a test would be."""
    with pytest.raises(failure):
        module_of(page_of(tmp_path, script, ASKING, f"{ASKED}#> Sunny\n"))


def test_the_cookbook_shows_every_recipe_as_it_is() -> None:
    """Each file of the recipes is shown, once, by including it."""
    shown = {block.title: block.code for block in blocks(DOCS / "cookbook.md", "python")}
    files = [str(file.relative_to(ROOT)) for file in COOKBOOK.glob("*.py") if file.name != "__init__.py"]

    assert {file: f'--8<-- "{file}"\n' for file in files} == shown


def test_every_recipe_is_tested() -> None:
    """Each application of the cookbook has tests beside it."""
    files = {file.name for file in COOKBOOK.glob("*.py")} - {"__init__.py"}
    tests = {name for name in files if name.startswith("test_")}

    assert files - tests == {name.removeprefix("test_") for name in tests}


class QuickStart:
    """The files of the quick start, in a folder of their own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.files: dict[str, str] = {}
        for block in blocks(DOCS / "index.md", "python"):
            self.files[block.title] = self.files.get(block.title, "") + block.code

    def run(self) -> pytest.RunResult:
        """Run pytest there."""
        for name, code in self.files.items():
            (self.pytester.path / name).write_text(code, encoding="utf-8")
        self.pytester.syspathinsert()
        return self.pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest")


def test_the_quick_start_works(pytester: pytest.Pytester) -> None:
    """Whoever copies its files has two tests that pass."""
    QuickStart(pytester).run().assert_outcomes(passed=2)


def test_the_quick_start_fails_as_it_says(pytester: pytest.Pytester) -> None:
    """Without the override its second test fails, and the report has what the page quotes."""
    start = QuickStart(pytester)
    start.files["weather.py"], removed = re.subn(r' *"override_params": .*\n', "", start.files["weather.py"])
    [quoted] = [block.code for block in blocks(DOCS / "index.md", "text")]

    result = start.run()

    assert removed == 1
    result.assert_outcomes(passed=1, failed=1)
    report = " ".join(str(result.stdout).split())
    for part in quoted.split("...\n"):
        assert " ".join(part.split()) in report


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=lambda block: f"{block.page.name}:{block.line}")
def test_a_file_that_is_shown_is_one(block: Block, tmp_path: Path) -> None:
    """A cassette, a scenario, or a script for the provider of the live tests: each is read as what it is."""
    file = tmp_path / "shown.yaml"
    file.write_text(block.code, encoding="utf-8")

    match block.code.split(":")[0]:
        case "portkey_cassette":
            assert load_cassette(file).interactions
        case "portkey_scenario":
            FakeGateway().load(file)
        case _:
            assert parse_script(yaml.safe_load(block.code))


# Commands


def shell_lines(program: str) -> Iterator[str]:
    """The commands of this program in all shell blocks, without their comments."""
    for block in all_blocks("sh"):
        for line in block.code.splitlines():
            if re.match(rf"(\$ )?{program}\b", line):
                yield line.removeprefix("$ ").partition("  #")[0].strip()


@pytest.mark.parametrize("line", [*shell_lines("portkey-testing")])
def test_a_command_that_is_shown_is_one(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its options are taken; one that ends by itself and needs nobody is run."""
    monkeypatch.chdir(ROOT)
    _, name, *arguments = shlex.split(line)
    command = portkey_testing.commands[name]

    command.make_context(name, list(arguments))
    if name in {"show", "check"}:
        done = CliRunner().invoke(portkey_testing, [name, *arguments])
        assert done.exit_code == 0, done.output


def test_a_drawing_is_what_the_command_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows what `show` prints of a cassette of this repository."""
    monkeypatch.chdir(ROOT)
    [drawn] = [block.code for block in blocks(DOCS / "cli.md", "text") if "·" in block.code]

    done = CliRunner().invoke(portkey_testing, ["show", drawn.split(" ")[0]])

    assert done.output == drawn


@pytest.mark.parametrize("line", [*shell_lines("scripts/[a-z]+")])
def test_a_script_that_is_shown_is_there(line: str) -> None:
    """With the options it is given, by its own account."""
    script, *arguments = shlex.split(line)
    said = (ROOT / script).read_text(encoding="utf-8")
    if script == "scripts/gateway":  # passes its options on
        said = (ROOT / "tests" / "live" / "__main__.py").read_text(encoding="utf-8")

    assert [] == [option for option in arguments if option.startswith("--") and option not in said]


@pytest.mark.parametrize("line", [*shell_lines("pytest")])
def test_a_test_run_that_is_shown_can_be_made(line: str, pytester: pytest.Pytester) -> None:
    """Its files are there, and its options are taken."""
    arguments = shlex.split(line)[1:]

    assert [] == [name for name in arguments if not name.startswith("-") and not (ROOT / name).exists()]
    pytester.parseconfig(*(option for option in arguments if option.startswith("-")))


def commands() -> Iterator[tuple[str, str]]:
    """Every command, with each of its options in its long form."""
    for name, command in portkey_testing.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield name, max(parameter.opts, key=len)


@pytest.mark.parametrize(("command", "option"), [*commands()])
def test_the_page_on_the_command_line_has_every_option(command: str, option: str) -> None:
    """Each command has a section or a line, and each option is in it."""
    page = text_of("cli.md")

    assert f"`{command} " in page or f"`{command}`" in page
    assert option in page or option in {"--output", "--header", "--help"}


def test_the_page_on_the_command_line_invents_nothing() -> None:
    """Each option it shows is one of some command."""
    known = {option for _, option in commands()} | {"--help"}

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text_of("cli.md"))) <= known


# The plugin


def test_the_page_on_the_plugin_has_every_option_and_ini_key(pytester: pytest.Pytester) -> None:
    """Those that `pytest --help` tells of, and no others."""
    page, said = text_of("plugin.md"), str(pytester.runpytest_inprocess("--help", "-p", "no:hypothesispytest").stdout)

    assert set(re.findall(r"--portkey-\w+", said)) == set(re.findall(r"--portkey-\w+", page))
    keys = set(re.findall(r"^ +(portkey_\w+) \(", said, re.MULTILINE))
    assert keys >= {"portkey_cassettes"}
    assert [] == [key for key in keys if f"| `{key}` |" not in page]


def test_the_page_on_the_plugin_has_every_fixture(pytester: pytest.Pytester) -> None:
    """Those that `pytest --fixtures` tells of."""
    said = str(pytester.runpytest_inprocess("--fixtures", "-p", "no:hypothesispytest").stdout)
    fixtures = set(re.findall(r"^(portkey_\w+)", said, re.MULTILINE))

    assert fixtures >= {"portkey_fake", "portkey_settings"}
    assert [] == [name for name in fixtures if f"`{name}`" not in text_of("plugin.md")]


def test_the_page_on_the_plugin_has_every_rule() -> None:
    """Each rule that `allow` takes stands beside what it loosens."""
    with pytest.raises(ValueError, match="no rule is called") as caught:
        FakeGateway().allow("no such rule")
    rules = str(caught.value).removesuffix(".").rpartition(": ")[2].split(", ")

    assert len(rules) >= 5
    assert [] == [rule for rule in rules if f"`{rule}`" not in text_of("plugin.md")]


# The client


def test_the_client_guide_has_the_table_of_headers() -> None:
    """Each keyword of the client's own table, with its header."""
    text = text_of("client.md")

    for option in headers.HEADER_OPTIONS.values():
        assert f"| `{option.keyword}` | {option.kind} | `{option.header}` |" in text


@pytest.mark.parametrize("method", [portkey_client.Portkey.__init__, portkey_client.AsyncPortkey.__init__])
def test_the_client_guide_has_every_argument_of_the_constructor(method: Any) -> None:
    """In the table of those that become no header."""
    names = [
        name
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]

    assert len(names) >= 5
    assert [] == [name for name in names if f"| `{name}` |" not in text_of("client.md")]


def test_the_migration_guide_has_every_option_without_effect() -> None:
    """Those that portkey_ai knows, and that are taken for its sake."""
    assert [] == [name for name in headers.UNUSED_OPTIONS if f"`{name}`" not in text_of("migration.md")]


def test_the_client_guide_has_every_method() -> None:
    """Of `chat.completions`."""
    methods = [name for name in vars(portkey_client.Completions) if not name.startswith("_")]

    assert [] == [name for name in methods if not re.search(rf"\b{name}\b", text_of("client.md"))]


def test_the_client_guide_has_every_error() -> None:
    """Each class that users may catch."""
    assert [] == [name for name in errors.__all__ if name != "APIError" and f"`{name}`" not in text_of("client.md")]


# The fake


def test_the_guide_to_failures_names_them_all() -> None:
    """Wire faults, damages and the errors that every provider has."""
    text = text_of("failures.md")

    assert [] == [name for name in (*CATALOGUE, *DAMAGES, *PROVIDER_ERRORS) if f"`{name}`" not in text]


def test_the_guide_to_scripting_names_every_condition() -> None:
    """As tests write them."""
    text = text_of("scripting.md")

    assert [] == [name for name in Conditions.__dataclass_fields__ if f"`{name}=" not in text]


def test_the_guide_to_scripting_names_every_reply_and_modifier() -> None:
    """What a test can say, and how it arrives."""
    text = text_of("scripting.md")
    functions = [name for name in portkey_testing_names() if callable(getattr(replies, name, None))]
    modifiers = [name for kind in (replies.Reply, replies.Answer) for name in vars(kind) if not name.startswith("_")]

    assert len(functions) >= 10
    assert [] == [name for name in functions if f"{name}(" not in text]
    assert [] == [
        name for name in modifiers if inspect.isfunction(getattr(replies.Answer, name)) and f".{name}(" not in text
    ]


def portkey_testing_names() -> list[str]:
    """What `portkey_testing` offers."""
    import portkey_testing as package

    return package.__all__


def test_the_guide_to_scripting_has_every_field_of_a_scenario(tmp_path: Path) -> None:
    """Those that a mistaken one is told of: of the file, and the kinds of replies."""
    told = []
    for number, content in enumerate(("nonsense: 1", "scripts: [{reply: [{nonsense: 1}]}]")):
        file = tmp_path / f"{number}.yaml"
        file.write_text(f"portkey_scenario: 1\n{content}\n", encoding="utf-8")
        with pytest.raises(ScenarioError, match="There are: ") as caught:
            FakeGateway().load(file)
        told += str(caught.value).removesuffix(".").rpartition("There are: ")[2].split(", ")

    assert {"scripts", "tool_call", "streamed"} <= set(told)
    assert [] == [field for field in told if not re.search(rf"`\.?{field}\b|{field}: ", text_of("scripting.md"))]


def test_the_guides_have_every_method_of_the_fake() -> None:
    """Whatever a test can ask of it is shown somewhere outside of the reference."""
    guides = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.parent.name != "reference")
    plumbing = {"respond", "mounted", "leftovers", "verify", "edition"}
    methods = [name for name in vars(FakeGateway) if not name.startswith("_") and name not in plumbing]

    assert len(methods) > 20
    assert [] == [name for name in methods if not re.search(rf"fake\.{name}\b", guides)]


def test_the_page_on_cassettes_has_every_record_mode() -> None:
    """In its table."""
    assert [] == [mode for mode in MODES if f"| `{mode}`" not in text_of("cassettes.md")]
