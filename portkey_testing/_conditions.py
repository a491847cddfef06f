"""Conditional routing: which named target the queries of a config choose.

The language is that of Portkey's open-source gateway 1.15.2 (its `conditionalRouter`), with the corners it has:
`$or`, `$and` and `$regex` return at once, so what stands behind them in the same object is not looked at; comparisons
are JavaScript's, so `"7"` is not `7`, and a missing key is not equal to anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_MISSING = object()
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|Infinity))")


class RouterError(Exception):
    """The queries lead nowhere; the text is the gateway's own."""


def choose(conditions: Sequence[Mapping[str, Any]], default: str | None, context: Mapping[str, Any]) -> str:
    """The name of the chosen target.

    Raises:
        RouterError: nothing was chosen, or a query uses an unknown operator.
    """
    if not conditions:
        raise RouterError("No conditions passed in the query router")
    for condition in conditions:
        if _holds(condition["query"], context):
            return str(condition["then"])
    if default is None:
        raise RouterError("Query router did not resolve to any valid target")
    return default


def context_of(headers: Mapping[str, str], body: object, path: str) -> dict[str, Any]:
    """What queries can ask about: the metadata header, the client's body and the path."""
    try:
        metadata = json.loads(headers.get("x-portkey-metadata", "{}"))
    except ValueError:
        metadata = {}
    return {
        "metadata": metadata if isinstance(metadata, Mapping) else {},
        "params": body if isinstance(body, Mapping) else {},
        "url": {"pathname": path},
    }


def _holds(query: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    for key, expected in query.items():
        if key == "$or":
            return any(_holds(part, context) for part in expected)
        if key == "$and":
            return all(_holds(part, context) for part in expected)
        value = _value(key, context)
        if isinstance(expected, Mapping):
            if not _operators_hold(expected, value):
                return False
        elif not _equal(value, expected):
            return False
    return True


def _operators_hold(operators: Mapping[str, Any], value: Any) -> bool:
    for operator, operand in operators.items():
        match operator:
            case "$regex":
                return _matches(operand, value)
            case "$eq":
                holds = _equal(value, operand)
            case "$ne":
                holds = not _equal(value, operand)
            case "$gt" | "$gte" | "$lt" | "$lte":
                holds = _compares(operator, _number(value), _number(operand))
            case "$in":
                holds = isinstance(operand, list) and any(_equal(value, item) for item in operand)
            case "$nin":
                holds = isinstance(operand, list) and not any(_equal(value, item) for item in operand)
            case _:
                raise RouterError(f"Unsupported operator used in the query router: {operator}")
        if not holds:
            return False
    return True


def _value(key: str, context: Mapping[str, Any]) -> Any:
    root, *rest = key.split(".")
    found = context.get(root, _MISSING)
    # Only the first two parts of a key count.
    if rest and found is not _MISSING:
        found = found.get(rest[0], _MISSING) if isinstance(found, Mapping) else _MISSING
    return found


def _equal(left: Any, right: Any) -> bool:
    """JavaScript's `===` on JSON values."""
    if left is _MISSING or right is _MISSING or isinstance(left, list | Mapping) or isinstance(right, list | Mapping):
        return False
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    return type(left) is type(right) and left == right


def _compares(operator: str, left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return False
    match operator:
        case "$gt":
            return left > right
        case "$gte":
            return left >= right
        case "$lt":
            return left < right
        case _:
            return left <= right


def _number(value: Any) -> float | None:
    """JavaScript's `parseFloat`: the number a text begins with."""
    found = _NUMBER.match(_text(value))
    return float(found.group(1)) if found else None


def _matches(pattern: Any, value: Any) -> bool:
    try:
        return re.search(_text(pattern), _text(value)) is not None
    except re.error:
        return False


def _text(value: Any) -> str:
    """JavaScript's `String(value)` on JSON values."""
    if value is _MISSING:
        return "undefined"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
