"""Conditional routing: which named target the queries of a config choose.

The language is that of Portkey's open-source gateway 1.15.2 (its `conditionalRouter`), with the corners it has:
`$or`, `$and` and `$regex` return at once, so what stands behind them in the same object is not looked at; comparisons
are JavaScript's, so `"7"` is not `7`, and a missing key is not equal to anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portkey_testing import _javascript, _patterns
from portkey_testing._javascript import MISSING


class RouterError(Exception):
    """The queries lead nowhere; the text is the gateway's own."""


def choose(conditions: Sequence[Mapping[str, Any]] | None, default: str | None, context: Mapping[str, Any]) -> str:
    """The name of the chosen target.

    Raises:
        RouterError: nothing was chosen, or a query uses an unknown operator.
    """
    if conditions is None:
        raise RouterError("No conditions passed in the query router")
    for condition in conditions:
        if _holds(condition["query"], context):
            return str(condition["then"])
    if not default:
        raise RouterError("Query router did not resolve to any valid target")
    return default


def context_of(metadata: Mapping[str, Any], body: object, path: str) -> dict[str, Any]:
    """What queries can ask about: the request's metadata, the client's body and the path."""
    return {"metadata": metadata, "params": body if isinstance(body, dict) else {}, "url": {"pathname": path}}


def _holds(query: Any, context: Mapping[str, Any]) -> bool:
    for key, expected in _javascript.spread(query).items():
        if key == "$or" and isinstance(expected, list):
            return any(_holds(part, context) for part in expected)
        if key == "$and" and isinstance(expected, list):
            return all(_holds(part, context) for part in expected)
        value = _value(key, context)
        if isinstance(expected, Mapping | list):
            if not _operators_hold(_javascript.spread(expected), value):
                return False
        elif not _javascript.same(value, expected):
            return False
    return True


def _operators_hold(operators: Mapping[str, Any], value: Any) -> bool:
    for operator, operand in operators.items():
        match operator:
            case "$regex":
                return _matches(operand, value)
            case "$eq":
                holds = _javascript.same(value, operand)
            case "$ne":
                holds = not _javascript.same(value, operand)
            case "$gt" | "$gte" | "$lt" | "$lte":
                holds = _compares(operator, _javascript.number(value), _javascript.number(operand))
            case "$in":
                holds = isinstance(operand, list) and any(_javascript.same(value, item) for item in operand)
            case "$nin":
                holds = isinstance(operand, list) and not any(_javascript.same(value, item) for item in operand)
            case _:
                raise RouterError(f"Unsupported operator used in the query router: {operator}")
        if not holds:
            return False
    return True


def _value(key: str, context: Mapping[str, Any]) -> Any:
    """What a key names: only its first two parts count, and it needs both."""
    root, *rest = key.split(".")
    found = context.get(root)
    return found.get(rest[0], MISSING) if rest and isinstance(found, Mapping) else MISSING


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


def _matches(pattern: Any, value: Any) -> bool:
    try:
        return _patterns.pattern(_javascript.text(pattern)).search(_javascript.text(value)) is not None
    except _patterns.InvalidPatternError:
        return False
