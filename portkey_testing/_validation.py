"""Which requests a provider would refuse, in its own words.

Only rules whose source is known stand here. A provider without rules takes everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

RULE = "refused_requests"


@dataclass(frozen=True, slots=True)
class Refused:
    """A provider's refusal.

    Attributes:
        status: HTTP status.
        body: The error body.
        advice: What the author of the request can do, for the failure message.
    """

    status: int
    body: Mapping[str, Any]
    advice: str

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


def refused(provider: str, body: Any) -> Refused | None:
    """The provider's refusal of that upstream body; None if it takes it."""
    rules = _RULES.get(provider)
    return rules(body) if rules is not None and isinstance(body, Mapping) else None


def _openai(body: Mapping[str, Any]) -> Refused | None:
    model = body.get("model")
    if isinstance(model, str) and model.startswith("claude-"):
        error = {
            "message": f"The model `{model}` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
        return Refused(404, {"error": error}, f"{model!r} is Anthropic's; {_OVERRIDE}")
    return None


def _anthropic(body: Mapping[str, Any]) -> Refused | None:
    # The Messages API reference makes model and max_tokens required; its errors are worded by pydantic.
    model = body.get("model")
    if model is None:
        return _anthropic_refusal(400, "invalid_request_error", "model: Field required", _OVERRIDE)
    if body.get("max_tokens") is None:
        advice = "Anthropic insists on max_tokens: send it, or put it into the target's override_params"
        return _anthropic_refusal(400, "invalid_request_error", "max_tokens: Field required", advice)
    if str(model).startswith(_OTHER_FAMILIES):
        return _anthropic_refusal(
            404, "not_found_error", f"model: {model}", f"{model!r} is not Anthropic's; {_OVERRIDE}"
        )
    return None


def _anthropic_refusal(status: int, kind: str, message: str, advice: str) -> Refused:
    return Refused(status, {"type": "error", "error": {"type": kind, "message": message}}, advice)


_OTHER_FAMILIES: Final = ("gpt-", "o1", "o3", "o4", "chatgpt-", "gemini-", "mistral-", "llama-", "command-", "portkey-")
_OVERRIDE: Final = 'give the target its own with "override_params": {"model": ...}'
_RULES: Final[Mapping[str, Callable[[Mapping[str, Any]], Refused | None]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
}
