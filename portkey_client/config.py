"""The gateway config, typed and checked before it is sent: how requests are routed, retried and cached.

    Config(strategy=Strategy(mode="fallback"), targets=[Target(provider="openai", api_key="..."), ...])

Nested parts may be given as dicts. A config that is given as a dict, as text or as a saved id is sent as it is; this is
the way to hear of mistakes early. Field names and rules are those of the gateway's own schema
(`src/middlewares/requestValidator/schema/config.ts` of Portkey's gateway), which this one keeps within.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ConfigError

__all__ = ["Cache", "Condition", "Config", "Retry", "Strategy", "Target"]

StatusCode = Annotated[int, Field(ge=100, le=599)]


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


class Strategy(_Part):
    """How to choose among the targets.

    Attributes:
        mode: `single` takes the first, `fallback` each in turn until one succeeds, `loadbalance` draws by weight,
            `conditional` takes the one that the first true condition names.
        on_status_codes: Statuses on which a fallback goes on; every one but 2xx if not given.
        conditions: The branches, for `conditional`.
        default: Name of the target if no condition holds, for `conditional`.
    """

    mode: Literal["single", "fallback", "loadbalance", "conditional"]
    on_status_codes: list[StatusCode] | None = None
    conditions: list[Condition] | None = None
    default: str | None = None


class Retry(_Part):
    """Retries that the gateway makes at one target.

    Attributes:
        attempts: Further calls after the first.
        on_status_codes: Statuses to retry; 429, 500, 502, 503 and 504 if not given.
        use_retry_after_header: Whether to wait as long as the provider asks for on a 429, within 60 seconds.
    """

    attempts: Annotated[int, Field(ge=0)]
    on_status_codes: list[StatusCode] | None = None
    use_retry_after_header: bool | None = None


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
        forward_headers: Request headers to pass on to the provider.
        strict_open_ai_compliance: Whether to leave out what OpenAI's format does not have.
        input_guardrails: Checks of the request, as objects or ids.
        output_guardrails: Checks of the answer, as objects or ids.
        before_request_hooks: Checks of the request, in raw form.
        after_request_hooks: Checks of the answer, in raw form.
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
    request_timeout: Annotated[int, Field(gt=0)] | None = None
    override_params: dict[str, Any] | None = None
    forward_headers: list[str] | None = None
    strict_open_ai_compliance: bool | None = None
    input_guardrails: list[dict[str, Any] | str] | None = None
    output_guardrails: list[dict[str, Any] | str] | None = None
    before_request_hooks: list[dict[str, Any]] | None = None
    after_request_hooks: list[dict[str, Any]] | None = None

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
    names = [target.name for target in targets if target.name is not None]
    wanted = {f"{path}strategy.conditions[{i}].then": c.then for i, c in enumerate(strategy.conditions)}
    if strategy.default is not None:
        wanted[f"{path}strategy.default"] = strategy.default
    for where, name in wanted.items():
        if name not in names:
            raise _wrong(
                where, f"the name of a target ({', '.join(map(repr, names)) or 'none has one'})", repr(name), root
            )


def _check_unknown_fields(config: Config, path: str, root: str) -> None:
    if not config.model_extra:
        return
    import difflib  # rarely needed

    known = list(type(config).model_fields)
    for field in config.model_extra:
        close = difflib.get_close_matches(field, known, n=1, cutoff=0.8)
        if close:
            raise _wrong(f"{path}{field}", f"a known field; did you mean {close[0]!r}?", repr(field), root)


def _config_error(root: str, error: ValidationError) -> ConfigError:
    """The first of pydantic's complaints (or the first that is not about a union's other branch), in our words."""
    issues = error.errors(include_url=False)
    issue = max(issues, key=lambda item: len(item["loc"]))
    context = issue.get("ctx", {})
    path = _path(issue["loc"])
    expected = _EXPECTED.get(issue["type"], issue["msg"][0].lower() + issue["msg"][1:])
    if issue["type"] == "literal_error":
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
    "extra_forbidden": "no such field",
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


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _got(location: tuple[int | str, ...], value: object) -> str:
    secret = any(word in str(location[-1]) for word in ("key", "secret", "token"))
    return f"{type(value).__name__} (not shown)" if secret else f"{type(value).__name__} {value!r}"


def _wrong(path: str, expected: str, got: str, root: str) -> ConfigError:
    return ConfigError(f"{root}: {path}: expected {expected}; got {got}", path=path)
