"""Looks for secrets in what is about to be written, with code of its own.

What `redact` overlooked must not be overlooked here for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portkey_testing.cassettes import events, stream
from portkey_testing.cassettes.model import (
    BinaryBody,
    Body,
    EventStream,
    Interaction,
    JsonBody,
    RecordedResponse,
    TextBody,
)
from portkey_testing.cassettes.secrets import Rule, Secret, unzipped, views


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each text in a JSON value, and each key, with where it is."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield f"{path} (a key)", name
            yield from leaves(member, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, f"{path}[{place}]")


def scan(interaction: Interaction, secrets: Sequence[Secret], shapes: Sequence[Rule]) -> str | None:
    """Where in `interaction` a secret is left and of what kind it is, or None. The secret itself is not said."""
    for place, text in _everything(interaction):
        for view in views(text, depth=4):
            for secret in secrets:
                if secret.value in view:
                    return f"{place} holds what {secret.origin} is"
            for rule in shapes:
                if any(True for _ in rule.find(view)):
                    return f"{place} holds a {rule.name}"
    return None


def _everything(interaction: Interaction) -> Iterator[tuple[str, str]]:
    request, response = interaction.request, interaction.response
    yield "request.path", request.path
    yield from leaves(request.headers, "request.headers")
    yield from _of_body(request.body, "request")
    if isinstance(response, RecordedResponse):
        yield from leaves(response.headers, "response.headers")
        yield from _of_body(response.body, "response")


def _of_body(body: Body | None, place: str) -> Iterator[tuple[str, str]]:
    match body:
        case JsonBody(value):
            yield from leaves(value, f"{place}.body")
        case TextBody(text):
            yield f"{place}.text", text
        case BinaryBody(data):
            yield f"{place}.base64", data.decode("latin-1")
            for inner in unzipped(data):
                yield f"{place}.base64", inner.decode("latin-1")
        case EventStream(lines, envelope, _, message):
            yield f"{place}.events", lines
            yield from leaves(envelope, f"{place}.envelope")
            yield from leaves(message, f"{place}.message")
            data = b"".join(piece for _, piece in events.unpack(body))
            for text in stream.channels(data):
                yield f"{place}.events (joined)", text
