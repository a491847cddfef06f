"""Makes one virtual environment match pyproject.toml, and does nothing when it does already.

Run by scripts/_setup with whatever Python there is, so only the standard library is used. pip reads its own
configuration (indexes, proxies, certificates) as always; nothing here names a place to download from.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DESCRIBING = ("pyproject.toml", "portkey_client/_version.py")  # what an installation is made from, relative to ROOT

Project = dict[str, Any]  # pyproject.toml, parsed


def main() -> int:
    """Bring the environment up to date; 0 when it is, 1 when it cannot be, with one line that says why."""
    parser = argparse.ArgumentParser(description="Make a virtual environment match pyproject.toml.")
    parser.add_argument("groups", nargs="*", help="dependency groups to install beside the testing extra")
    parser.add_argument("--venv", default=".venv", help="folder of the environment, relative to the project")
    parser.add_argument("--python", default=sys.executable, help="interpreter to make a missing environment with")
    parser.add_argument("--floor", action="store_true", help="the lowest versions of the dependencies, not the newest")
    parser.add_argument("--beside", metavar="VENV", help="see all of that environment, and install the groups alone")
    options = parser.parse_args()

    try:
        # The lock is for two terminals on a fresh clone: the second waits, and finds the work done. Beside the
        # environment, not within it, since that may be made anew.
        with (ROOT / f"{options.venv}.lock").open("w") as locked:
            fcntl.flock(locked, fcntl.LOCK_EX)
            beside = None if options.beside is None else ROOT / options.beside
            groups = set(options.groups)
            update(ROOT / options.venv, python=options.python, groups=groups, floor=options.floor, beside=beside)
    except SetupError as error:
        print(f"scripts: {error}", file=sys.stderr)
        return 1
    return 0


class SetupError(Exception):
    """The environment cannot be made; the text is one line for a person."""


def update(venv: Path, *, python: str, groups: set[str], floor: bool, beside: Path | None = None) -> None:
    """Create the environment where it is missing or broken, and install where the stamp of the last time differs.

    One beside another sees all of that, and has only its groups itself, in versions of its own: made in seconds.

    Raises:
        SetupError: venv or pip failed.
    """
    stamp = venv / "installed.txt"
    alive = (venv / "pyvenv.cfg").is_file() and os.access(venv / "bin" / "python", os.X_OK)
    held = _stamped(stamp, fingerprint(venv, floor=floor)) if alive else None
    if held is not None and groups <= held:
        return

    if not alive:
        print(f"scripts: making {venv.name} with {python}", file=sys.stderr)
        options = ["--clear"] if beside is None else ["--clear", "--without-pip"]
        _run([python, "-m", "venv", *options, str(venv)], log=None, what=f"python -m venv cannot make {venv.name}")
        if beside is not None:
            _see(venv, beside)

    groups |= held or set()  # what another script wanted before stays
    stamp.unlink(missing_ok=True)
    print(f"scripts: installing into {venv.name}; this takes a minute, once", file=sys.stderr)
    wanted = venv / "requirements.txt"
    wanted.write_text("\n".join(requirements(project(), groups=sorted(groups), floor=floor)) + "\n", encoding="utf-8")
    log = venv / "pip.log"
    inside = str(venv / "bin" / "python")
    pip = [inside, "-m", "pip"] if beside is None else [str(beside / "bin" / "python"), "-m", "pip", "--python", inside]
    ours = ["--editable", f"{ROOT}[testing]"] if beside is None else []
    _run(
        [*pip, "install", "--disable-pip-version-check", "--no-input", *ours, "--requirement", str(wanted)],
        log=log,
        what=f"pip cannot install what pyproject.toml asks for (no network? all pip said is in {log})",
    )
    stamp.write_text("\n".join([fingerprint(venv, floor=floor), *sorted(groups)]), encoding="utf-8")


def _see(venv: Path, other: Path) -> None:
    """Let an environment see what another has, after what it has itself."""
    (packages,) = venv.glob("lib/python*/site-packages")
    seen = other / packages.relative_to(venv)
    # The project is named too, since what the other's own .pth files add is not seen.
    (packages / "beside.pth").write_text(f"{seen}\n{ROOT}\n", encoding="utf-8")


def project() -> Project:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(project: Project, *, groups: list[str], floor: bool = False) -> list[str]:
    """What to install beside the project: the groups' pins; with `floor` also the project's lower bounds, as pins.

    A bound beats a group's pin of the same package, so that the oldest pytest can be tried without a second list.
    """
    lowest = floors(project) if floor else {}
    pins = [pin for group in groups for pin in _group(project, group) if _name(pin) not in lowest]
    return sorted({*pins, *(f"{name}=={version}" for name, version in lowest.items())})


def floors(project: Project) -> dict[str, str]:
    """The lower bound of each dependency of the project and of its `testing` extra, by normalised name.

    Raises:
        SetupError: a dependency states none.
    """
    found = {}
    metadata = project["project"]
    for requirement in [*metadata["dependencies"], *metadata["optional-dependencies"]["testing"]]:
        bound = re.search(r">=\s*([\w.]+)", requirement)
        if bound is None:
            message = f"pyproject.toml: {requirement!r} has no lower bound (NAME>=VERSION), so no floor can be tested"
            raise SetupError(message)
        found[_name(requirement)] = bound[1]
    return found


def fingerprint(venv: Path, *, floor: bool) -> str:
    """One hash of what the environment depends on: its interpreter, its place, and the files describing the project."""
    parts = [(venv / "pyvenv.cfg").read_bytes(), str(venv).encode(), str(floor).encode()]
    parts += [(ROOT / name).read_bytes() for name in DESCRIBING]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _stamped(stamp: Path, expected: str) -> set[str] | None:
    """The groups of the last installation, or None where there was none or it was of something else."""
    written, *groups = stamp.read_text(encoding="utf-8").split("\n") if stamp.is_file() else [""]
    return set(groups) if written == expected else None


def _group(project: Project, name: str) -> list[str]:
    pins = []
    for entry in project["dependency-groups"][name]:
        pins += [entry] if isinstance(entry, str) else _group(project, entry["include-group"])
    return pins


def _name(requirement: str) -> str:
    """The package of a requirement, as indexes spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def _run(command: list[str], *, log: Path | None, what: str) -> None:
    """Run a command silently; on failure say in one line what could not be done, and why by its own account."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if log is not None:
        log.write_text(done.stdout, encoding="utf-8")
    if done.returncode != 0:
        said = [line.strip() for line in done.stdout.splitlines() if line.strip()] or ["it said nothing"]
        # pip's first error is the cause, and what follows it the consequences.
        cause = next((line for line in said if re.match(r"(ERROR|\w*Error): ", line)), said[-1])
        raise SetupError(f"{what}: {cause}")


if __name__ == "__main__":
    sys.exit(main())
