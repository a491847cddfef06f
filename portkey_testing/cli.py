"""The command `portkey-testing`; `portkey-testing --help` tells what it does, docs/cli.md tells it at length."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command, or say what is missing to run it."""
    try:
        from portkey_testing._cli.commands import portkey_testing
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("portkey_"):
            raise
        print(  # noqa: T201 - a command prints
            f'portkey-testing needs {error.name}, which comes with: pip install "portkey-testing[testing]"',
            file=sys.stderr,
        )
        sys.exit(2)
    portkey_testing(prog_name="portkey-testing")


if __name__ == "__main__":
    main()
