"""The exchanges of `tests/data/secrets_cases.yaml` with their secrets put together, and a search in every encoding."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import yaml

DATA = Path(__file__).parents[1] / "data" / "secrets_cases.yaml"
_EXPRESSION = re.compile(r"\$\{((?:[^{}]|\$\{[^{}]*\})*)\}")


@dataclass(frozen=True)
class Case:
    """One exchange with planted secrets.

    Attributes:
        id: Its name.
        grade: `must` or `should`.
        secrets: The values that may not survive.
        keep: Texts that must.
        url: The whole URL of the request.
        headers: Request headers.
        body: Request body.
        status: Response status.
        answer_headers: Response headers.
        answer: Response body.
    """

    id: str
    grade: str
    secrets: tuple[str, ...]
    keep: tuple[str, ...]
    url: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b""


def _expand(text: str, secrets: dict[str, str]) -> str:
    return _EXPRESSION.sub(lambda match: _value(match[1], secrets), text)


def _value(expression: str, secrets: dict[str, str]) -> str:
    kind, separator, rest = expression.partition(":")
    if not separator:
        return secrets[kind]
    if kind == "b64raw":
        return base64.b64encode(_expand(rest, secrets).encode()).decode()
    if kind == "part":
        index, count, name = rest.split(":")
        value = secrets[name]
        size = -(-len(value) // int(count))
        return value[int(index) * size : (int(index) + 1) * size]
    value = secrets[rest]
    if kind == "url":
        return quote(value, safe="")
    if kind == "jesc":
        return "".join(f"\\u{ord(character):04x}" for character in value)
    if kind == "jesc2":
        return json.dumps(value)[1:-1]
    if kind == "html":
        return html.escape(value).replace("=", "&#61;")
    raise ValueError(f"no such encoding: {kind}")


def _deep(value: Any, secrets: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _expand(value, secrets)
    if isinstance(value, dict):
        return {_expand(name, secrets): _deep(member, secrets) for name, member in value.items()}
    return [_deep(item, secrets) for item in value] if isinstance(value, list) else value


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def planted() -> dict[str, str]:
    """The invented secrets by name."""
    data = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return {name: "".join(entry["parts"]) for name, entry in data["secrets"].items()}


def cases() -> list[Case]:
    """All cases of the file."""
    data = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    secrets = planted()
    found = []
    for entry in data["cases"]:
        request, response = _deep(entry["request"], secrets), _deep(entry["response"], secrets)
        url = request["url"]
        url = (
            f"https://{url.removeprefix('userinfo:')}@api.example.test/v1/chat/completions"
            if url.startswith("userinfo:")
            else f"https://api.example.test{url}"
        )
        body = _bytes(request["body"])
        if "sse" in response:
            lines = [item if isinstance(item, str) else json.dumps(item) for item in response["sse"]]
            answer = "".join(f"data: {line}\n\n" for line in lines).encode()
            content_type = "text/event-stream"
        else:
            answer = _bytes(response["body"])
            content_type = "application/json"
        if entry.get("encoding") == "gzip-request":
            body = gzip.compress(body)
        if entry.get("encoding") == "gzip-response":
            answer = gzip.compress(answer)
        found.append(
            Case(
                entry["id"],
                entry["grade"],
                tuple(secrets[name] for name in entry["secrets"]),
                tuple(entry["keep"]),
                url,
                {"content-type": "application/json"} | {k.lower(): v for k, v in request["headers"].items()},
                body,
                response["status"],
                {"content-type": content_type} | {k.lower(): v for k, v in response["headers"].items()},
                answer,
            )
        )
    return found


def readings(text: str, depth: int = 4) -> Iterator[str]:
    """`text`, and what it says when the encodings it may hold are undone, one inside the other."""
    yield text
    if depth == 0:
        return
    others = {
        re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
        .replace("\\n", "\n")
        .replace('\\"', '"')
        .replace("\\/", "/"),
        unquote(text),
        html.unescape(text),
    } - {text}
    for match in re.finditer(r"[A-Za-z0-9+/_-]{8,}={0,2}", text):
        for start in range(4):
            token = match[0].rstrip("=").replace("-", "+").replace("_", "/")[start:]
            token = token[: len(token) - len(token) % 4] if len(token) % 4 == 1 else token
            data = base64.b64decode(token + "=" * (-len(token) % 4))
            if data.startswith(b"\x1f\x8b"):
                try:
                    data = zlib.decompressobj(31).decompress(data)
                except zlib.error:
                    continue
            inner = data.decode("utf-8", "ignore")
            if len(inner) >= 6:
                others.add(inner)
    for other in others:
        yield other
        if len(other) < len(text) or depth > 2:
            yield from readings(other, depth - 2 if len(other) < len(text) else depth - 1)
