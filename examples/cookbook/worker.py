"""A program of its own: it answers the questions on its standard input, and is configured by its environment."""

from __future__ import annotations

import sys

from portkey_client import Portkey, PortkeyError


def main() -> int:
    """0 when every question was answered."""
    failed = 0
    # The variables PORTKEY_API_KEY and PORTKEY_PROXY say who we are, and where the gateway is.
    with Portkey(provider="openai", Authorization="OPENAI_KEY") as client:
        for line in sys.stdin:
            messages = [{"role": "user", "content": line.strip()}]
            try:
                print(client.chat.completions.create(model="gpt-4o", messages=messages).choices[0].message.content)
            except PortkeyError as error:
                failed = 1
                print(f"{line.strip()}: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
