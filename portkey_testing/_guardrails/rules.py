"""Checks of what a request asks for: its model, its metadata, its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portkey_testing import _javascript
from portkey_testing._guardrails.subject import CheckError, Finding, Params, Subject, compared, model_of, negation


def model_whitelist(subject: Subject, params: Params) -> Finding:
    models, negated = params.get("models"), negation(params)
    if not isinstance(models, list):
        raise CheckError("Missing or invalid model whitelist")
    model = model_of(subject)
    listed = model in models
    verdict = not listed if negated else listed
    said = {
        (True, False): f'Model "{model}" is allowed.',
        (True, True): f'Model "{model}" is not in the allowed list as expected.',
        (False, False): f'Model "{model}" is not in the allowed list.',
        (False, True): f'Model "{model}" is in the allowed list when it should not be.',
    }[verdict, bool(negated)]
    return Finding(
        verdict,
        {"verdict": verdict, "not": negated, "explanation": said, "requestedModel": model, "allowedModels": models},
    )


def model_rules(subject: Subject, params: Params) -> Finding:
    rules, negated = params.get("rules"), negation(params)
    model = model_of(subject)
    if not isinstance(rules, Mapping | list) or not _javascript.truthy(rules):
        raise CheckError("Missing rules configuration")
    given = rules if isinstance(rules, Mapping) else {}
    allowed: list[str] = []
    matched: list[str] = []
    by_metadata = given.get("metadata")
    for key, models in (by_metadata if isinstance(by_metadata, Mapping) else {}).items():
        value = subject.metadata.get(key)
        for text in map(_javascript.text, value if isinstance(value, list) else [] if value is None else [value]):
            listed = models.get(text) if isinstance(models, Mapping) else None
            if isinstance(listed, list):
                matched.append(f"{key}:{text}")
                allowed.extend(name for name in listed if isinstance(name, str) and name)
    by_default = not allowed
    if by_default:
        defaults = given.get("defaults")
        allowed = [_javascript.text(name) for name in defaults] if isinstance(defaults, list) else []
    if not allowed:
        raise CheckError("No allowed models resolved from rules")
    verdict = (model not in allowed) if negated else (model in allowed)
    if not verdict:
        said = "is permitted by rules (in blocked list)." if negated else "is not allowed by rules."
        return Finding(verdict=False, data={"explanation": f'Model "{model}" {said}'})
    said = "is not permitted by rules (blocked list)." if negated else "is allowed by rules."
    because = f" (matched rules: {', '.join(matched)})" if matched else " (using default models)" if by_default else ""
    return Finding(verdict=True, data={"explanation": f'Model "{model}" {said}{because}'})


def required_metadata_keys(subject: Subject, params: Params) -> Finding:
    keys, operator = params.get("metadataKeys"), params.get("operator")
    problem = None
    if subject.stage != "input":
        problem = "This plugin only works for before_request_hooks"
    elif not isinstance(keys, list) or not keys:
        problem = "metadataKeys must be an array and not empty"
    elif not all(isinstance(key, str) for key in keys):
        problem = "metadataKeys must be an array of strings"
    elif operator not in ("all", "any", "none"):
        problem = "operator must be one of: all, any, none"
    if problem is not None or not isinstance(keys, list):
        return Finding(verdict=True, error={"message": problem or ""})
    found = [key for key in keys if key in subject.metadata]
    missing = [key for key in keys if key not in subject.metadata]
    verdict, outcome = compared(operator, found, missing, "metadata keys", "metadata key")
    explanation = f"Check {'passed' if verdict else 'failed'} for '{operator}' metadata keys.{outcome}"
    data = {
        "explanation": explanation,
        "missing_metadata_keys": missing,
        "found_metadata_keys": found,
        "operator": operator,
    }
    return Finding(verdict, data)


def allowed_request_types(subject: Subject, params: Params) -> Finding:
    allowed = _listed(params.get("allowedTypes")) or _listed(subject.metadata.get("supported_endpoints"))
    blocked = _listed(params.get("blockedTypes")) or _listed(subject.metadata.get("blocked_endpoints"))
    kind = subject.endpoint
    conflicts = [name for name in allowed if name in blocked]
    if conflicts:
        raise CheckError(
            "Conflict detected: The following types appear in both allowedTypes and blockedTypes: "
            f"{', '.join(conflicts)}. Please remove them from one list."
        )
    mode, verdict, said = _request_type_rule(kind, allowed, blocked)
    shown: dict[str, Any] = {"currentRequestType": kind}
    if allowed or mode == "unrestricted":
        shown["allowedTypes"] = allowed or ["all"]
    if blocked:
        shown["blockedTypes"] = blocked
    source = "default"
    if any(_javascript.truthy(params.get(name)) for name in ("allowedTypes", "blockedTypes")):
        source = "parameters"
    elif subject.metadata.get("supported_endpoints") or subject.metadata.get("blocked_endpoints"):
        source = "metadata"
    return Finding(verdict, {**shown, "verdict": verdict, "explanation": said, "source": source, "mode": mode})


def _request_type_rule(kind: str, allowed: Sequence[str], blocked: Sequence[str]) -> tuple[str, bool, str]:
    named = f'Request type "{kind}"'
    if allowed and blocked:
        if kind in blocked:
            return "combined", False, f"{named} is explicitly blocked."
        if kind in allowed:
            return "combined", True, f"{named} is allowed (in allowlist and not blocked)."
        rest = ", ".join(name for name in allowed if name not in blocked)
        return "combined", False, f"{named} is not in the allowed list. Allowed types (excluding blocked): {rest}"
    if blocked:
        said = f"{named} is blocked." if kind in blocked else f"{named} is allowed (not in blocklist)."
        return "blocklist", kind not in blocked, said
    if allowed:
        said = f"{named} is not allowed. Allowed types are: {', '.join(allowed)}"
        return "allowlist", kind in allowed, f"{named} is allowed." if kind in allowed else said
    return "unrestricted", True, f"{named} is allowed (no restrictions configured)."


def _listed(value: Any) -> list[str]:
    if isinstance(value, list):
        return value
    return [item.strip() for item in value.split(",")] if isinstance(value, str) and value else []
