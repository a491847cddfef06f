"""The gateway config, typed and checked before it is sent: how requests are routed, retried and cached.

    Config(strategy=Strategy(mode="fallback"), targets=[Target(provider="openai", api_key="..."), ...])

Nested parts may be given as dicts. A config that is given as a dict, as text or as a saved id is sent as it is; this is
the way to hear of mistakes early. Field names and rules are those of the gateway's own schema
(`src/middlewares/requestValidator/schema/config.ts` of Portkey's gateway), which this one keeps within, and of the
hosted product's (https://portkey.ai/docs/api-reference/inference-api/config-object). The open-source gateway takes the
fields that only the hosted one has without a word and does not follow them; each says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ConfigError

__all__ = ["Cache", "CircuitBreaker", "Condition", "Config", "Retry", "Sticky", "Strategy", "Target"]

StatusCode = Annotated[int, Field(ge=100, le=599)]
Milliseconds = Annotated[int, Field(gt=0)]


class _Part(BaseModel):
    """A part of a config; wrong values raise ConfigError."""

    model_config = ConfigDict(extra="forbid", defer_build=True, frozen=True, protected_namespaces=(), strict=True)

    def __init__(self, /, **fields: Any) -> None:
        try:
            type(self).__pydantic_validator__.validate_python(fields, self_instance=self)
        except ValidationError as error:
            raise _config_error(type(self).__name__, error) from None

    # Without this mark pydantic would validate nested dicts by calling __init__, and report each without its path.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # read by pydantic's metaclass

    def to_dict(self) -> dict[str, Any]:
        """The part as plain data, with the fields that were given."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_json(self) -> str:
        """The part as the JSON text that the `x-portkey-config` header carries."""
        return json.dumps(self.to_dict())


class Condition(_Part):
    """One branch of conditional routing.

    Attributes:
        query: What must hold, such as `{"metadata.plan": {"$eq": "paid"}}`.
        then: Name of the target to use then.
    """

    query: dict[str, Any]
    then: str


class Sticky(_Part):
    """Load balancing that keeps a user at one target, a feature of the hosted gateway.

    Attributes:
        enabled: Whether it does; a strategy with the rest alone draws anew for each request.
        hash_fields: What tells users apart, such as `metadata.user_id`.
        ttl: For how many seconds a user is kept at a target; an hour if not given.
    """

    enabled: bool
    hash_fields: Annotated[list[str], Field(min_length=1)]
    ttl: Annotated[int | float, Field(gt=0)] | None = None


class CircuitBreaker(_Part):
    """When the hosted gateway leaves out a target that keeps failing.

    Attributes:
        failure_threshold: How many failures it takes.
        failure_threshold_percentage: The share of failures it takes, in percent.
        cooldown_interval: How long the target is left out, in milliseconds; half a minute at least.
        failure_status_codes: The statuses that are failures; those above 500 if not given.
        minimum_requests: How many requests there have to be before the share counts.
    """

    cooldown_interval: Annotated[int, Field(ge=30_000)]
    failure_threshold: Annotated[int, Field(ge=1)] | None = None
    failure_threshold_percentage: Annotated[int | float, Field(gt=0, le=100)] | None = None
    failure_status_codes: list[StatusCode] | None = None
    minimum_requests: Annotated[int, Field(ge=1)] | None = None


class Strategy(_Part):
    """How to choose among the targets.

    Attributes:
        mode: `single` takes the first, `fallback` each in turn until one succeeds, `loadbalance` draws by weight,
            `conditional` takes the one that the first true condition names.
        on_status_codes: Statuses on which a fallback goes on; every one but 2xx if not given.
        conditions: The branches, for `conditional`.
        default: Name of the target if no condition holds, for `conditional`; the hosted gateway asks for one.
        sticky: Whom to keep at one target, for `loadbalance`; at the hosted gateway.
        cb_config: When to leave out a target that keeps failing; at the hosted gateway.
    """

    mode: Literal["single", "fallback", "loadbalance", "conditional"]
    on_status_codes: list[StatusCode] | None = None
    conditions: list[Condition] | None = None
    default: str | None = None
    sticky: Sticky | None = None
    cb_config: CircuitBreaker | None = None


class Retry(_Part):
    """Retries that the gateway makes at one target.

    Attributes:
        attempts: Further calls after the first.
        on_status_codes: Statuses to retry; 429, 500, 502, 503 and 504 if not given, at the hosted gateway 529 as well.
        use_retry_after_header: Whether to wait as long as the provider asks for on a 429, within 60 seconds.
        use_retry_after_headers: The same by the name in the hosted gateway's documentation; the open-source gateway
            knows the other one only.
    """

    attempts: Annotated[int, Field(ge=0)]
    on_status_codes: list[StatusCode] | None = None
    use_retry_after_header: bool | None = None
    use_retry_after_headers: bool | None = None


