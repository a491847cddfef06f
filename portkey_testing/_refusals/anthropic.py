"""What Anthropic's Messages API refuses, and in which words.

From its API reference (`model`, `max_tokens` and `messages` are required) and from error bodies quoted in public issue
reports (anthropics/claude-code #3512, #5676, #8210, #10687, #13460). It words the check of fields as pydantic does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from portkey_testing._refusals import models

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")

_Block: TypeAlias = tuple[int, int, Mapping[str, Any]]
"""A content block, after the index of its message and its own."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why Anthropic refuses a request.

    Attributes:
        message: Its words.
        kind: Its error type.
        status: HTTP status.
        advice: What the author of the request can do, where the words do not say it.
    """

    message: str
    kind: str = "invalid_request_error"
    status: int = 400
    advice: str = ""


def problem(body: Mapping[str, Any]) -> Problem | None:
    """The first reason to refuse `body`; None if Anthropic takes it."""
    return next(_problems(body), None)


def _problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    model = body.get("model")
    if model is None:
        yield Problem("model: Field required", advice=models.OVERRIDE)
    elif not isinstance(model, str):
        yield Problem("model: Input should be a valid string")
    elif len(model) > 256:
        yield Problem("model: String should have at most 256 characters")
    yield from _max_tokens(body)
    if isinstance(model, str):
        owner = models.foreign_to("anthropic", model)
        if owner is not None:
            advice = f"{model!r} is a model of {owner}; {models.OVERRIDE}"
            yield Problem(f"model: {model}", "not_found_error", 404, advice)
    messages = body.get("messages")
    if messages is None:
        yield Problem("messages: Field required")
    elif not isinstance(messages, list):
        yield Problem("messages: Input should be a valid list")
    elif not messages:
        yield Problem(
            "messages: at least one message is required",
            advice="The gateway moves system messages out of `messages`: there must be another one",
        )
    else:
        yield from _tool_flow(messages)
    yield from _tools(body.get("tools"))


def _max_tokens(body: Mapping[str, Any]) -> Iterator[Problem]:
    limit = body.get("max_tokens")
    if limit is None:
        advice = "Anthropic insists on max_tokens: send it, or put it into the target's override_params"
        yield Problem("max_tokens: Field required", advice=advice)
    elif isinstance(limit, bool) or not isinstance(limit, int):
        yield Problem("max_tokens: Input should be a valid integer")
    elif limit < 1:
        yield Problem("max_tokens: Input should be greater than or equal to 1")


def _tools(tools: Any) -> Iterator[Problem]:
    if not isinstance(tools, list):
        return
    names = [tool.get("name") for tool in tools if isinstance(tool, Mapping)]
    for index, name in enumerate(names):
        if name is None:
            yield Problem(f"tools.{index}.custom.name: Field required")
        elif not _TOOL_NAME.fullmatch(str(name)):
            yield Problem(f"tools.{index}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    if len(set(names)) < len(names):
        yield Problem("tools: Tool names must be unique.")


def _tool_flow(messages: Sequence[Any]) -> Iterator[Problem]:
    """Each `tool_use` is answered in the next turn, and nothing else is."""
    asked: dict[str, int] = {}
    for role, blocks in _turns(messages):
        results = {_text(block, "tool_use_id") for _, _, block in blocks if block.get("type") == "tool_result"}
        missing = [call_id for call_id in asked if call_id not in results]
        if missing:
            yield _unanswered(asked[missing[0]], missing)
        for index, position, block in blocks:
            if block.get("type") == "tool_result" and _text(block, "tool_use_id") not in asked:
                yield Problem(
                    f"messages.{index}.content.{position}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{_text(block, 'tool_use_id')}. Each `tool_result` block must have a corresponding `tool_use` "
                    "block in the previous message."
                )
        uses = [(index, block) for index, _, block in blocks if block.get("type") == "tool_use"]
        asked = {_text(block, "id"): index for index, block in uses} if role == "assistant" else {}
    if asked:
        yield _unanswered(next(iter(asked.values())), list(asked))


def _unanswered(index: int, missing: Sequence[str]) -> Problem:
    return Problem(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
        "message."
    )


def _turns(messages: Sequence[Any]) -> list[tuple[Any, list[_Block]]]:
    """Roles with their blocks; messages of one role in a row are one turn."""
    turns: list[tuple[Any, list[_Block]]] = []
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, Mapping) else None
        content = message.get("content") if isinstance(message, Mapping) else None
        blocks = content if isinstance(content, list) else []
        found = [(index, position, block) for position, block in enumerate(blocks) if isinstance(block, Mapping)]
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(found)
        else:
            turns.append((role, found))
    return turns


def _text(block: Mapping[str, Any], name: str) -> str:
    return str(block.get(name))
