"""Which requests the gateway refuses before it looks at any target, in its own words.

The order of the checks, the schema and the wording are those of Portkey's open-source gateway 1.15.2 (its
`requestValidator`), whose schema errors are worded by zod 3. Which providers a config may name is `_known_providers`,
which hosts `_custom_hosts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, Final, TypeAlias

from portkey_testing import _hosted_config, _javascript, _mapping
from portkey_testing._custom_hosts import valid_custom_host
from portkey_testing._known_providers import known_providers

Where: TypeAlias = tuple[str | int, ...]

MODES: Final = ("single", "loadbalance", "fallback", "conditional")
CACHE_MODES: Final = ("simple", "semantic")

NO_PROVIDER: Final = "Either x-portkey-config or x-portkey-provider header is required"
NO_PROVIDER_IN_CONFIG: Final = (
    "Either x-portkey-provider needs to be passed. "
    "Or the x-portkey-config header should have a valid config with provider details in it."
)
OLD_CONFIG: Final = "This version of config is not supported in this route. Please migrate to the latest version"
NOT_JSON: Final = "Invalid config passed. You need to pass a valid json"
INCOMPLETE: Final = (
    "Invalid configuration. It must have either 'provider' and 'api_key', or 'strategy' and 'targets', "
    "or 'cache', or 'retry', or 'request_timeout'"
)
INCOMPLETE_VERTEX: Final = (
    "Invalid configuration. ('vertex_project_id' and 'vertex_region') or ('vertex_service_account_json' "
    "and 'vertex_region') are required for 'vertex-ai' provider. Example: { 'provider': 'vertex-ai', "
    "'vertex_project_id': 'my-project-id', 'vertex_region': 'us-central1', api_key: 'ya29...' }"
)

_CONTENT_TYPES: Final = ("application/json", "multipart/form-data")


def refusal(headers: Mapping[str, str], *, hosted: bool = False) -> _mapping.GatewayAnswer | None:
    """The refusal of a request with these headers; None if it goes on.

    Args:
        headers: The request's.
        hosted: The hosted product is asked, to which more fields make a whole config.
    """
    read = headers.get
    return _refusal(
        read("content-type"),
        read("x-portkey-config"),
        read("x-portkey-provider"),
        read("x-portkey-custom-host"),
        hosted=hosted,
    )


@lru_cache(maxsize=128)
def _refusal(
    content_type: str | None, config: str | None, provider: str | None, host: str | None, *, hosted: bool
) -> _mapping.GatewayAnswer | None:
    kind = content_type.split(";")[0] if content_type else ""
    if content_type and kind not in _CONTENT_TYPES and not kind.startswith("audio"):
        return _mapping.failure(400, "Invalid content type passed")
    if not config and not provider:
        return _mapping.failure(400, NO_PROVIDER)
    if provider and provider not in known_providers():
        return _mapping.failure(400, "Invalid provider passed")
    if host and not valid_custom_host(host):
        return _mapping.failure(400, "Invalid custom host")
    return _config_refusal(config, provider, hosted=hosted) if config else None


def _config_refusal(text: str, provider: str | None, *, hosted: bool) -> _mapping.GatewayAnswer | None:
    try:
        config = _javascript.parse_shared(text)
    except ValueError:
        return _mapping.failure(400, NOT_JSON)
    fields = config if isinstance(config, Mapping) else {}
    if not provider:
        if config is None:
            return _mapping.failure(400, NOT_JSON)
        if not _javascript.truthy(fields.get("provider")) and not _javascript.truthy(fields.get("targets")):
            return _mapping.failure(400, NO_PROVIDER_IN_CONFIG)
    issues = _config(config, ()).issues
    if hosted:
        issues = tuple(issue for issue in issues if not _excused(issue, config))
    if issues:
        listed = [f"path: {','.join(map(str, issue.where))}, message: {issue.message}" for issue in issues]
        return _mapping.failure(400, "Invalid config passed", errors=listed)
    if _javascript.truthy(fields.get("options")):
        return _mapping.failure(400, OLD_CONFIG)
    return None


def complaints(config: Mapping[str, Any]) -> list[str]:
    """What the gateway says against the fields of a config, whatever a request adds to it."""
    issues = [issue for issue in _config(config, ()).issues if issue.message not in (INCOMPLETE, INCOMPLETE_VERTEX)]
    return [f"path: {','.join(map(str, issue.where))}, message: {issue.message}" for issue in issues]


def _excused(issue: _Issue, config: Any) -> bool:
    """Whether the hosted product has no such complaint: to it, more fields make a config whole."""
    for step in issue.where:
        config = config[step]
    return issue.message == INCOMPLETE and any(_javascript.truthy(config.get(name)) for name in _hosted_config.COMPLETE)


# The schema, from the leaves up: a rule takes a value and where it stands, and says what is wrong with it.


@dataclass(frozen=True, slots=True)
class _Issue:
    where: Where
    message: str


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a rule found.

    Attributes:
        issues: What is wrong.
        aborted: Something had the wrong type, so what looks at whole objects above it does not run.
    """

    issues: tuple[_Issue, ...] = ()
    aborted: bool = False


