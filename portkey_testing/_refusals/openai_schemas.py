"""Which schemas OpenAI refuses, of functions and of structured output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from portkey_testing._refusals.openai_words import kind_of

NESTING_LIMIT: Final = 10
"""Levels of objects in a strict schema; it was 5 until 2025 (tidyverse/ellmer#671, openai/openai-java#732)."""


_NOT_PERMITTED: Final = ("oneOf", "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas")
_SAY_WHAT: Final = ("type", "$ref", "anyOf", "enum", "const")


@lru_cache(maxsize=256)
def schema_problem(written: str, *, strict: bool) -> str | None:
    """What is wrong with the schema of a function or an answer, in OpenAI's words."""
    schema = json.loads(written)
    if not isinstance(schema, Mapping):
        return f"schema must be a JSON Schema of 'type: \"object\"', got '{kind_of(schema)}'."
    kind = schema.get("type")
    if kind != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
    broken = best_match(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema))
    if broken is not None:
        return f"{broken.message}."
    found = next(_problems(schema, (), 1, strict=strict), None)
    return next(_strictly(schema, (), schema), None) if found is None and strict else found


def _strictly(schema: Any, context: tuple[str, ...], root: Mapping[str, Any]) -> Iterator[str]:
    """What the grammar of structured output has no room for, by OpenAI's guide and the reports of its users."""
    if not isinstance(schema, Mapping):
        return
    for word in _NOT_PERMITTED:
        if word in schema:
            yield f"In context={context}, '{word}' is not permitted."
    reference = schema.get("$ref")
    if isinstance(reference, str) and not _resolves(reference, root):
        yield f"In context={context}, reference to component '{reference}' which was not found in the schema."
    if not any(word in schema for word in _SAY_WHAT):
        yield f"In context={context}, schema must have a 'type' key."
    for name, child in (schema.get("properties") or {}).items():
        yield from _strictly(child, (*context, "properties", name), root)
    yield from _strictly(schema.get("items"), (*context, "items"), root)
    for index, child in enumerate(schema.get("anyOf") or ()):
        yield from _strictly(child, (*context, "anyOf", str(index)), root)
    for name, child in (schema.get("$defs") or {}).items():
        yield from _strictly(child, (*context, "$defs", name), root)


def _resolves(reference: str, root: Mapping[str, Any]) -> bool:
    """Whether a reference within the schema leads somewhere."""
    if not reference.startswith("#"):
        return False
    found: Any = root
    for step in filter(None, unquote(reference[1:]).split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return True


def _problems(schema: Any, context: tuple[str, ...], level: int, *, strict: bool) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    properties = schema.get("properties") or {}
    if schema.get("type") == "array" and "items" not in schema and "prefixItems" not in schema:
        yield f"In context={context}, array schema missing items."
    is_object = schema.get("type") == "object" or bool(properties)
    if strict and is_object:
        if level > NESTING_LIMIT:
            yield f"{level} levels of nesting exceeds limit of {NESTING_LIMIT}."
        if schema.get("additionalProperties") is not False:
            yield f"In context={context}, 'additionalProperties' is required to be supplied and to be false."
        missing = [name for name in properties if name not in (schema.get("required") or ())]
        if missing:
            yield (
                f"In context={context}, 'required' is required to be supplied and to be an array including every key "
                f"in properties. Missing '{missing[0]}'."
            )
    deeper = level + 1 if is_object else level
    for name, child in properties.items():
        yield from _problems(child, (*context, "properties", name), deeper, strict=strict)
    yield from _problems(schema.get("items"), (*context, "items"), deeper, strict=strict)
    for index, child in enumerate(schema.get("anyOf") or ()):
        yield from _problems(child, (*context, "anyOf", str(index)), level, strict=strict)
    for name, child in (schema.get("$defs") or {}).items():
        yield from _problems(child, (*context, "$defs", name), 1, strict=strict)
