"""What a server does wrong, by the names of `faults.yaml`."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from tests.client_support import chunk, completion, sse
from tests.wire.server import Connection, Script

ANSWER: Final = json.dumps(completion()).encode()
EVENTS: Final = sse(chunk("It is"), chunk(" raining"), chunk(finish="stop"))
CUT: Final = sse(chunk("It is"), chunk(" raining"), done=False)
"""A stream that lacks its end."""

BOOM: Final = b'{"error": {"message": "boom-4711", "type": "server_error"}}'
PAGE: Final = b"<html><head><title>Sign in</title></head></html>"
JSON: Final = b"application/json"
SSE: Final = b"text/event-stream"
CLOSING: Final = b"connection: close"
"""Where the next request follows at once, so that it does not meet a connection on its way out."""

Step = bytes | Callable[[Connection], None]


def answering(*steps: Step) -> Script:
    """Read one request, take the steps, close."""

    def script(connection: Connection) -> None:
        if connection.request():
            take(connection, *steps)

    return script


def take(connection: Connection, *steps: Step) -> None:
    """Send what is bytes, do what is not."""
    for step in steps:
        if isinstance(step, bytes):
            connection.send(step)
        else:
            step(connection)


def head(status: bytes = b"200 OK", *headers: bytes, kind: bytes = JSON) -> bytes:
    """An answer without its body."""
    kinds = [b"content-type: " + kind] if kind else []
    return b"\r\n".join([b"HTTP/1.1 " + status, *kinds, *headers, b"", b""])


def whole(body: bytes = ANSWER, *headers: bytes, kind: bytes = JSON, status: bytes = b"200 OK") -> bytes:
    """An answer with its length."""
    return head(status, b"content-length: %d" % len(body), *headers, kind=kind) + body


def of_length(length: bytes, body: bytes = ANSWER) -> bytes:
    """An answer that claims another length."""
    return head(b"200 OK", b"content-length: " + length) + body


def chunked(body: bytes, *rest: bytes) -> bytes:
    """An event stream in one HTTP chunk, then the bytes of `rest`."""
    opening = head(b"200 OK", b"transfer-encoding: chunked", kind=SSE)
    return opening + b"%x\r\n%b\r\n" % (len(body), body) + b"".join(rest)


END: Final = b"0\r\n\r\n"


def packed(body: bytes, kind: bytes = JSON) -> bytes:
    """An answer that claims to be gzip."""
    return whole(body, b"content-encoding: gzip", kind=kind)


def bomb(connection: Connection) -> None:
    """Blanks, 300 MB in 0.3 MB, and then an answer; packed as they are sent, since nobody should take them all."""
    packer = zlib.compressobj(1, wbits=31)
    connection.send(head(b"200 OK", b"content-encoding: gzip"))
    for _ in range(300):
        connection.send(packer.compress(bytes([32]) * 1_000_000) + packer.flush(zlib.Z_SYNC_FLUSH))
    connection.send(packer.compress(ANSWER) + packer.flush())


def redirect(status: bytes, *location: bytes) -> bytes:
    """An answer that sends the client elsewhere."""
    return head(status, *(b"location: " + url for url in location), b"content-length: 0", kind=b"")


def nothing(_: Connection) -> None:
    """Close."""


def reset(connection: Connection) -> None:
    """Break the connection when it is closed."""
    connection.reset()


def stall(connection: Connection) -> None:
    """Say nothing."""
    connection.stall()


def ignore(connection: Connection) -> None:
    """Read nothing."""
    connection.ignore()


def drip(*pieces: bytes) -> Step:
    """Send the pieces slowly, for ever."""
    return lambda connection: connection.drip(*pieces)


def early_413(after: Step) -> Script:
    """Refuse the request from its head, before its body is read."""
    refusal = whole(b'{"error": {"message": "too large"}}', CLOSING, status=b"413 Content Too Large")

    def script(connection: Connection) -> None:
        connection.head()
        take(connection, refusal, after)

    return script


def in_turn(first: bytes, *second: Step) -> Script:
    """Answer with `first`, and the next request on the same connection with `second`; all others as one should."""

    def script(connection: Connection) -> None:
        if connection.turn:
            answering(whole())(connection)
        elif connection.request():
            connection.send(first)
            if second and connection.request():
                take(connection, *second)

    return script


def of_compressed() -> Mapping[str, bytes]:
    """Broken gzip bodies."""
    body = gzip.compress(ANSWER)
    return {
        "gzip-ok": packed(body),
        "gzip-truncated": packed(body[:-9]),
        "gzip-cut-in-half": packed(body[: len(body) // 2]),
        "gzip-bad-crc": packed(body[:-8] + bytes(8)),
        "gzip-not-gzip": packed(ANSWER),
        "gzip-sse-truncated": packed(gzip.compress(EVENTS)[:-20], kind=SSE),
    }


SCRIPTS: Final[Mapping[str, Script]] = {
    "reset-on-accept": reset,
    "fin-on-accept": nothing,
    "reset-after-request": answering(reset),
    "fin-after-request": answering(),
    "reset-mid-headers": answering(b"HTTP/1.1 200 OK\r\ncontent-ty", reset),
    "fin-mid-headers": answering(b"HTTP/1.1 200 OK\r\ncontent-ty"),
    "stall-before-headers": answering(stall),
    "stall-mid-headers": answering(b"HTTP/1.1 200 OK\r\ncontent-ty", stall),
    "garbage-status-line": answering(b"so good of you to call\r\n\r\n"),
    "http2-preface-answer": answering(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)),
    "status-000": answering(whole(status=b"000 Odd")),
    "status-999": answering(whole(BOOM, CLOSING, status=b"999 Odd")),
    "status-101-unasked": answering(head(b"101 Switching Protocols", b"upgrade: x", b"connection: upgrade"), stall),
    "huge-header-200k": answering(whole(ANSWER, b"x-long: " + b"a" * 200_000)),
    "headers-endless": answering(b"HTTP/1.1 200 OK\r\n", drip(b"x-more: 1\r\n")),
    "nul-in-header": answering(whole(ANSWER, b"x-odd: a\0b")),
    "obs-fold-header": answering(whole(ANSWER, b"x-folded: one\r\n two")),
    "early-hints-103": answering(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", whole()),
    "continue-100-twice": answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 2, whole()),
    "cl-too-long-fin": answering(of_length(b"9999")),
    "cl-too-long-rst": answering(of_length(b"9999"), reset),
    "cl-too-short": answering(of_length(b"50")),
    "cl-conflict": answering(whole(ANSWER, b"content-length: 3")),
    "cl-invalid": answering(of_length(b"twelve")),
    "cl-negative": answering(of_length(b"-5")),
    "cl-and-chunked": answering(whole(b"%x\r\n%b\r\n" % (len(ANSWER), ANSWER) + END, b"transfer-encoding: chunked")),
    "te-unknown": answering(head(b"200 OK", b"transfer-encoding: sideways") + ANSWER),
    "no-length-close-delimited": answering(head() + ANSWER),
    "no-length-truncated": answering(head() + ANSWER[:40]),
    "no-length-reset": answering(head() + ANSWER[:40], reset),
    "chunk-size-garbage": answering(chunked(CUT, b"zz\r\n")),
    "chunk-size-huge": answering(chunked(CUT, b"f" * 24 + b"\r\ndata: ")),
    "chunk-size-negative": answering(chunked(CUT, b"-1\r\n")),
    "chunk-cut-mid-data-fin": answering(chunked(CUT, b"ff\r\ndata: ")),
    "chunk-cut-mid-data-rst": answering(chunked(CUT, b"ff\r\n"), b"data: ", reset),
    "chunk-no-terminal-after-done": answering(chunked(EVENTS)),
    "chunk-no-terminal-no-done": answering(chunked(CUT)),
    "clean-end-no-finish": answering(chunked(CUT, END)),
    "close-delimited-sse-cut": answering(head(kind=SSE) + CUT),
    "reset-after-done": answering(chunked(EVENTS), reset),
    "chunk-extension-and-trailer": answering(
        head(b"200 OK", b"transfer-encoding: chunked", kind=SSE),
        b"%x;why=not\r\n%b\r\n0\r\nx-trailer: 1\r\n\r\n" % (len(EVENTS), EVENTS),
    ),
    "one-byte-chunks": answering(
        head(b"200 OK", b"transfer-encoding: chunked", kind=SSE),
        b"".join(b"1\r\n%c\r\n" % byte for byte in EVENTS) + END,
    ),
    **{name: answering(body) for name, body in of_compressed().items()},
    "gzip-bomb-300mb": answering(bomb),
    "unknown-encoding": answering(whole(ANSWER, b"content-encoding: zip")),
    "ct-html-200": answering(whole(PAGE, kind=b"text/html")),
    "ct-missing-json": answering(whole(kind=b"")),
    "ct-json-for-stream": answering(whole()),
    "error-body-with-200": answering(whole(BOOM)),
    "error-body-200-sse-type": answering(whole(BOOM, kind=SSE)),
    "status-204": answering(head(b"204 No Content", kind=b"")),
    "empty-200": answering(whole(b"")),
    "json-truncated-valid-length": answering(whole(ANSWER[:40])),
    "json-with-bom": answering(whole(b"\xef\xbb\xbf" + ANSWER)),
    "json-invalid-utf8": answering(whole(ANSWER.replace(b"raining", b"rain\xffng"))),
    "json-utf16": answering(whole(ANSWER.decode().encode("utf-16"))),
    "json-null": answering(whole(b"null")),
    "json-array": answering(whole(b"[]")),
    "json-string": answering(whole(b'"It is raining"')),
    "json-empty-object": answering(whole(b"{}")),
    "json-nesting-bomb": answering(whole(b'{"choices": ' + b"[" * 100_000)),
    "json-choices-null": answering(whole(b'{"id": "x", "choices": null}')),
    "error-502-html": answering(whole(PAGE, CLOSING, kind=b"text/html", status=b"502 Bad Gateway")),
    "error-503-empty": answering(whole(b"", CLOSING, status=b"503 Service Unavailable")),
    "error-500-reset-body": answering(head(b"500 Oops", b"content-length: 999") + BOOM[:40], reset),
    "error-429-stalled-body": answering(head(b"429 Slow Down", b"content-length: 999") + BOOM[:40], stall),
    "error-body-is-array": answering(whole(b"[%b]" % BOOM, status=b"400 Bad Request")),
    "error-body-string": answering(whole(b'{"error": "boom-4711"}', status=b"429 Slow Down")),
    "error-body-null": answering(whole(b"null", CLOSING, status=b"500 Oops")),
    "redirect-301-post": answering(redirect(b"301 Moved Permanently", b"/v1/elsewhere")),
    "redirect-no-location": answering(redirect(b"302 Found")),
    "redirect-file-scheme": answering(redirect(b"302 Found", b"file:///etc/passwd")),
    "redirect-loop": answering(redirect(b"307 Temporary Redirect", b"/v1/chat/completions")),
    "stall-mid-json": answering(of_length(b"999", ANSWER[:40]), stall),
    "stall-mid-stream": answering(chunked(CUT), stall),
    "drip-json": answering(of_length(b"999", b""), drip(b" ")),
    "keepalive-comments-forever": answering(head(kind=SSE), drip(b": ping\n\n")),
    "slow-close-after-done": answering(chunked(EVENTS), stall),
    "endless-after-done": answering(chunked(EVENTS), drip(b"8\r\n: more\n\n\r\n")),
    "early-413-then-reset": early_413(reset),
    "early-413-then-drain": early_413(stall),
    "stop-reading-request": ignore,
    "keepalive-closed-when-idle": in_turn(whole()),
    "keepalive-closed-on-second-request": in_turn(whole(), nothing),
    "response-splitting-extra-answer": in_turn(whole() + whole(json.dumps(completion("not yours")).encode()), whole()),
    "break-early": answering(chunked(CUT), stall),
    "pool-timeout": answering(chunked(CUT), stall),
    "tls-untrusted-ca": answering(whole()),
    "tls-wrong-host": answering(whole()),
    "tls-expired": answering(whole()),
    "tls-to-plain-port": lambda connection: take(connection, whole(status=b"400 Bad Request"), stall),
    "tls-handshake-stall": stall,
    "tls-close-without-notify": answering(head() + ANSWER[:40]),
    "headers-5000-lines": answering(whole(ANSWER, *(b"x-%d: 1" % n for n in range(5000)))),
}
"""By name; "connect-refused", "dns-failure" and "redirect-cross-origin-307" need no script, or more than one server."""
