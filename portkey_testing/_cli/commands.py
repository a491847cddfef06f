"""The commands and their options; what they do lies elsewhere.

Exit statuses, the same for every command:

    0   all is well
    1   something was found: a cassette with a fault, a difference, a recording that could not be written
    2   the command line is wrong, or a file or port it names cannot be used
    3   the gateway cannot be reached
    130 interrupted by Ctrl-C
    141 whatever reads the output has hung up

`record` ends with the status of its command instead, unless the recording failed.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import urlsplit

import click
import httpx

from portkey_client._version import VERSION
from portkey_testing._cli.terminal import fitted
from portkey_testing._wording import counted
from portkey_testing.cassettes import MODES, CassetteError, RecordedFailure, load_cassette, show
from portkey_testing.cassettes import check as checks
from portkey_testing.cassettes import verify as verification
from portkey_testing.cassettes.usage import last_used
from portkey_testing.scenario import ScenarioError

T = TypeVar("T")

FOUND: Final = 1
UNREACHABLE: Final = 3
HUNG_UP: Final = 141
"""As a shell reports a program that SIGPIPE has ended."""
_FOLDER: Final = Path("cassettes")
_PYTEST_CACHE: Final = Path(".pytest_cache", "d", "portkey")
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


def _url(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """The base URL an option gives; its `/v1` may be left out."""
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.BadParameter(f"expected a URL such as http://127.0.0.1:8787/v1, not {value!r}")
    return value if parts.path.strip("/") else f"{value.rstrip('/')}/v1"


_PORT: Final = click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; 0: any free one."
)
_HOST: Final = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
_MODE: Final = click.option(
    "--mode",
    type=click.Choice(MODES),
    default="once",
    show_default=True,
    help="What is recorded. once: all, if there is no FILE yet; new: what it lacks; all: everything, in place of what "
    "it has; rewrite: everything, and FILE starts anew; none: nothing.",
)
_EPILOG: Final = (
    "Exit status: 0 all is well, 1 something was found, 2 the command line or a file or port it names is wrong, "
    "3 the gateway cannot be reached, 130 interrupted, 141 the reader of the output hung up. `record` ends with the "
    "status of its command."
)
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="For programs.")


class _Commands(click.Group):
    """A group that guesses what a misspelt command was meant to be, as click does since 8.3 alone."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.commands, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(self.commands))}"
            ctx.fail(f"there is no command {args[0]!r}; {meant}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # As `| head` does it. What is still to be written at the end of the process would fail, too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(HUNG_UP) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(VERSION, package_name="portkey-testing")
@click.pass_context
def portkey_testing(ctx: click.Context) -> None:
    """A fake Portkey gateway on a port, and everything about cassettes. New here? Start with: portkey-testing demo."""
    ctx.color = _colour(os.environ)


def _colour(environment: Mapping[str, str]) -> bool | None:
    """Whether output is coloured: as https://no-color.org and FORCE_COLOR ask for, else on a terminal alone."""
    if environment.get("NO_COLOR"):
        return False
    return True if environment.get("FORCE_COLOR") else None


@portkey_testing.command("demo", short_help="Show what all this is about, offline, in a second.")
def demo_() -> None:
    """Show what all this is about: an agent that survives outages, and a recording replayed.

    It needs no network, no key and no file.
    """
    from portkey_testing._cli import demo

    demo.main()


@portkey_testing.command(short_help="Serve the fake on a real port.")
@click.argument("scenario", type=_FILE, required=False)
@click.option("--cassette", type=_FILE, metavar="FILE", help="Replay this cassette; with --record: record it.")
@click.option("--record", callback=_url, metavar="URL", help="Send requests on to this gateway, and record them.")
@_MODE
@_PORT
@_HOST
@click.option(
    "--time-scale", type=click.FloatRange(min=0), default=1.0, help="Scripted seconds take that many real ones."
)
def serve(
    *,
    scenario: Path | None,
    cassette: Path | None,
    record: str | None,
    mode: str,
    port: int,
    host: str,
    time_scale: float,
) -> None:
    """Serve the fake on a real port until Ctrl-C or SIGTERM.

    It answers from SCENARIO (a YAML file), from a cassette, or records one. A request that nothing answers gets an
    explained 400 that no SDK retries. /__portkey__/journal, /__portkey__/reset and /__portkey__/script are for test
    runners.
    """
    from portkey_testing._cli import running

    if scenario is not None and cassette is not None:
        raise click.UsageError("give a SCENARIO or --cassette, not both")
    if record is not None and cassette is None:
        raise click.UsageError("--record needs --cassette FILE, the file to record")
    with _explained():
        serving = (
            running.fake_running(scenario=scenario, cassette=cassette, host=host, port=port, time_scale=time_scale)
            if record is None or cassette is None
            else running.proxy_running(gateway=record, cassette=cassette, mode=mode, host=host, port=port)
        )
        # Whoever reads the line may stop us at once, so the signals are taken first.
        with serving as server, running.stoppable() as wait_for_stop:
            click.echo(f"portkey-testing: listening on {server.url}")
            wait_for_stop()


@portkey_testing.command(
    short_help="Run a program against a recording proxy.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--gateway", callback=_url, required=True, metavar="URL", help="Base URL of the real gateway.")
@click.option("-o", "--output", type=_FILE, required=True, metavar="FILE", help="The cassette.")
@_MODE
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def record(gateway: str, output: Path, mode: str, command: tuple[str, ...]) -> None:
    """Run COMMAND against a recording proxy in front of the real gateway.

    The base URLs of the usual SDKs (PORTKEY_BASE_URL, OPENAI_BASE_URL and the like) are set to the proxy; the
    credentials stay those of COMMAND, and its exit status becomes that of this command.
    """
    from portkey_testing._cli import running

    if shutil.which(command[0]) is None:
        _fail(f"cannot run {command[0]!r}: expected a program, by its path or from PATH", 2)
    with _explained():
        with running.proxy_running(gateway=gateway, cassette=output, mode=mode, host="127.0.0.1", port=0) as server:
            status = running.run_command(command, running.environment(server))
        _tell(f"portkey-testing: {_recorded(output)}")
    raise SystemExit(status)


def _recorded(path: Path) -> str:
    if not path.exists():
        return f"no request came, so there is no {path}"
    interactions = load_cassette(path).interactions
    told = f"{path} has {counted(len(interactions), 'interaction')}"
    if broken := sum(isinstance(interaction.response, RecordedFailure) for interaction in interactions):
        # Most often the gateway was not up, and a replay would fail for ever.
        told += f", {broken} of them without an answer: if that was not meant, delete the file and record it again"
    return told


@portkey_testing.command("show", short_help="Draw what a cassette holds.")
@click.argument("file", type=_FILE)
@click.option("--mermaid", is_flag=True, help="A sequence diagram for a pull request.")
@_JSON
def show_(file: Path, *, mermaid: bool, as_json: bool) -> None:
    """Draw what a cassette holds: each call as a tree with a time line."""
    with _explained():
        cassette = load_cassette(file)
    if mermaid and as_json:
        raise click.UsageError("give --mermaid or --json, not both")
    if mermaid:
        click.echo(show.mermaid(list(cassette.interactions)))
    elif as_json:
        told = [show.summary(interaction, number) for number, interaction in enumerate(cassette.interactions, 1)]
        header = {"recorded": cassette.header.recorded, "gateway": cassette.header.gateway}
        _echo_json({"file": str(file), **header, "interactions": told})
    else:
        about = ", ".join(filter(None, [cassette.header.recorded, cassette.header.gateway]))
        click.secho(f"{file}{f' ({about})' if about else ''}", bold=True)
        for number, interaction in enumerate(cassette.interactions, 1):
            click.echo()
            for line in show.lines(interaction, number):
                click.secho(fitted(line), **_painted(line))


@portkey_testing.command(short_help="Judge cassettes without sending anything.")
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1)
@click.option("--max-age", type=click.IntRange(min=0), metavar="DAYS", help="Warn of recordings older than that.")
@click.option("--unused", is_flag=True, help="Warn of what no test of the last pytest run played.")
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@_JSON
def check(paths: tuple[Path, ...], max_age: int | None, *, unused: bool, strict: bool, as_json: bool) -> None:
    """Judge cassettes (by default all in cassettes/): damage, secrets, drift from the client's models, age.

    Nothing is sent. Exit status 1 if there is an error; with --strict, a warning.
    """
    with _explained():
        files = [file for path in paths or (_FOLDER,) for file in checks.cassettes_in(path)]
    today = dt.datetime.now(dt.UTC).date()
    findings = [
        finding
        for file in _with_progress(files, "judging cassettes")
        for finding in checks.check(file, today=today, max_age_days=max_age)
    ]
    if unused:
        used = last_used(_PYTEST_CACHE)
        if used is None:
            raise click.UsageError(
                f"{_PYTEST_CACHE} tells of no run of all tests: run pytest here first, with its cache"
            )
        findings += checks.unused(files, used)
    if not files:
        _fail(f"no cassette (*.yaml) in {', '.join(map(str, paths or (_FOLDER,)))}: give files or other folders", 2)
    errors = [finding for finding in findings if strict or finding.level == "error"]
    if as_json:
        names = ("line", "level", "rule", "problem")
        told = [{"path": str(found.path), **{name: getattr(found, name) for name in names}} for found in findings]
        _echo_json({"files": len(files), "errors": len(errors), "findings": told})
    else:
        for finding in findings:
            click.secho(str(finding), fg="red" if finding.level == "error" else "yellow")
        counts = {"cassette": len(files), "error": len(errors), "warning": len(findings) - len(errors)}
        click.echo(", ".join(counted(count, what) for what, count in counts.items()))
    raise SystemExit(FOUND if errors else 0)


