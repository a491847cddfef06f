"""Guardrail checks that need nothing but the request or the answer: what each looks at and what it says.

A check is a function from a `Subject` and its parameters to a `Finding`. The wording of `data` is part of what the
application sees, so it is that of Portkey's open-source gateway 1.15.2 (its `plugins/default`). Which checks run when,
and what follows from them, is `_hooks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from portkey_testing import _patterns
from portkey_testing._data import table
from portkey_testing._guardrails import changes, jsons, rules, texts
from portkey_testing._guardrails.subject import (
    Check,
    CheckError,
    Finding,
    Params,
    Stage,
    Subject,
    UnreadableError,
    excerpt,
    negation,
)

__all__ = ["Finding", "Stage", "Subject", "UnreadableError", "every_check", "external_checks", "known", "run"]


@cache
def external_checks() -> frozenset[str]:
    """The checks that the gateway leaves to a service outside."""
    return frozenset(table("gateway_checks")["external"])


@dataclass(frozen=True, slots=True)
class _Excuse:
    """What a check says where it cannot judge.

    Attributes:
        explanation: Beginning of the sentence.
        echoed: Parameters it repeats, by the name it repeats them under.
        negation: It repeats `not`.
        excerpt: It quotes the text.
    """

    explanation: str
    echoed: tuple[tuple[str, str], ...] = ()
    negation: bool = True
    excerpt: bool = True

    def data(self, subject: Subject, params: Params, message: str) -> dict[str, Any]:
        said: dict[str, Any] = {"explanation": f"{self.explanation}: {message}"}
        said |= {name: params[given] for name, given in self.echoed if given in params}
        if self.negation:
            said["not"] = negation(params)
        if self.excerpt:
            said["textExcerpt"] = excerpt(subject.text) or "No text available"
        return said


def _same(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in names)


_CHECKS: Final[Mapping[str, tuple[Check, _Excuse | None]]] = {
    "addPrefix": (changes.add_prefix, None),
    "alllowercase": (texts.all_lower, _Excuse("An error occurred while checking lowercase")),
    "alluppercase": (texts.all_upper, _Excuse("An error occurred while checking uppercase")),
    "allowedRequestTypes": (
        rules.allowed_request_types,
        _Excuse(
            "An error occurred while checking allowed request types",
            _same("allowedTypes", "blockedTypes"),
            negation=False,
            excerpt=False,
        ),
    ),
    "characterCount": (
        texts.character_count,
        _Excuse("An error occurred while counting characters", _same("minCharacters", "maxCharacters")),
    ),
    "contains": (texts.contains, None),
    "containsCode": (
        texts.contains_code,
        _Excuse("Error while checking for code blocks", (("searchedFormat", "format"),)),
    ),
    "endsWith": (texts.ends_with, _Excuse("An error occurred while checking suffix", _same("suffix"))),
    "jsonKeys": (
        jsons.json_keys,
        _Excuse(
            "An error occurred while processing JSON",
            (("operator", "operator"), ("requiredKeys", "keys")),
            negation=False,
        ),
    ),
    "jsonSchema": (jsons.json_schema, None),
    "modelRules": (
        rules.model_rules,
        _Excuse("An error occurred while checking model rules", negation=False, excerpt=False),
    ),
    "modelWhitelist": (
        rules.model_whitelist,
        _Excuse("An error occurred while checking model whitelist", excerpt=False),
    ),
    "notNull": (texts.not_null, None),
    "regexMatch": (
        texts.regex_match,
        _Excuse("An error occurred while processing the regex", (("regexPattern", "rule"),)),
    ),
    "regexReplace": (
        changes.regex_replace,
        _Excuse(
            "An error occurred while processing the regex", (("regexPattern", "rule"),), negation=False, excerpt=False
        ),
    ),
    "requiredMetadataKeys": (rules.required_metadata_keys, None),
    "sentenceCount": (
        texts.sentence_count,
        _Excuse("An error occurred", (("minCount", "minSentences"), ("maxCount", "maxSentences"))),
    ),
    "wordCount": (
        texts.word_count,
        _Excuse("An error occurred while processing word count", _same("minWords", "maxWords")),
    ),
}


def known(check_id: str) -> bool:
    """Whether a check runs here."""
    family, _, name = check_id.partition(".")
    return family == "default" and name in _CHECKS


def every_check() -> frozenset[str]:
    """The checks that run here or are left to a service outside."""
    return external_checks() | {f"default.{name}" for name in _CHECKS}


def run(check_id: str, subject: Subject, params: Params) -> Finding:
    """What a check finds.

    Raises:
        UnreadableError: the subject is no request or answer at all.
    """
    name = check_id.partition(".")[2]
    check, excuse = _CHECKS[name]
    try:
        return check(subject, params)
    except (CheckError, _patterns.InvalidPatternError) as error:
        if excuse is None:
            raise UnreadableError(str(error)) from error
        data = excuse.data(subject, params, str(error))
        if name == "modelWhitelist":
            data |= {
                "requestedModel": subject.request.get("model") or "No model specified",
                "allowedModels": params.get("models") or [],
            }
        if name == "allowedRequestTypes":
            data["currentRequestType"] = subject.endpoint
        kind = error.kind if isinstance(error, CheckError) else "SyntaxError"
        return Finding(name == "regexReplace", data, {"name": kind, "message": str(error)})
