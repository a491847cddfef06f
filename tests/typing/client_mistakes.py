"""What type checkers must refuse: each comment names the error, and mypy fails where one is not needed.

Checked by mypy, never run.
"""

from __future__ import annotations

import httpx

from portkey_client import Config, Portkey, Strategy


def wrong(client: Portkey) -> None:
    """A mistake per line."""
    Portkey("PK")  # type: ignore[call-arg]  # keywords only
    Portkey(api_key=123)  # type: ignore[arg-type]
    Portkey(trace_idd="t")  # type: ignore[call-arg]  # a typo in a keyword
    Portkey(debug="yes")  # type: ignore[arg-type]
    Portkey(http_client=httpx.AsyncClient())  # type: ignore[arg-type]
    client.chat.completions.create(model="gpt-4o")  # type: ignore[call-overload]  # no messages
    client.chat.completions.create(messages=[], temperature="hot")  # type: ignore[call-overload]
    client.chat.completions.retrieve("id", tiemout=3)  # type: ignore[call-arg]
    Config(strategy=Strategy(mode="roundrobin"))  # type: ignore[arg-type]
