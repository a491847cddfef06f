"""Stored completions: what was created with `store=True`, and the requests that read and change it.

Answers in the shapes of OpenAI's published API description. It documents listing the messages of a completion only;
the other requests on messages are Portkey's specification, answered by analogy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from portkey_testing._conversation import messages_of
from portkey_testing._dialects.base import ProviderAnswer, Stamps
from portkey_testing._encode import compact

_PATH = re.compile(r"/chat/completions(?:/(?P<id>[^/]+)(?:/messages(?:/(?P<message>[^/]+))?)?)?/?$")
_METADATA = re.compile(r"metadata\[(.+)\]")
PAGE: Final = 20
"""Items of a page when the request names no limit; at most 100."""


@dataclass(slots=True)
class Stored:
    """A completion that is kept.

    Attributes:
        completion: Its JSON.
        messages: The conversation it answered, each message with an id.
    """

    completion: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.completion["id"])


class Store:
    """The completions one provider keeps."""

    def __init__(self) -> None:
        self._kept: dict[str, Stored] = {}

    def put(self, completion: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        """Keep a completion with the request it answered; one without an id could never be asked for."""
        if "id" not in completion:
            return
        body = {**completion, "metadata": params.get("metadata") or {}}
        for name in ("temperature", "top_p", "tools", "tool_choice", "response_format", "seed"):
            if params.get(name) is not None:
                body.setdefault(name, params[name])
        messages = [
            {"id": f"{body['id']}-{position}", "name": None, "content_parts": None, **message}
            for position, message in enumerate(messages_of(params))
        ]
        self._kept[str(body["id"])] = Stored(body, messages)

    def __len__(self) -> int:
        return len(self._kept)

    def answer(self, method: str, url: str, body: Any, stamps: Stamps) -> ProviderAnswer | None:
        """The answer to a request on stored completions; None for any other request."""
        parts = urlsplit(url)
        match = _PATH.search(parts.path)
        if match is None or (method == "POST" and match.group("id") is None):
            return None
        query = parse_qs(parts.query)
        given = body if isinstance(body, Mapping) else {}
        if match.group("id") is None:
            return self._list(query) if method == "GET" else None
        kept = self._kept.get(match.group("id"))
        if kept is None:
            return _not_found(match.group("id"))
        if "/messages" in match.group():
            if match.group("message") is not None:
                return _message(kept, method, match.group("message"), given)
            return _messages(kept, method, query, {**given, "id": stamps.new_id("msg")})
        match method:
            case "GET":
                return _ok(kept.completion)
            case "POST":
                kept.completion["metadata"] = given.get("metadata") or {}
                return _ok(kept.completion)
            case "DELETE":
                del self._kept[kept.id]
                return _ok({"object": "chat.completion.deleted", "id": kept.id, "deleted": True})
        return None

    def _list(self, query: Mapping[str, Sequence[str]]) -> ProviderAnswer:
        wanted = {m.group(1): values[-1] for name, values in query.items() if (m := _METADATA.fullmatch(name))}
        model = query.get("model", [None])[-1]
        found = [
            kept.completion
            for kept in self._kept.values()
            if (model is None or kept.completion.get("model") == model)
            and all(kept.completion["metadata"].get(key) == value for key, value in wanted.items())
        ]
        return _page(found, query)


def _messages(
    kept: Stored, method: str, query: Mapping[str, Sequence[str]], given: Mapping[str, Any]
) -> ProviderAnswer | None:
    if method == "GET":
        return _page(kept.messages, query)
    if method != "POST":
        return None
    created = {"content": None, "name": None, "content_parts": None, **given}
    kept.messages.append(created)
    return _ok(created)


def _message(kept: Stored, method: str, message_id: str, given: Mapping[str, Any]) -> ProviderAnswer | None:
    at = next((index for index, message in enumerate(kept.messages) if message["id"] == message_id), None)
    if at is None:
        return _not_found(message_id, "Message")
    match method:
        case "GET":
            return _ok(kept.messages[at])
        case "POST":
            kept.messages[at] = {**kept.messages[at], **given, "id": message_id}
            return _ok(kept.messages[at])
        case "DELETE":
            del kept.messages[at]
            return _ok({"object": "chat.completion.message.deleted", "id": message_id, "deleted": True})
    return None


def _page(items: Sequence[Mapping[str, Any]], query: Mapping[str, Sequence[str]]) -> ProviderAnswer:
    """A page of items, oldest first unless asked otherwise."""
    order = query.get("order", ["asc"])[-1]
    if order not in ("asc", "desc"):
        return _bad("order", f"Invalid value: '{order}'. Supported values are: 'asc' and 'desc'.")
    written = query.get("limit", [str(PAGE)])[-1]
    if not written.isascii() or not written.isdigit() or not 1 <= int(written) <= 100:
        return _bad("limit", f"Invalid 'limit': expected an integer from 1 to 100, but got '{written}' instead.")
    ordered = list(items) if order == "asc" else list(reversed(items))
    after = query.get("after", [None])[-1]
    if after is not None:
        ids = [item["id"] for item in ordered]
        if after not in ids:
            return _not_found(after)
        ordered = ordered[ids.index(after) + 1 :]
    page = ordered[: int(written)]
    return _ok(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(ordered) > len(page),
        }
    )


def _ok(body: Any) -> ProviderAnswer:
    return _answer(200, body)


def _not_found(identifier: str, what: str = "Chat completion") -> ProviderAnswer:
    message = f"{what} not found: {identifier}"
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "not_found"}
    return _answer(404, {"error": error})


def _bad(param: str, message: str) -> ProviderAnswer:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": "invalid_value"}
    return _answer(400, {"error": error})


def _answer(status: int, body: Any) -> ProviderAnswer:
    return ProviderAnswer(status, (("content-type", "application/json"),), body=compact(body).encode())