_Rule: TypeAlias = Callable[[Any, Where], _Judged]
_FINE: Final = _Judged()


def _type(word: str, *classes: type) -> _Rule:
    def judge(value: Any, where: Where) -> _Judged:
        return _FINE if type(value) in classes else _wrong_type(word, value, where)

    return judge


def _wrong_type(word: str, value: Any, where: Where) -> _Judged:
    if value is _javascript.MISSING:
        return _Judged((_Issue(where, "Required"),), aborted=True)
    return _Judged((_Issue(where, f"Expected {word}, received {_javascript.kind(value)}"),), aborted=True)


_string, _number, _boolean = _type("string", str), _type("number", int, float), _type("boolean", bool)


def _one_of(name: str, values: Sequence[str]) -> _Rule:
    allowed = frozenset(values)

    def judge(value: Any, where: Where) -> _Judged:
        if not isinstance(value, str):
            return _string(value, where)
        if value in allowed:
            return _FINE
        return _Judged((_Issue(where, f"Invalid '{name}' value. Must be one of: {', '.join(values)}"),))

    return judge


def _list(rule: _Rule) -> _Rule:
    def judge(value: Any, where: Where) -> _Judged:
        if not isinstance(value, list):
            return _wrong_type("array", value, where)
        return _all([rule(item, (*where, position)) for position, item in enumerate(value)])

    return judge


def _object(fields: Mapping[str, _Rule], *, required: Sequence[str] = ()) -> _Rule:
    order = {name: position for position, name in enumerate(fields)}

    def judge(value: Any, where: Where) -> _Judged:
        if not isinstance(value, dict):
            return _wrong_type("object", value, where)
        wrong: list[tuple[int, _Judged]] = []
        for name, item in value.items():
            if (rule := fields.get(name)) is not None:
                judged = rule(item, (*where, name))
                if judged is not _FINE:
                    wrong.append((order[name], judged))
        if required:
            missing = [name for name in required if name not in value]
            wrong += [(order[name], fields[name](_javascript.MISSING, (*where, name))) for name in missing]
        return _all([judged for _, judged in sorted(wrong, key=itemgetter(0))]) if wrong else _FINE

    return judge


def _texts_or_objects(value: Any, where: Where) -> _Judged:
    if any(not rule(value, where).issues for rule in (_list(_string), _list(_object({})))):
        return _FINE
    return _Judged((_Issue(where, "Invalid input"),), aborted=True)


def _text_values(value: Any, where: Where) -> _Judged:
    if not isinstance(value, Mapping):
        return _wrong_type("object", value, where)
    return _all([_string(item, (*where, name)) for name, item in value.items()])


def _all(judged: list[_Judged]) -> _Judged:
    if judged.count(_FINE) == len(judged):
        return _FINE
    return _Judged(tuple(issue for each in judged for issue in each.issues), any(each.aborted for each in judged))


