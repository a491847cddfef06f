"""Which requests a provider would refuse, in its own words.

The judge sees what the provider would see: the body after the gateway has dropped fields it does not know, clamped
numbers and added defaults. So a `temperature` of 3 is no mistake here, because the gateway makes a 2 of it.

Only rules whose source is known stand here, and a provider without rules takes everything. A rule that depends on the
model is held only against models that are known to have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from portkey_testing._refusals import anthropic, openai

RULE: Final = "refused_requests"


@dataclass(frozen=True, slots=True)
class Refused:
    """A provider's refusal.

    Attributes:
        status: HTTP status.
        body: The error body.
        advice: What the author of the request can do, for the failure message; may be empty.
    """

    status: int
    body: Mapping[str, Any]
    advice: str = ""

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])

    @property
    def explanation(self) -> str:
        """Its words and the advice, as sentences."""
        return " ".join(f"{part.rstrip('.')}." for part in (self.message, self.advice) if part)


def refused(provider: str, body: Any, *, escapes: bool = True) -> Refused | None:
    """The provider's refusal of a request; None if it takes it.

    Args:
        provider: Its name.
        body: What it gets.
        escapes: The JSON it was read from may have had characters written as escapes.
    """
    if not isinstance(body, dict):
        return None
    match provider:
        case "openai":
            return _openai(body, escapes=escapes)
        case "anthropic":
            return _anthropic(body)
    return None


def _openai(body: Mapping[str, Any], *, escapes: bool) -> Refused | None:
    problem = openai.problem(body, escapes=escapes)
    if problem is None:
        return None
    error = {
        "message": problem.message,
        "type": "invalid_request_error",
        "param": problem.param,
        "code": problem.code,
    }
    return Refused(problem.status, {"error": error}, problem.advice)


def _anthropic(body: Mapping[str, Any]) -> Refused | None:
    problem = anthropic.problem(body)
    if problem is None:
        return None
    error = {"type": problem.kind, "message": problem.message}
    return Refused(problem.status, {"type": "error", "error": error}, problem.advice)
