"""What a check looks at and what it says: the vocabulary all checks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from portkey_testing import _javascript

Stage: TypeAlias = Literal["input", "output"]
Params: TypeAlias = Mapping[str, Any]

_EXCERPT: Final = 100


class CheckError(Exception):
    """A check cannot judge: its parameters or its subject are not what it needs.

    Attributes:
        kind: The name JavaScript gives the error; empty where the gateway sends none.
    """

    def __init__(self, message: str, kind: str = "Error") -> None:
        super().__init__(message)
        self.kind = kind


class UnreadableError(Exception):
    """The subject is not even shaped like a request or an answer; the text is what the gateway's runtime says."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a check looks at.

    Attributes:
        stage: `input` looks at the request, `output` at the answer.
        request: The request's fields, overrides applied.
        response: The answer in OpenAI's shape; None before there is one.
        endpoint: The gateway's name for the kind of request, such as `chatComplete`.
        metadata: The JSON of the metadata header.
    """

    stage: Stage
    request: Mapping[str, Any]
    response: Any = None
    endpoint: str = "chatComplete"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> Any:
        """The last message of the request, or the first choice of the answer.

        Raises:
            UnreadableError: there is none.
        """
        if self.stage == "output":
            return _answer_content(self.response, self.endpoint)
        if self.endpoint in ("chatComplete", "messages"):
            return _at(_last(_at(self.request, "messages")), "content")
        return _at(self.request, "prompt" if self.endpoint == "complete" else "input")

    @property
    def texts(self) -> list[Any]:
        """The text of each part of the content, or whatever stands in its place."""
        content = self.content
        if self.stage == "output" and not _javascript.truthy(self.response):
            return []
        if not isinstance(content, list) or (self.stage == "output" and self.endpoint != "messages"):
            return [None if content is _javascript.MISSING else content]
        in_parts = self.endpoint in ("chatComplete", "messages")
        return [_at(part, "text", "") or "" for part in content] if in_parts else content

    @property
    def text(self) -> str:
        """All of it, joined by line breaks."""
        return "\n".join(_javascript.text(part) for part in self.texts if _javascript.truthy(part))

    def with_texts(self, texts: Sequence[Any]) -> Mapping[str, Any]:
        """The request, or the answer, with other texts in the place of its content."""
        if self.stage == "output":
            return _answer_with(self.response, self.endpoint, texts)
        if self.endpoint == "complete":
            prompt = self.request.get("prompt")
            given = (
                [text or old for text, old in zip(texts, prompt, strict=False)] if isinstance(prompt, list) else None
            )
            return {**self.request, "prompt": texts[0] if given is None else given}
        if self.endpoint == "embed":
            # The gateway reads the texts of embeddings, and does not write them.
            return dict(self.request)
        *before, last = self.request["messages"]
        content = last.get("content")
        if isinstance(content, list):
            content = [
                {**_javascript.spread(part), **_some(text=text or _at(part, "text"))}
                for part, text in zip(content, texts, strict=True)
            ]
        else:
            content = texts[0] or content
        return {**self.request, "messages": [*before, {**last, "content": content}]}


def _answer_content(response: Any, endpoint: str) -> Any:
    if not _javascript.truthy(response):
        return None
    if endpoint == "messages":
        content = _at(response, "content")
        if not isinstance(content, list):
            _at(content, "map")
        return content
    choice = _at(_at(response, "choices"), 0)
    return _at(choice, "text") if endpoint == "complete" else _at(_at(choice, "message"), "content")


def _answer_with(response: Any, endpoint: str, texts: Sequence[Any]) -> Mapping[str, Any]:
    if endpoint == "messages":
        blocks = [text or block for text, block in zip(texts, response["content"], strict=True)]
        return {**response, "content": blocks}
    if endpoint == "complete":
        # The text is that of the first choice, and its place is the last one.
        *before, last = response["choices"]
        return {**response, "choices": [*before, {**last, "text": texts[0] or last.get("text")}]}
    first, *others = response["choices"]
    said = {**first["message"], "content": texts[0] or first["message"].get("content")}
    return {**response, "choices": [{**first, "message": said}, *others]}


def _last(messages: Any) -> Any:
    _at(messages, "length")
    return messages[-1] if isinstance(messages, list | str) and messages else _javascript.MISSING


def _at(value: Any, name: str | int, otherwise: Any = _javascript.MISSING) -> Any:
    """What a value has under a name or at a place, as JavaScript looks for it.

    Raises:
        UnreadableError: the value is null or undefined.
    """
    if value is None or value is _javascript.MISSING:
        kind = "null" if value is None else "undefined"
        raise UnreadableError(f"Cannot read properties of {kind} (reading '{name}')")
    if isinstance(value, Mapping):
        return value.get(str(name), otherwise)
    return value[name] if isinstance(value, list) and isinstance(name, int) and name < len(value) else otherwise


def _some(*, text: Any) -> dict[str, Any]:
    return {} if text is _javascript.MISSING else {"text": text}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        verdict: Whether it passed.
        data: What it says about it.
        error: Name and message, where it could not judge.
        request: The request with what the check replaced; None where it replaced nothing.
        response: The answer with what the check replaced; None where it replaced nothing.
        transformed: It replaced something.
    """

    verdict: bool
    data: Any = None
    error: Mapping[str, str] | None = None
    request: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    transformed: bool = False


Check: TypeAlias = Callable[[Subject, Params], Finding]


def negation(params: Params) -> Any:
    return params.get("not") or False


def text_of(subject: Subject, missing: str = "Missing text to analyze") -> str:
    text = subject.text
    if not text:
        raise CheckError(missing)
    return text


def model_of(subject: Subject) -> Any:
    model = subject.request.get("model")
    if not model:
        raise CheckError("Missing model in request")
    return model


def excerpt(text: str) -> str:
    return f"{_javascript.head(text, _EXCERPT)}..." if _javascript.length(text) > _EXCERPT else text


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def compared(operator: Any, found: Sequence[Any], missing: Sequence[Any], many: str, one: str) -> tuple[bool, str]:
    """Whether an operator over things found and missing holds, and the sentence that says so."""
    match operator:
        case "any":
            return bool(found), f" At least one {one} was found." if found else f" No {many} were found."
        case "all":
            return not missing, f" Some {many} were missing." if missing else f" All {many} were found."
        case "none":
            return not found, f" Some {many} were found." if found else f" No {many} were found."
        case _:
            return False, ""
