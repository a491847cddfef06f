"""Which fields of a request reach which provider, under which name and within which limits.

The tables are data, see `_data/provider_requests.json`; this applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from portkey_testing import _data as data
from portkey_testing import _javascript
from portkey_testing._dialects.base import UnmappableError, bounded
from portkey_testing._javascript import MISSING

DEFAULT_MODEL: Final = "portkey-default"
"""What stands for the default of a table, in any field."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One kind of request to one provider.

    Attributes:
        host: The provider's base URL.
        path: What follows it; None is the path of the request itself.
        fields: What is passed on.
    """

    host: str
    path: str | None
    fields: Mapping[str, Mapping[str, Any]]

    def url(self, custom_host: str | None, requested: str) -> str:
        """Where the request goes: plain concatenation, so a trailing slash of a custom host stays."""
        # The gateway splits the whole URL, so a second `/v1` ends the path.
        path = requested.split("/v1")[1] if self.path is None else self.path
        return (custom_host or self.host) + path

    def body(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that reach the provider, in the order in which they are sent."""
        body: dict[str, Any] = {}
        for name, sent_as, rule in _fields(self, tuple(params)):
            value = _value(name, rule, params) if rule else params[name]
            if value is not MISSING:
                body[sent_as] = value
        return body


@lru_cache(maxsize=512)
def _fields(table: Table, given: tuple[str, ...]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Each field that reaches the provider: its name, what it is called there, and the rule it is held to.

    Requests with the same fields come again and again.
    """
    return [
        (name, rule.get("to", name), rule)
        for name, rule in table.fields.items()
        if name in given or (rule.get("required") and "default" in rule)
    ]


@cache
def table(provider: str, endpoint: str) -> Table | None:
    """The table for one kind of request; None where the gateway does not support it for that provider.

    A provider without a table of its own is taken for one that speaks like OpenAI.
    """
    providers = _providers()
    known = providers.get(provider, providers["others"])
    found = known["endpoints"].get(endpoint)
    if found is None:
        return None
    return Table(host(provider), found["path"], found["fields"])


def host(provider: str) -> str:
    """The provider's base URL."""
    known = _providers().get(provider)
    return f"https://{provider}" if known is None else str(known["host"])


def proxied_url(provider: str, custom_host: str | None, requested: str) -> str:
    """Where a request goes that the gateway passes on as it is."""
    parts = urlsplit(requested)
    path = parts.path.replace("/v1/proxy" if "/v1/proxy" in parts.path else "/v1", "", 1)
    url = f"{custom_host or host(provider)}{path}{f'?{parts.query}' if parts.query else ''}"
    return url.replace("/v1/v1/", "/v1/", 1) if provider == "anthropic" else url


def _value(name: str, rule: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
    if name not in params:
        return rule["default"]
    value = _CHANGES[rule["change"]](params) if "change" in rule else params[name]
    if value == DEFAULT_MODEL and "default" in rule:
        value = rule["default"]
    return bounded(value, rule.get("min"), rule.get("max")) if isinstance(value, int | float) else value


def _developer_to_system(params: Mapping[str, Any]) -> Any:
    messages = params["messages"]
    if messages is None:
        return MISSING
    if not isinstance(messages, list) or None in messages:
        raise UnmappableError("the messages are no list of messages")
    return [
        {**message, "role": "system"} if isinstance(message, dict) and message.get("role") == "developer" else message
        for message in messages
    ]


def _without_mistral_prefix(params: Mapping[str, Any]) -> Any:
    model = params["model"]
    if model is None:
        return MISSING
    if not isinstance(model, str):
        raise UnmappableError("the model is no name")
    return model.replace("mistralai.", "", 1)


def _required_to_any(params: Mapping[str, Any]) -> Any:
    return "any" if params["tool_choice"] == "required" else params["tool_choice"]


def _inputs(params: Mapping[str, Any]) -> Any:
    return params["input"] if isinstance(params["input"], list) else [params["input"]]


def _in_turns(params: Mapping[str, Any]) -> Any:
    return f"\n\nHuman: {_javascript.text(params['prompt'])}\n\nAssistant:"


def _list_of_stops(params: Mapping[str, Any]) -> Any:
    return [] if params["stop"] is None else params["stop"]


def _openrouter_reasoning(params: Mapping[str, Any]) -> Any:
    given = params.get("reasoning")
    effort = {"effort": params["reasoning_effort"]} if params.get("reasoning_effort") else {}
    return {**(given if isinstance(given, Mapping) else {}), **effort} or None


def _openrouter_usage(params: Mapping[str, Any]) -> Any:
    given, options = params.get("usage"), params.get("stream_options")
    include = options.get("include_usage") if isinstance(options, Mapping) else None
    return {**(given if isinstance(given, Mapping) else {}), **({"include": include} if include else {})} or None


def _thinking_or_not(params: Mapping[str, Any]) -> bool:
    given = params["thinking"]
    return not (isinstance(given, Mapping) and given.get("type") == "disabled")


_CHANGES: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "as_list": _inputs,
    "developer_to_system": _developer_to_system,
    "in_turns": _in_turns,
    "list_of_stops": _list_of_stops,
    "openrouter_reasoning": _openrouter_reasoning,
    "openrouter_usage": _openrouter_usage,
    "required_to_any": _required_to_any,
    "thinking_or_not": _thinking_or_not,
    "without_mistral_prefix": _without_mistral_prefix,
}


@cache
def _providers() -> Mapping[str, Any]:
    providers: Mapping[str, Any] = data.table("provider_requests")["providers"]
    return providers
