"""What breaks on the way of an answer, by name: connections (wire faults) and contents (damages).

A wire fault raises, in process, the exception a real socket gives in the HTTP library that the client uses; the class
names are the same in httpx, httpx2 and the httpcore libraries below them. The classes and texts were found by running
httpx 0.28.1, sync and asyncio, against loopback sockets that misbehave; trio's texts differ in a few places.

A damage delivers well-formed HTTP with something wrong inside, which no exception tells.
"""

from __future__ import annotations

import difflib
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Phase = Literal["connect", "request", "headers", "body"]
Part = Literal["any", "stream"]


@dataclass(frozen=True, slots=True)
class WireFault:
    """One way for a connection to break.

    Attributes:
        name: As tests write it.
        phase: Where it strikes: while connecting, while the request is sent, before the response headers, or in the
            body.
        raises: Name of the exception class, the same in every library; None where the client sees a clean end.
        message: Text of the exception; `{received}` and `{expected}` are numbers of bytes.
        async_message: Its text in an event loop, where that differs.
        waits: The fault is silence: the exception comes when the timeout of its phase runs out.
        cause: Makes the exception of the operating system behind it.
    """

    name: str
    phase: Phase
    raises: str | None
    message: str
    async_message: str | None = None
    waits: bool = False
    cause: Callable[[], BaseException] | None = None


@dataclass(frozen=True, slots=True)
class Damage:
    """One way for the content of an answer to be wrong.

    Attributes:
        name: As tests write it.
        part: Whether it needs a stream, or takes any answer.
        about: What arrives.
    """

    name: str
    part: Part
    about: str


def _refused() -> BaseException:
    return ConnectionRefusedError(111, "Connection refused")


def _unknown_host() -> BaseException:
    return socket.gaierror(-2, "Name or service not known")


def _reset() -> BaseException:
    return ConnectionResetError(104, "Connection reset by peer")


def _timed_out() -> BaseException:
    return TimeoutError("timed out")


def _untrusted(reason: str) -> Callable[[], BaseException]:
    return lambda: ssl.SSLCertVerificationError(1, _tls_words(reason))


def _tls_words(reason: str) -> str:
    return f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {reason} (_ssl.c:1006)"


def _not_tls() -> BaseException:
    return ssl.SSLError(1, _NOT_TLS)


_NOT_TLS: Final = "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"
_GONE: Final = "Server disconnected without sending a response."
_RESET: Final = "[Errno 104] Connection reset by peer"
_SELF_SIGNED: Final = "self-signed certificate"
_MISMATCH: Final = "Hostname mismatch, certificate is not valid for 'api.portkey.ai'."
_EXPIRED: Final = "certificate has expired"

_WIRE_FAULTS = (
    WireFault(
        "refused",
        "connect",
        "ConnectError",
        "[Errno 111] Connection refused",
        async_message="All connection attempts failed",
        cause=_refused,
    ),
    WireFault("dns", "connect", "ConnectError", "[Errno -2] Name or service not known", cause=_unknown_host),
    WireFault("tls", "connect", "ConnectError", _tls_words(_SELF_SIGNED), cause=_untrusted(_SELF_SIGNED)),
    WireFault("tls_wrong_host", "connect", "ConnectError", _tls_words(_MISMATCH), cause=_untrusted(_MISMATCH)),
    WireFault("tls_expired", "connect", "ConnectError", _tls_words(_EXPIRED), cause=_untrusted(_EXPIRED)),
    WireFault("tls_plain_port", "connect", "ConnectError", _NOT_TLS, cause=_not_tls),
    WireFault("connect_timeout", "connect", "ConnectTimeout", "timed out", "", waits=True, cause=_timed_out),
    WireFault("stall_request", "request", "WriteTimeout", "timed out", "", waits=True, cause=_timed_out),
    WireFault("reset_before_headers", "headers", "ReadError", _RESET, "", cause=_reset),
    WireFault("closed_before_headers", "headers", "RemoteProtocolError", _GONE),
    WireFault("reset_within_headers", "headers", "ReadError", _RESET, "", cause=_reset),
    WireFault("closed_within_headers", "headers", "RemoteProtocolError", _GONE),
    WireFault("not_http", "headers", "RemoteProtocolError", "illegal status line: bytearray(b'SSH-2.0-OpenSSH_9.6')"),
    WireFault("stall_before_headers", "headers", "ReadTimeout", "timed out", "", waits=True, cause=_timed_out),
    WireFault("reset", "body", "ReadError", _RESET, "", cause=_reset),
    WireFault(
        "dropped",
        "body",
        "RemoteProtocolError",
        "peer closed connection without sending complete message body (incomplete chunked read)",
    ),
    WireFault("bad_chunk", "body", "RemoteProtocolError", "illegal chunk header: bytearray(b'xyz\\r\\n')"),
    WireFault(
        "short_body",
        "body",
        "RemoteProtocolError",
        "peer closed connection without sending complete message body (received {received} bytes, expected {expected})",
    ),
    WireFault("stall", "body", "ReadTimeout", "timed out", "", waits=True, cause=_timed_out),
    WireFault("end", "body", None, ""),
)

_DAMAGES = (
    Damage("truncated_json", "any", "half of the JSON, with a length that agrees"),
    Damage("broken_json", "any", "JSON with a stray character in it"),
    Damage("html_page", "any", "a proxy's page, status 502"),
    Damage("html_with_200", "any", "a page in place of the answer, status 200"),
    Damage("wrong_content_type", "any", "the answer, called text/plain"),
    Damage("wrong_length", "any", "a Content-Length of twice the body"),
    Damage("bad_encoding", "any", "the answer, called gzip"),
    Damage("empty_body", "any", "nothing, status 200"),
    Damage("error_with_200", "any", "an error object, status 200"),
    Damage("error_event", "stream", "an error event after the first chunks, then the end"),
    Damage("malformed_event", "stream", "an event that is no JSON among the chunks"),
    Damage("missing_finish", "stream", "no finish reason and no [DONE]: the stream just ends"),
    Damage("missing_done", "stream", "every chunk, but no [DONE]"),
    Damage("duplicate_chunk", "stream", "one chunk twice"),
    Damage("out_of_order_chunks", "stream", "two neighbouring chunks in the wrong order"),
)

CATALOGUE: Final[Mapping[str, WireFault]] = MappingProxyType({fault.name: fault for fault in _WIRE_FAULTS})
DAMAGES: Final[Mapping[str, Damage]] = MappingProxyType({damage.name: damage for damage in _DAMAGES})


def wire_fault(name: str) -> WireFault:
    """The wire fault of that name.

    Raises:
        ValueError: there is none; the message lists what there is.
    """
    if name not in CATALOGUE:
        raise unknown("wire fault", name, CATALOGUE)
    return CATALOGUE[name]


def damage(name: str) -> Damage:
    """The damage of that name.

    Raises:
        ValueError: there is none; the message lists what there is.
    """
    if name not in DAMAGES:
        raise unknown("damage", name, DAMAGES)
    return DAMAGES[name]


def unknown(what: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not known, with the nearest one that is."""
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(f"no {what} is called {name!r}.{hint} There are: {', '.join(known)}.")
