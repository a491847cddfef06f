"""Wire faults: what breaks between an application and the gateway, by name.

Each raises, in process, the exception a real socket gives in the HTTP library that the client uses; the class names
are the same in httpx, httpx2 and the httpcore libraries below them.

The classes were found by running httpx 0.28.1 against loopback sockets that misbehave.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Phase = Literal["connect", "headers", "body"]


@dataclass(frozen=True, slots=True)
class WireFault:
    """One way for a connection to break.

    Attributes:
        name: As tests write it.
        phase: Where it strikes: while connecting, before the response headers, or in the body.
        raises: Name of the exception class, the same in every library; None where the client sees a clean end.
        message: Text of the exception.
        waits: The fault is silence: the exception comes when the timeout of its phase runs out.
    """

    name: str
    phase: Phase
    raises: str | None
    message: str
    waits: bool = False


_CATALOGUE = (
    WireFault("refused", "connect", "ConnectError", "[Errno 111] Connection refused"),
    WireFault("dns", "connect", "ConnectError", "[Errno -2] Name or service not known"),
    WireFault(
        "tls",
        "connect",
        "ConnectError",
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)",
    ),
    WireFault("connect_timeout", "connect", "ConnectTimeout", "timed out", waits=True),
    WireFault("reset_before_headers", "headers", "ReadError", "[Errno 104] Connection reset by peer"),
    WireFault(
        "closed_before_headers", "headers", "RemoteProtocolError", "Server disconnected without sending a response."
    ),
    WireFault("stall_before_headers", "headers", "ReadTimeout", "timed out", waits=True),
    WireFault("reset", "body", "ReadError", "[Errno 104] Connection reset by peer"),
    WireFault(
        "dropped",
        "body",
        "RemoteProtocolError",
        "peer closed connection without sending complete message body (incomplete chunked read)",
    ),
    WireFault("stall", "body", "ReadTimeout", "timed out", waits=True),
    WireFault("end", "body", None, ""),
)

CATALOGUE: Final[Mapping[str, WireFault]] = MappingProxyType({fault.name: fault for fault in _CATALOGUE})


def wire_fault(name: str) -> WireFault:
    """The fault of that name.

    Raises:
        ValueError: there is none; the message lists what there is.
    """
    try:
        return CATALOGUE[name]
    except KeyError:
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no wire fault is called {name!r}.{hint} There are: {', '.join(CATALOGUE)}.") from None