@portkey_testing.command(short_help="Send recorded requests again, and say who moved.")
@click.option("--gateway", callback=_url, required=True, metavar="URL", help="Base URL of the real gateway.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME:VALUE", help="Send this header too.")
@click.argument("file", type=_FILE)
@_JSON
def verify(gateway: str, headers: tuple[str, ...], file: Path, *, as_json: bool) -> None:
    """Send the recorded requests again, and say where the structure of the answers differs, and who moved.

    A cassette holds no credentials: PORTKEY_API_KEY and the providers' (OPENAI_API_KEY, ...) are taken from the
    environment, others from -H.
    """
    sent = {"x-portkey-api-key": key} if (key := os.environ.get("PORTKEY_API_KEY")) else {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon:
            raise click.UsageError(f"expected NAME:VALUE, not {header!r}")
        sent[name.strip().lower()] = value.strip()
    told = []
    with _explained(gateway):
        interactions = list(enumerate(load_cassette(file).interactions, 1))
        for number, interaction in _with_progress(interactions, "asking the gateway"):
            live = verification.send_again(interaction.request, gateway, sent, os.environ)
            told += [(number, found) for found in verification.compare(interaction.response, live.response)]
    if as_json:
        names = ("path", "cassette", "live", "models", "verdict")
        listed = [{"interaction": number, **{name: getattr(found, name) for name in names}} for number, found in told]
        _echo_json({"file": str(file), "differences": listed})
    else:
        for number, found in told:
            click.secho(f"{file}, interaction {number}: {found}", fg="yellow")
        click.echo(f"{file}: {counted(len(told), 'difference')}")
    raise SystemExit(FOUND if told else 0)


def _painted(line: str) -> dict[str, Any]:
    """How a line of a tree is shown: what an answer came to stands out."""
    if line.startswith("├─"):
        return {"fg": "green" if "ms  2" in line else "red"}
    if line.startswith("└─"):
        return {"fg": None if "  complete" in line else "red"}
    return {"dim": True} if line.startswith("│  ·") else {}


def _with_progress(items: Sequence[T], doing: str) -> Iterator[T]:
    """The items, with a bar on the terminal that goes on while they are worked on; where there is none, without."""
    if len(items) < 2 or not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(items, label=doing, file=sys.stderr) as bar:
        yield from bar


@contextmanager
def _explained(gateway: str = "") -> Generator[None]:
    """Say what went wrong in one line, and end with the status for it."""
    try:
        yield
    except BrokenPipeError:
        raise
    except CassetteError as error:
        _fail(str(error), FOUND if error.path is not None and Path(error.path).exists() else 2)
    except ScenarioError as error:
        _fail(str(error), 2)
    except httpx.TransportError as error:
        _fail(f"the gateway{gateway and f' at {gateway}'} cannot be reached: {error}", UNREACHABLE)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error), 2)


def _fail(text: str, status: int) -> NoReturn:
    _tell(f"portkey-testing: {text}", fg="red")
    raise SystemExit(status)


def _tell(text: str, **style: Any) -> None:
    click.secho(text, err=True, **style)


def _echo_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
