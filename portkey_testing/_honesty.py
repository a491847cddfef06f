"""A reply against the request it answers: could this model have said that?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing.exceptions import Unresolvable

from portkey_testing._conversation import functions_offered
from portkey_testing._encode import compact
from portkey_testing.failures import DishonestReply
from portkey_testing.replies import Answer, Refusal, ToolCall

RULE_OFFERED: Final = "unoffered_tools"
RULE_ARGUMENTS: Final = "invalid_tool_arguments"
RULE_STRUCTURE: Final = "unstructured_output"
RULES: Final = frozenset((RULE_OFFERED, RULE_ARGUMENTS, RULE_STRUCTURE))


def check(answer: Answer, params: Mapping[str, Any], allowed: AbstractSet[str], *, whole: bool = True) -> None:
    """Hold a scripted answer against the request.

    Args:
        answer: What the model says.
        params: The request in OpenAI's shape.
        allowed: Rules that are loosened.
        whole: It is known to be complete; what may be a part need not be in the format that was asked for.

    Raises:
        DishonestReply: it calls a tool the request did not offer, or with arguments the offered schema forbids; it has
            not as many choices as were asked for; it is not in the format that was; or nobody can tell, because the
            schema in the request is broken.
    """
    said = (answer, *answer.others)
    if answer.others:
        _check_count(len(said), params)
    for choice in said:
        if choice.tool_calls:
            _check_calls(choice, params, allowed)
        elif whole and RULE_STRUCTURE not in allowed:
            _check_structure(choice, params)


def _check_count(count: int, params: Mapping[str, Any]) -> None:
    asked = params.get("n") or 1
    if asked != count:
        raise DishonestReply(
            f"the script gives {count} choices, and the request asks for n={asked}. Ask for n={count}, or script as "
            "many choices as are asked for."
        )


def _check_calls(answer: Answer, params: Mapping[str, Any], allowed: AbstractSet[str]) -> None:
    offered = functions_offered(params)
    for call in answer.tool_calls:
        if call.name not in offered:
            if RULE_OFFERED not in allowed:
                names = ", ".join(sorted(offered)) or "none"
                raise DishonestReply(
                    f"the script calls the tool {call.name!r}, which the request does not offer. Offered: {names}. "
                    f"Offer it in `tools`, or loosen the rule with fake.allow({RULE_OFFERED!r})."
                )
        elif RULE_ARGUMENTS not in allowed:
            _check_arguments(call, offered[call.name].get("parameters") or {})


def _check_arguments(call: ToolCall, schema: Mapping[str, Any]) -> None:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        # Written with raw=...: the test wants what models really send.
        return
    found = _problems(schema, arguments, "arguments", RULE_ARGUMENTS)
    if found:
        raise DishonestReply(
            f"the script calls {call.name} with {call.arguments}, which its schema in the request forbids: {found}. "
            f"Mend the script, or loosen the rule with fake.allow({RULE_ARGUMENTS!r})."
        )


def _check_structure(answer: Answer, params: Mapping[str, Any]) -> None:
    """Structured output is what was asked for, and a strict schema leaves a model nothing else to say."""
    wanted = params.get("response_format")
    if wanted is None and not answer.structured:
        return
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    given = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    schema = given if isinstance(given, Mapping) and kind == "json_schema" else {}
    if answer.structured and kind not in ("json_object", "json_schema"):
        raise DishonestReply(
            f"the script gives structured output, {answer}, and the request has no response_format that asks for it. "
            f"Send one, script text(...), or loosen the rule with fake.allow({RULE_STRUCTURE!r})."
        )
    if not answer.structured and schema.get("strict") is not True:
        return
    # A model that declines, runs into its limit or breaks off keeps to no format.
    if answer.finish_reason in ("length", "content_filter") or any(isinstance(p, Refusal) for p in answer.parts):
        return
    found = _structure_problem(answer.text, schema.get("schema"), whole=kind == "json_object")
    if found is not None:
        raise DishonestReply(
            f"the request asks for {kind}, and the script answers {answer}: {found}. Script parsed(...) with what the "
            f"schema allows, or loosen the rule with fake.allow({RULE_STRUCTURE!r})."
        )


def _structure_problem(text: str, schema: object, *, whole: bool) -> str | None:
    try:
        value = json.loads(text)
    except ValueError as cause:
        return f"that is no JSON ({cause})"
    if whole and not isinstance(value, dict):
        return "that is no JSON object"
    problems = _problems(schema, value, "the answer", RULE_STRUCTURE) if isinstance(schema, Mapping) else ""
    return f"its schema forbids that: {problems}" if problems else None


def _problems(schema: Mapping[str, Any], value: Any, whole: str, rule: str) -> str:
    """What the schema has against a value, or nothing."""
    try:
        problems = sorted(_validator(compact(schema)).iter_errors(value), key=lambda problem: str(list(problem.path)))
    except (SchemaError, Unresolvable) as cause:
        broken = cause.message if isinstance(cause, SchemaError) else str(cause)
        raise DishonestReply(
            f"the request has a schema that {whole} cannot be held against: {broken}. Mend the schema, or loosen the "
            f"rule with fake.allow({rule!r})."
        ) from cause
    return "; ".join(f"{'.'.join(map(str, problem.path)) or whole}: {problem.message}" for problem in problems)


@lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    read = json.loads(schema)
    Draft202012Validator.check_schema(read)
    return Draft202012Validator(read)
