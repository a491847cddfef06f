"""The command `portkey-testing`; `portkey-testing --help` tells what it does, docs/cli.md tells it at length."""

from __future__ import annotations

import codecs
import io
import json
import sys
from typing import Final

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as a shell has it."""

_PLAIN: Final = {"├": "|", "└": "`", "│": "|", "─": "-", "█": "#", "▒": "=", "·": ".", "…": "...", "→": "->"}
"""What stands for the signs of trees and time lines where there are none."""


def main() -> None:
    """Run the command, or say what is missing to run it."""
    try:
        status = _run()
    except ModuleNotFoundError as error:  # at the start, or when a command loads what it alone needs
        if error.name is None or error.name.startswith("portkey_"):
            raise
        print(  # noqa: T201  # a command prints
            f'portkey-testing needs {error.name}, which comes with: pip install "portkey-testing[testing]"',
            file=sys.stderr,
        )
        status = 2
    sys.exit(status)


def _run() -> int | None:
    import click

    from portkey_testing._cli.commands import portkey_testing

    _draw_plainly_where_needed()
    try:
        status: int | None = portkey_testing.main(prog_name="portkey-testing", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    return status


def _draw_plainly_where_needed() -> None:
    """Let a terminal or file of an old encoding get plain signs, rather than an error in place of all output."""
    codecs.register_error("portkey_testing.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="portkey_testing.plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    # Others are written as JSON escapes them, so that --json stays JSON.
    return "".join(_PLAIN.get(sign) or json.dumps(sign)[1:-1] for sign in unknown), error.end


if __name__ == "__main__":
    main()