class Cache(_Part):
    """Caching of answers, a feature of the hosted gateway.

    Attributes:
        mode: `simple` for equal requests, `semantic` for similar ones.
        max_age: How long an answer is kept, in seconds at the hosted gateway.
    """

    mode: Literal["simple", "semantic"]
    max_age: Annotated[int, Field(gt=0)] | None = None


class Config(_Part):
    """A gateway config.

    Provider-specific fields (`aws_region`, `azure_resource_name`, `vertex_project_id`, ...) are taken as they are;
    a field that looks like a misspelt one is refused.

    Attributes:
        strategy: How to choose among `targets`.
        targets: Where a request can go; targets may have strategies and targets of their own.
        provider: The provider, for a config (or target) without targets.
        api_key: The provider's key.
        virtual_key: Credentials kept by Portkey instead.
        custom_host: Base URL of the provider, in place of its own.
        retry: Retries at the same target, before any fallback.
        cache: Caching of answers.
        request_timeout: How long to wait for a provider, in milliseconds.
        override_params: Body parameters that replace the request's.
        default_params: Body parameters for requests that do not have them; at the hosted gateway.
        drop_params: Paths of body parameters to leave out, as `tools[*].function.strict`; at the hosted gateway.
        passthrough: Whether the request names the provider of this target; at the hosted gateway.
        forward_headers: Request headers to pass on to the provider.
        strict_open_ai_compliance: Whether to leave out what OpenAI's format does not have.
        input_guardrails: Checks of the request, as objects or ids.
        output_guardrails: Checks of the answer, as objects or ids.
        before_request_hooks: Checks of the request, in raw form.
        after_request_hooks: Checks of the answer, in raw form.
        cb_config: When to leave out a target that keeps failing; at the hosted gateway.
    """

    model_config = ConfigDict(extra="allow")

    strategy: Strategy | None = None
    targets: list[Target] | None = None
    provider: str | None = None
    api_key: Annotated[str | None, Field(repr=False)] = None
    virtual_key: Annotated[str | None, Field(repr=False)] = None
    custom_host: Annotated[str, Field(pattern=r"^https?://[^\s/]")] | None = None
    retry: Retry | None = None
    cache: Cache | None = None
    request_timeout: Milliseconds | None = None
    override_params: dict[str, Any] | None = None
    default_params: dict[str, Any] | None = None
    drop_params: list[str] | None = None
    passthrough: bool | None = None
    forward_headers: list[str] | None = None
    strict_open_ai_compliance: bool | None = None
    input_guardrails: list[dict[str, Any] | str] | None = None
    output_guardrails: list[dict[str, Any] | str] | None = None
    before_request_hooks: list[dict[str, Any]] | None = None
    after_request_hooks: list[dict[str, Any]] | None = None
    cb_config: CircuitBreaker | None = None

    def __init__(self, /, **fields: Any) -> None:
        super().__init__(**fields)
        _check_routing(self, "", type(self).__name__)

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # as in _Part


class Target(Config):
    """One of the places a request can go.

    Attributes:
        weight: Share of the load, for `loadbalance`; 1 if not given.
        name: What conditions call it.
    """

    weight: Annotated[int | float, Field(ge=0)] | None = None
    name: str | None = None


def _check_routing(config: Config, path: str, root: str) -> None:
    """Refuse what passes field by field and yet cannot work; `config` stands at `path` in a `root`."""
    _check_unknown_fields(config, path, root)
    for index, target in enumerate(config.targets or ()):
        _check_routing(target, f"{path}targets[{index}].", root)
    strategy, targets = config.strategy, config.targets
    if strategy is None:
        if targets is not None:
            raise _wrong(f"{path}strategy", "a Strategy, since there are targets", "none", root)
        return
    if not targets:
        got = "none" if targets is None else "an empty list"
        raise _wrong(f"{path}targets", f"at least one target for strategy {strategy.mode!r}", got, root)
    if strategy.mode == "loadbalance" and not any(t.weight is None or t.weight > 0 for t in targets):
        # The gateway would never answer.
        raise _wrong(f"{path}targets", "a weight above 0 for at least one target", "only 0", root)
    if strategy.mode == "conditional":
        _check_conditions(strategy, targets, path, root)


