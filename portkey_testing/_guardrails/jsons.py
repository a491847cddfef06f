"""Checks of the JSON in a text: its keys, or its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from portkey_testing import _javascript, _patterns
from portkey_testing._guardrails.schemas import Schema, UnresolvedError
from portkey_testing._guardrails.subject import (
    CheckError,
    Finding,
    Params,
    Subject,
    UnreadableError,
    compared,
    excerpt,
    negation,
    text_of,
)

_OPERATORS: Final = ("any", "all", "none")

_FENCED_JSON = re.compile(r"```+(?:json)?\s*([\s\S]*?)```+")
_BRACED = re.compile(r"{[\s\S]*?}")


def json_keys(subject: Subject, params: Params) -> Finding:
    keys, operator = params.get("keys"), params.get("operator")
    text = text_of(subject)
    if not isinstance(keys, list) or not keys:
        raise CheckError("Missing or invalid keys array")
    if operator not in _OPERATORS:
        raise CheckError('Invalid or missing operator (must be "any", "all", or "none")')
    written = [*(m.group(1).strip() for m in _FENCED_JSON.finditer(text)), *_BRACED.findall(text)]
    if not written:
        data = {
            "explanation": "No valid JSON found in the text.",
            "requiredKeys": keys,
            "operator": operator,
            "textExcerpt": excerpt(text),
        }
        return Finding(verdict=False, data=data)
    best: tuple[Any, list[Any], list[Any], bool] = (None, [], keys, False)
    for value in _parsed(written):
        held = _javascript.spread(value)
        present = [key for key in keys if key in held]
        missing = [key for key in keys if key not in held]
        holds, _ = compared(operator, present, missing, "", "")
        if holds or len(present) > len(best[1]):
            best = (value, present, missing, holds)
        if holds:
            break
    value, present, missing, verdict = best
    data = {
        "matchedJson": value,
        "verdict": verdict,
        "explanation": _keys_explained(str(operator), present, missing, verdict=verdict),
        "presentKeys": present,
        "missingKeys": missing,
        "operator": operator,
        "textExcerpt": excerpt(text),
    }
    return Finding(verdict, data)


def _keys_explained(operator: str, present: Sequence[Any], missing: Sequence[Any], *, verdict: bool) -> str:
    found = f"Found keys: [{', '.join(map(str, present))}]" if present else "No matching keys found"
    lacking = f"Missing keys: [{', '.join(map(str, missing))}]" if missing else "No missing keys"
    return {
        ("any", True): f"Successfully found at least one required key. {found}.",
        ("any", False): f"Failed to find any required keys. {lacking}.",
        ("all", True): f"Successfully found all required keys. {found}.",
        ("all", False): f"Failed to find all required keys. {lacking}.",
        ("none", True): f"Successfully verified no required keys are present. {lacking}.",
        ("none", False): f"Found some keys that should not be present. {found}.",
    }[operator, verdict]


def json_schema(subject: Subject, params: Params) -> Finding:
    schema, negated = params.get("schema"), negation(params)
    if not isinstance(schema, Mapping | list):
        return _no_schema("Missing or invalid JSON schema", "Error", negated)
    try:
        text = subject.text
    except UnreadableError as error:
        return _no_schema(str(error), "TypeError", negated)
    written = [m.group(1).strip() for m in _FENCED_JSON.finditer(text)] or _BRACED.findall(text)
    if not written:
        return Finding(verdict=False, data={"explanation": "No valid JSON found in the response.", "not": negated})
    rules = Schema(schema)
    best: tuple[Any, list[str]] | None = None
    for value in _parsed(written):
        try:
            problems = rules.complaints(value)
        except (UnresolvedError, _patterns.InvalidPatternError) as error:
            return _no_schema(str(error), "Error", negated)
        if best is None or not problems:
            best = (value, problems)
        if not problems:
            break
    if best is None or not _javascript.truthy(best[0]):
        return Finding(verdict=False)
    value, problems = best
    verdict = bool(problems) if negated else not problems
    said = {
        (True, False): "Successfully validated JSON against the provided schema.",
        (True, True): "Successfully validated JSON does not match the schema as expected.",
        (False, False): "Failed to validate JSON against the provided schema.",
        (False, True): "JSON matches the schema when it should not.",
    }[verdict, bool(negated)]
    # The gateway looks for the path under a name its validator does not use, so it is always empty.
    errors = [{"path": "", "message": problem} for problem in problems]
    return Finding(verdict, {"matchedJson": value, "not": negated, "explanation": said, "validationErrors": errors})


def _no_schema(message: str, kind: str, negated: Any) -> Finding:
    data = {"explanation": "An error occurred while processing the JSON.", "error": message, "not": negated}
    return Finding(verdict=False, data=data, error={"name": kind, "message": message})


def _parsed(written: Iterable[str]) -> Iterable[Any]:
    for text in written:
        try:
            yield json.loads(text)
        except ValueError:
            continue
