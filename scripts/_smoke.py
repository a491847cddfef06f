"""Builds the wheel and uses it as strangers would: in empty environments, away from the sources.

Run by scripts/smoke. Each step prints one line; the first that fails ends the run with what the program said.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
INSTALL_HINT = 'pip install "portkey-testing[testing]"'

# With the base install: the client, and nothing that only tests need.
CLIENT_ALONE = """
import sys
import portkey_client

portkey_client.Portkey(api_key="k").close()
loaded = {"portkey_testing", "respx", "yaml", "jsonschema", "pytest"} & set(sys.modules)
assert not loaded, f"the client imported {sorted(loaded)}"
"""
TESTING_WITHOUT_EXTRA = """
try:
    from portkey_testing import FakeGateway
    FakeGateway().mount().__enter__()
except ImportError as error:
    print(error)
else:
    raise SystemExit("the fake gateway works without the testing extra: then what is the extra for?")
"""
PYTEST_WITHOUT_EXTRA = """
def test_the_plugin_is_there(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("portkey_testing")
"""
FIXTURE_WITHOUT_EXTRA = """
def test_the_fixture(portkey_fake):
    pass
"""

# With the testing extra: the command, which needs nothing but what is installed
DEMO = ("-m", "portkey_testing.cli", "demo")

# ... the same first tests beside the plugins that many have
BESIDE = ("pytest-asyncio==1.5.0", "pytest-randomly==5.1.0")  # exact, as in pyproject.toml
ASYNCIO_TESTS = """
import asyncio

import pytest
from portkey_client import AsyncPortkey

CALL = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


async def ask():
    async with AsyncPortkey(api_key="k", provider="openai") as client:
        return (await client.chat.completions.create(**CALL)).choices[0].message.content


@pytest.mark.asyncio
async def test_answer(portkey_fake):
    portkey_fake.reply("hello")
    assert await ask() == "hello"


@pytest.mark.asyncio
async def test_swallowed(portkey_fake):
    await asyncio.gather(ask(), return_exceptions=True)


@pytest.mark.asyncio
async def test_unused(portkey_fake):
    portkey_fake.reply("hello")
"""

# ... and the first test that a newcomer writes, sync and async, streamed and not.
FIRST_TESTS = """
import asyncio

from portkey_client import AsyncPortkey, Portkey

CALL = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
CONFIG = {"provider": "openai", "api_key": "x"}


def test_answer(portkey_fake):
    portkey_fake.provider("openai").reply("hello")
    client = Portkey(api_key="k", config=CONFIG)
    assert client.chat.completions.create(**CALL).choices[0].message.content == "hello"


def test_stream(portkey_fake):
    portkey_fake.provider("openai").reply("hello there")
    client = Portkey(api_key="k", config=CONFIG)
    chunks = list(client.chat.completions.create(**CALL, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hello there"


def test_async_answer(portkey_fake):
    async def ask():
        async with AsyncPortkey(api_key="k", config=CONFIG) as client:
            return await client.chat.completions.create(**CALL)

    portkey_fake.provider("openai").reply("hello")
    assert asyncio.run(ask()).choices[0].message.content == "hello"
"""
UNSCRIPTED = """
from portkey_client import Portkey


def test_nobody_answers(portkey_fake):
    client = Portkey(api_key="k", config={"provider": "openai", "api_key": "x"})
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment and an empty folder to work in.

    Attributes:
        folder: Holds the environment in `venv`; programs run in `work`, where nothing of the project can be seen.
    """

    folder: Path

    def pip(self, *requirements: str) -> None:
        """Install, as a user does."""
        self.run("-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)

    def run(self, *arguments: str, status: int = 0, says: str = "") -> None:
        """Run this environment's Python; end the smoke test unless it exits with `status` and prints `says`."""
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
        done = subprocess.run(
            [str(self.folder / "venv" / "bin" / "python"), *arguments],
            cwd=work,
            env=outside,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != status or says not in done.stdout:
            print(done.stdout)
            fail(f"expected exit {status} and {says!r}, got exit {done.returncode}")

    def pytest(self, source: str, *options: str, status: int = 0, says: str = "") -> None:
        """Run one test file, warnings being errors."""
        test = self.folder / "test_smoke.py"
        test.write_text(source, encoding="utf-8")
        self.run("-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *options, str(test), status=status, says=says)


def main() -> None:
    """Build, look into the wheel, then try both installs."""
    with tempfile.TemporaryDirectory(prefix="portkey-smoke-") as name:
        folder = Path(name)
        wheel = build(folder / "dist")
        check_files(wheel)
        check_base_install(environment(folder / "base"), wheel)
        check_testing_install(environment(folder / "testing"), wheel)
    print("smoke: the wheel works")


def build(folder: Path) -> Path:
    """The wheel, made from the source distribution, so that both are known to be complete."""
    step("build the source distribution, and the wheel from it")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout)
        fail("python -m build failed")
    [wheel] = folder.glob("*.whl")
    return wheel


def check_files(wheel: Path) -> None:
    """The two packages complete, the licence, and nothing else."""
    step(f"files of {wheel.name}")
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {name for name in names if ".dist-info/" not in name}
    packages = ("portkey_client", "portkey_testing")
    sources = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if shipped != sources:
        fail(f"not shipped: {sorted(sources - shipped)}, shipped by mistake: {sorted(shipped - sources)}")
    for wanted in (*(f"{package}/py.typed" for package in packages), "entry_points.txt", "LICENSE", "METADATA"):
        if not any(name.endswith(wanted) for name in names):
            fail(f"{wanted} is missing")
    (described,) = (name for name in names if name.endswith("METADATA"))
    if "](" in zipfile.ZipFile(wheel).read(described).decode():
        fail("the description that a package index shows has links, and it knows no place of ours")


def environment(folder: Path) -> Environment:
    """An empty environment of the interpreter that runs this."""
    folder.mkdir()
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    return Environment(folder)


def check_base_install(base: Environment, wheel: Path) -> None:
    """The client works without the extra, pytest starts without it, and whoever needs it is told so."""
    base.pip(str(wheel))
    step("base install: the client works alone")
    base.run("-W", "error", "-c", CLIENT_ALONE)
    step("base install: the fake gateway and the command say what to install")
    base.run("-W", "error", "-c", TESTING_WITHOUT_EXTRA, says=INSTALL_HINT)
    base.run("-W", "error", *DEMO, status=2, says=INSTALL_HINT)

    base.pip("pytest")
    step("base install beside pytest: pytest runs, with the plugin registered")
    base.pytest(PYTEST_WITHOUT_EXTRA, says="1 passed")
    step("base install beside pytest: the fixture says what to install")
    base.pytest(FIXTURE_WITHOUT_EXTRA, status=1, says=INSTALL_HINT)


def check_testing_install(testing: Environment, wheel: Path) -> None:
    """With the extra the first tests pass, and a test that scripted nothing fails."""
    testing.pip(f"{wheel}[testing]")
    step("testing install: a newcomer's first tests pass")
    testing.pytest(FIRST_TESTS, says="3 passed")
    step("testing install: an unscripted request fails the test")
    testing.pytest(UNSCRIPTED, status=1, says="1 failed")
    step("testing install: the demo runs from the wheel alone")
    testing.run("-W", "error", *DEMO, says="Virtual time: 2.20 s")

    testing.pip(*BESIDE)
    step("testing install beside pytest-asyncio and pytest-randomly: failures are told all the same")
    scope = "asyncio_default_fixture_loop_scope=function"  # pytest-asyncio wants to be told
    testing.pytest(ASYNCIO_TESTS, "-o", scope, status=1, says="2 failed, 1 passed")


def step(what: str) -> None:
    """Say what is tried next."""
    print(f"smoke: {what}", flush=True)


def fail(why: str) -> NoReturn:
    """End with one line and a failure."""
    sys.exit(f"smoke: FAILED: {why}")


if __name__ == "__main__":
    main()