def _check_conditions(strategy: Strategy, targets: Sequence[Target], path: str, root: str) -> None:
    if not strategy.conditions:
        raise _wrong(f"{path}strategy.conditions", "at least one condition for strategy 'conditional'", "none", root)
    for i, condition in enumerate(strategy.conditions):
        _check_query(condition.query, f"{path}strategy.conditions[{i}].query", root)
    names = [target.name for target in targets if target.name is not None]
    wanted = {f"{path}strategy.conditions[{i}].then": c.then for i, c in enumerate(strategy.conditions)}
    if strategy.default is not None:
        wanted[f"{path}strategy.default"] = strategy.default
    for where, name in wanted.items():
        if name not in names:
            raise _wrong(
                where, f"the name of a target ({', '.join(map(repr, names)) or 'none has one'})", repr(name), root
            )


def _check_query(query: Mapping[str, Any], path: str, root: str) -> None:
    """Refuse what the gateway's router would refuse, or could never find true."""
    for key, wanted in query.items():
        here = f"{path}[{key!r}]"
        if key in ("$and", "$or"):
            if not isinstance(wanted, list) or not all(isinstance(part, dict) for part in wanted):
                raise _wrong(here, "a list of queries", _shown(wanted), root)
            for i, part in enumerate(wanted):
                _check_query(part, f"{here}[{i}]", root)
        elif not _ASKED.fullmatch(key):
            raise _wrong(here, "'metadata.…' or 'params.…' with one name behind it, or 'url.pathname'", repr(key), root)
        elif isinstance(wanted, dict):
            for operator in wanted:
                if operator not in _OPERATORS:
                    known = f"one of {', '.join(_OPERATORS)}{_hint(operator, _OPERATORS)}"
                    raise _wrong(f"{here}[{operator!r}]", known, repr(operator), root)


def _check_unknown_fields(config: Config, path: str, root: str) -> None:
    known = list(type(config).model_fields)
    for field in config.model_extra or ():
        hint = _hint(field, known)
        if hint:
            raise _wrong(f"{path}{field}", f"a known field{hint}", repr(field), root)


def _hint(name: str, known: Iterable[str]) -> str:
    """A question that names the nearest of what is known; empty where nothing is near."""
    import difflib  # rarely needed

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"; did you mean {close[0]!r}?" if close else ""


def _config_error(root: str, error: ValidationError) -> ConfigError:
    """The first of pydantic's complaints (or the first that is not about a union's other branch), in our words."""
    issues = error.errors(include_url=False)
    issue = max(issues, key=lambda item: len(item["loc"]))
    context = issue.get("ctx", {})
    path = _path(issue["loc"])
    expected = _EXPECTED.get(issue["type"], issue["msg"][0].lower() + issue["msg"][1:])
    if issue["type"] == "extra_forbidden":
        known = _fields_of(issue["loc"], root)
        expected = f"one of {', '.join(known)}{_hint(str(issue['loc'][-1]), known)}"
    elif issue["type"] == "literal_error":
        expected = f"one of {context['expected']}"
    elif issue["type"] in _BOUNDS:
        limit = context[_BOUNDS[issue["type"]][1]]
        expected = f"a number {_BOUNDS[issue['type']][0]} {limit}"
    elif issue["type"] == "string_pattern_mismatch":
        expected = "an http or https URL"
    got = "nothing" if issue["type"] == "missing" else _got(issue["loc"], issue["input"])
    return _wrong(path, expected, got, root)


_EXPECTED: Final[Mapping[str, str]] = {
    "missing": "a value, it is required",
    "string_type": "a str",
    "int_type": "an int",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "a bool",
    "list_type": "a list",
    "dict_type": "a dict",
    "model_type": "a dict or a part of that name",
    "finite_number": "a finite number",
}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("not below", "ge"),
    "less_than_equal": ("not above", "le"),
}


def _fields_of(location: Sequence[int | str], root: str) -> list[str]:
    """The fields of the part in which something stands at `location` of a `root`."""
    around = [name for name in location[:-1] if isinstance(name, str)]
    part = _PARTS[around[-1]] if around else next(part for part in _PARTS.values() if part.__name__ == root)
    return list(part.model_fields)


_PARTS: Final[Mapping[str, type[_Part]]] = {
    "cache": Cache,
    "cb_config": CircuitBreaker,
    "conditions": Condition,
    "retry": Retry,
    "sticky": Sticky,
    "strategy": Strategy,
}
_ASKED: Final = re.compile(r"(metadata|params)\.[^.]+|url\.pathname")
_OPERATORS: Final = ("$eq", "$ne", "$in", "$nin", "$regex", "$gt", "$gte", "$lt", "$lte")


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _got(location: tuple[int | str, ...], value: object) -> str:
    secret = any(word in str(location[-1]) for word in ("key", "secret", "token"))
    return f"{type(value).__name__} (not shown)" if secret else _shown(value)


def _shown(value: object) -> str:
    return f"{type(value).__name__} {value!r}"


def _wrong(path: str, expected: str, got: str, root: str) -> ConfigError:
    return ConfigError(f"{root}: {path}: expected {expected}; got {got}", path=path)
