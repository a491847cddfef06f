"""Structured output: the schema a class asks for, and an answer as instances of it. Pure."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from pydantic import BaseModel

from .errors import ContentFilterFinishReasonError, InvalidRequestError, LengthFinishReasonError
from .types import ParsedChatCompletion

FormatT = TypeVar("FormatT", bound=BaseModel)

_SUBSCHEMAS: Final = ("items", "additionalProperties", "not")
_SUBSCHEMA_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_SUBSCHEMA_MAPS: Final = ("properties", "$defs")


def response_format(kind: object) -> dict[str, Any]:
    """The `response_format` parameter that asks for instances of a class.

    Raises:
        InvalidRequestError: It is no pydantic model class.
    """
    if not isinstance(kind, type) or not issubclass(kind, BaseModel):
        raise InvalidRequestError(
            f"response_format= must be a pydantic model class, got {type(kind).__name__} {kind!r}; "
            "create() takes any other format",
            param="response_format",
        )
    schema = strict_schema(kind.model_json_schema())
    return {"type": "json_schema", "json_schema": {"name": kind.__name__, "schema": schema, "strict": True}}


def strict_schema(schema: Any) -> Any:
    """A JSON schema as OpenAI's strict mode wants it: objects are closed, and every property is required.

    Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    if not isinstance(schema, dict):
        return schema
    strict = dict(schema)
    for key in _SUBSCHEMAS:
        if key in strict:
            strict[key] = strict_schema(strict[key])
    for key in _SUBSCHEMA_LISTS:
        if key in strict:
            strict[key] = [strict_schema(item) for item in strict[key]]
    for key in _SUBSCHEMA_MAPS:
        if key in strict:
            strict[key] = {name: strict_schema(item) for name, item in strict[key].items()}
    if strict.get("type") == "object":
        strict.setdefault("additionalProperties", False)
        if "properties" in strict:
            strict["required"] = list(strict["properties"])
    strict.pop("default", None)  # a required property has none
    return {"$ref": strict["$ref"]} if "$ref" in strict else strict  # which stands alone


def parsed_completion(data: bytes, kind: type[FormatT]) -> ParsedChatCompletion[FormatT]:
    """A response body as an answer whose texts are parsed.

    Raises:
        ValidationError: The body is no answer, or a text in it no instance of `kind`.
        LengthFinishReasonError: A token limit cut a text.
        ContentFilterFinishReasonError: A content filter withheld a text.
    """
    return parse_contents(ParsedChatCompletion.model_validate_json(data), kind)


def parse_contents(answer: ParsedChatCompletion[FormatT], kind: type[FormatT]) -> ParsedChatCompletion[FormatT]:
    """Fill in `message.parsed` of every choice that has a text; raises as `parsed_completion`."""
    for choice in answer.choices:
        message = choice.message
        match choice.normalized_finish_reason:
            case "length":
                text = f"The answer was cut by a token limit, so it is no {kind.__name__}; see error.completion"
                raise LengthFinishReasonError(text, completion=answer)
            case "content_filter" if message.refusal is None:
                text = f"A content filter withheld the answer, so there is no {kind.__name__}; see error.completion"
                raise ContentFilterFinishReasonError(text, completion=answer)
        if message.content and message.refusal is None:
            message.parsed = kind.model_validate_json(message.content)
    return answer
