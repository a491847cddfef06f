"""Structured output: the schema a class asks for, and an answer as instances of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, is_dataclass
from typing import Any, ClassVar, Final, Protocol, TypeVar

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from ._request import is_given
from .errors import ContentFilterFinishReasonError, InvalidRequestError, LengthFinishReasonError
from .types import ChatCompletions, FinishReason, ParsedChatCompletion


class Dataclass(Protocol):
    """A dataclass, of pydantic or of the standard library."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


FormatT = TypeVar("FormatT", bound=BaseModel | Dataclass)

_SUBSCHEMAS: Final = ("items", "additionalProperties", "not")
_SUBSCHEMA_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_SUBSCHEMA_MAPS: Final = ("properties", "$defs")
_DEFINITIONS: Final = "#/$defs/"
_MAX_NAME_LENGTH: Final = 64
"""Of a schema: https://platform.openai.com/docs/api-reference/chat/create#chat-create-response_format."""


def read_format(response_format: object) -> tuple[type[Any] | None, object]:
    """What texts are parsed as, None for nothing, and the `response_format` parameter to send.

    Raises:
        InvalidRequestError: It is neither a pydantic model class or dataclass that has a schema nor a mapping.
    """
    if isinstance(response_format, type) and (issubclass(response_format, BaseModel) or is_dataclass(response_format)):
        return response_format, _schema_format(response_format)
    if response_format is None or not is_given(response_format) or isinstance(response_format, Mapping):
        return None, response_format
    raise InvalidRequestError(
        f"response_format= must be a pydantic model class, a dataclass, or a mapping to be sent as it is; "
        f"got {type(response_format).__name__} {response_format!r}",
        param="response_format",
    )


def _schema_format(kind: type[BaseModel | Dataclass]) -> dict[str, Any]:
    from pydantic import TypeAdapter  # takes a millisecond to import, and few programs parse

    try:
        schema = strict_schema(TypeAdapter(kind).json_schema())
    except PydanticUserError as error:
        raise InvalidRequestError(
            f"response_format= {kind.__name__} has no JSON schema: {error.message}", param="response_format"
        ) from error
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", kind.__name__)[:_MAX_NAME_LENGTH]  # that of a generic class has brackets
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema as OpenAI's strict mode wants it: objects are closed, and every property is required.

    Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    strict: dict[str, Any] = _strict(schema, schema.get("$defs", {}), frozenset())
    return strict


def _strict(schema: Any, definitions: Mapping[str, Any], inside: frozenset[str]) -> Any:
    """A part of a schema; `inside` are the definitions written out around it."""
    if not isinstance(schema, Mapping):
        return schema
    strict = {key: value for key, value in schema.items() if key != "default"}  # a required property has none
    if "$ref" in strict:
        reference = strict.pop("$ref")
        name = reference.removeprefix(_DEFINITIONS)
        if not strict or name in inside or name not in definitions:
            return {"$ref": reference}
        # A reference has to stand alone, and not at the top: what it refers to is written out beside the description.
        return _strict({**definitions[name], **strict}, definitions, inside | {name})
    for key in _SUBSCHEMAS:
        if key in strict:
            strict[key] = _strict(strict[key], definitions, inside)
    for key in _SUBSCHEMA_LISTS:
        if key in strict:
            strict[key] = [_strict(item, definitions, inside) for item in strict[key]]
    for key in _SUBSCHEMA_MAPS:
        if key in strict:
            strict[key] = {name: _strict(item, definitions, inside) for name, item in strict[key].items()}
    if strict.get("type") == "object":
        strict.setdefault("additionalProperties", False)
        if "properties" in strict:
            strict["required"] = list(strict["properties"])
    return strict


def parsed_completion(data: bytes, kind: type[FormatT] | None) -> ParsedChatCompletion[FormatT]:
    """A response body as an answer whose texts are parsed.

    Raises:
        ValidationError: The body is no answer, or a text in it no instance of `kind`.
        LengthFinishReasonError: A token limit cut a text.
        ContentFilterFinishReasonError: A content filter withheld a text.
    """
    return parse_contents(ParsedChatCompletion.model_validate_json(data), kind)


def parse_contents(answer: ParsedChatCompletion[FormatT], kind: type[FormatT] | None) -> ParsedChatCompletion[FormatT]:
    """Fill in `message.parsed` of every choice that has a text; raises as `parsed_completion`."""
    if kind is None:
        return answer
    for choice in answer.choices:
        message = choice.message
        check_whole(choice.normalized_finish_reason, kind, answer, refused=message.refusal is not None)
        if message.content and message.refusal is None:
            message.parsed = instance(message.content, kind)
    return answer


def instance(text: str, kind: type[FormatT]) -> FormatT:
    """What a text stands for.

    Raises:
        ValidationError: It is no instance of `kind`.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_json(text)


def check_whole(reason: FinishReason | None, kind: type[Any], answer: ChatCompletions, *, refused: bool) -> None:
    """Raise LengthFinishReasonError or ContentFilterFinishReasonError if a text of `answer` ended for that `reason`."""
    match reason:
        case "length":
            text = f"The answer was cut by a token limit, so it is no {kind.__name__}; see error.completion"
            raise LengthFinishReasonError(text, completion=answer)
        case "content_filter" if not refused:
            text = f"A content filter withheld the answer, so there is no {kind.__name__}; see error.completion"
            raise ContentFilterFinishReasonError(text, completion=answer)
