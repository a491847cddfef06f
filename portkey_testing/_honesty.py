"""A reply against the request it answers: could this model have said that?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from portkey_testing.failures import DishonestReply
from portkey_testing.replies import Answer, ToolCall

RULE_OFFERED = "unoffered_tools"
RULE_ARGUMENTS = "invalid_tool_arguments"


def check(answer: Answer, params: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Hold a scripted answer against the request.

    Raises:
        DishonestReply: it calls a tool the request did not offer, or with arguments the offered schema forbids.
    """
    if not answer.tool_calls:
        return
    offered = _offered(params)
    for call in answer.tool_calls:
        if call.name not in offered:
            if RULE_OFFERED not in allowed:
                names = ", ".join(sorted(offered)) or "none"
                raise DishonestReply(
                    f"the script calls the tool {call.name!r}, which the request does not offer. Offered: {names}. "
                    f"Offer it in `tools`, or loosen the rule with fake.allow({RULE_OFFERED!r})."
                )
        elif RULE_ARGUMENTS not in allowed:
            _check_arguments(call, offered[call.name])


def _check_arguments(call: ToolCall, schema: Mapping[str, Any]) -> None:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        # Written with raw=...: the test wants what models really send.
        return
    problems = sorted(Draft202012Validator(schema).iter_errors(arguments), key=lambda problem: list(problem.path))
    if problems:
        found = "; ".join(
            f"{'.'.join(map(str, problem.path)) or 'arguments'}: {problem.message}" for problem in problems
        )
        raise DishonestReply(
            f"the script calls {call.name} with {call.arguments}, which its schema in the request forbids: {found}. "
            f"Mend the script, or loosen the rule with fake.allow({RULE_ARGUMENTS!r})."
        )


def _offered(params: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The schema of each tool the request offers, by name."""
    tools = params.get("tools")
    functions = [tool.get("function") for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    return {
        str(function["name"]): function.get("parameters") or {}
        for function in functions
        if isinstance(function, Mapping) and "name" in function
    }