def _provider(value: Any, where: Where) -> _Judged:
    # Not made with the others: the providers are read when they are first needed.
    return _rule_of_providers()(value, where)


@cache
def _rule_of_providers() -> _Rule:
    return _one_of("provider", known_providers())


def _config(value: Any, where: Where) -> _Judged:
    """A config, or a target of one."""
    judged = _SHAPE(value, where)
    if judged.aborted:
        return judged
    whole = () if _is_usual(value) else [message for message, holds in _WHOLE if not holds(value)]
    if judged is _FINE and not whole:
        return _FINE
    return _Judged((*judged.issues, *(_Issue(where, message) for message in whole)))


_STRATEGY: Final = _object(
    {
        "mode": _one_of("mode", MODES),
        "on_status_codes": _list(_number),
        "conditions": _list(_object({"query": _object({}), "then": _string}, required=("query", "then"))),
        "default": _string,
    },
    required=("mode",),
)
_CACHE: Final = _object({"mode": _one_of("cache.mode", CACHE_MODES), "max_age": _number}, required=("mode",))
_RETRY: Final = _object(
    {"attempts": _number, "on_status_codes": _list(_number), "use_retry_after_header": _boolean},
    required=("attempts",),
)
_SHAPE: Final = _object(
    {
        "strategy": _STRATEGY,
        "provider": _provider,
        "api_key": _string,
        "aws_secret_access_key": _string,
        "aws_access_key_id": _string,
        "aws_session_token": _string,
        "aws_region": _string,
        "cache": _CACHE,
        "retry": _RETRY,
        "weight": _number,
        "on_status_codes": _list(_number),
        "targets": _list(lambda target, where: _config(target, where)),  # noqa: PLW0108  # it holds this very rule
        "request_timeout": _number,
        "custom_host": _string,
        "forward_headers": _list(_string),
        "vertex_project_id": _string,
        "vertex_region": _string,
        "after_request_hooks": _list(_object({})),
        "before_request_hooks": _list(_object({})),
        "input_guardrails": _texts_or_objects,
        "output_guardrails": _texts_or_objects,
        "vertex_service_account_json": _text_values,
        "openai_project": _string,
        "openai_organization": _string,
        "azure_model_name": _string,
        "azure_auth_mode": _string,
        "strict_open_ai_compliance": _boolean,
    }
)


def _is_usual(config: Mapping[str, Any]) -> bool:
    """Whether a config has what nearly all have, and nothing that makes further demands: there may be many targets."""
    return "api_key" in config and "custom_host" not in config and config.get("provider", "vertex-ai") != "vertex-ai"


def _is_complete(config: Mapping[str, Any]) -> bool:
    if ("provider" in config and "api_key" in config) or ("strategy" in config and "targets" in config):
        return True
    provider = config.get("provider")

    def given(names: Iterable[str]) -> Iterator[bool]:
        return (_javascript.truthy(config.get(name)) for name in names)

    return (
        any(given(("cache", "retry", "request_timeout")))
        or provider in ("ollama", "triton")
        or all(given(("aws_access_key_id", "aws_secret_access_key")))
        or (provider == "vertex-ai" and _has_vertex_fields(config))
        or any(given(("after_request_hooks", "before_request_hooks", "input_guardrails", "output_guardrails")))
        or (provider == "azure-openai" and bool(config.get("azure_auth_mode")))
    )


def _has_vertex_fields(config: Mapping[str, Any]) -> bool:
    account = _javascript.truthy(config.get("vertex_service_account_json"))
    return bool(config.get("vertex_region")) and (bool(config.get("vertex_project_id")) or account)


_WHOLE: Final[Sequence[tuple[str, Callable[[Mapping[str, Any]], bool]]]] = (
    (INCOMPLETE, _is_complete),
    ("Invalid custom host", lambda config: not config.get("custom_host") or valid_custom_host(config["custom_host"])),
    (INCOMPLETE_VERTEX, lambda config: config.get("provider") != "vertex-ai" or _has_vertex_fields(config)),
)
"""What must hold for a whole config or target, beyond its single fields."""
