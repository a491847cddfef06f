"""Reading a request as the gateway does: its config becomes a tree of targets with all options settled.

The tree is what routing walks. Inheritance is resolved here, from the root to the leaves, so that routing looks at one
node at a time. Behaviour copied from Portkey's open-source gateway 1.15.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

RETRIED_BY_DEFAULT = (429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often the gateway asks the same target again.

    Attributes:
        attempts: Retries after the first call; a fraction counts as one more.
        codes: Statuses that are retried. A broken connection always is.
        use_retry_after: Wait as long as a 429 says, instead of backing off.
    """

    attempts: float = 0
    codes: tuple[int, ...] = RETRIED_BY_DEFAULT
    use_retry_after: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One provider to try.

    Attributes:
        path: Where it stands in the config, such as `config.targets[1]`; `config` for a config without a strategy.
        provider: Its name; None where the config names none, which the gateway finds out when it comes to it.
        api_key: The key it is called with.
        custom_host: Base URL in place of the provider's own.
        overrides: Fields that replace those of the client's body.
        retry: See `Retry`.
        timeout: Seconds to the response headers, for each attempt; None waits for ever.
        strict: Answers keep to OpenAI's shape.
        forward_headers: Names of client headers that go to the provider.
        options: The target as it stands in the config, for what only some providers know.
        from_headers: The provider came from the request's headers, so these configure it too.
        name: What conditional routing calls it.
        weight: Share in load balancing.
        virtual_key: The virtual key that stood for provider and key.
    """

    path: str
    provider: str | None = None
    api_key: str | None = None
    custom_host: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    strict: bool = True
    forward_headers: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    from_headers: bool = False
    name: str | None = None
    weight: float = 1
    virtual_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A strategy over several targets.

    Attributes:
        path: Where it stands in the config.
        mode: `single`, `fallback`, `loadbalance` or `conditional`.
        targets: The alternatives.
        codes: Statuses that fall back; None is every one that is not 2xx.
        conditions: Queries and the names they choose, for `conditional`.
        default: The name chosen where no query holds.
        name: What conditional routing calls it.
        weight: Share in load balancing.
    """

    path: str
    mode: str
    targets: tuple[Node, ...]
    codes: tuple[int, ...] | None = None
    conditions: Sequence[Mapping[str, Any]] = ()
    default: str | None = None
    name: str | None = None
    weight: float = 1


Node: TypeAlias = Target | Group


@dataclass(frozen=True, slots=True)
class _Inherited:
    """What a target takes over from the ones around it."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    custom_host: str | None = None
    forward_headers: Sequence[str] = ()


def tree(config: Mapping[str, Any], headers: Mapping[str, str]) -> Node:
    """The targets of a config that has passed validation; `{}` leaves everything to the headers."""
    # The validator lets a target without a strategy pass; the gateway then takes the config for a target itself.
    if "provider" not in config and "targets" not in config:
        config = {**config, **_from_headers(headers)}
        return _target(config, "config", _inherit(config, _Inherited()), headers, from_headers=True)
    if "provider" not in config and headers.get("x-portkey-provider") and "targets" not in config:
        config = {**config, "provider": headers["x-portkey-provider"]}
    return _node(config, "config", _Inherited(), headers)


def _node(options: Mapping[str, Any], path: str, outer: _Inherited, headers: Mapping[str, str]) -> Node:
    inherited = _inherit(options, outer)
    strategy = options.get("strategy")
    if not isinstance(strategy, Mapping):
        return _target(options, path, inherited, headers)
    targets = _get(options, "targets") or ()
    codes = _get(strategy, "on_status_codes")
    return Group(
        path=path,
        mode=str(strategy.get("mode")),
        targets=tuple(_node(child, f"{path}.targets[{i}]", inherited, headers) for i, child in enumerate(targets)),
        codes=None if codes is None else tuple(codes),
        conditions=strategy.get("conditions") or (),
        default=strategy.get("default"),
        name=options.get("name"),
        weight=_weight(options),
    )


def _target(
    options: Mapping[str, Any],
    path: str,
    inherited: _Inherited,
    headers: Mapping[str, str],
    *,
    from_headers: bool = False,
) -> Target:
    timeout = _milliseconds(headers.get("x-portkey-request-timeout")) or inherited.timeout
    strict = _get(options, "strict_open_ai_compliance")
    asked = headers.get("x-portkey-strict-open-ai-compliance")
    forwarded = headers.get("x-portkey-forward-headers")
    return Target(
        path=path,
        provider=options.get("provider"),
        api_key=_get(options, "api_key"),
        custom_host=headers.get("x-portkey-custom-host") or inherited.custom_host,
        overrides=inherited.overrides,
        retry=inherited.retry,
        timeout=timeout,
        strict=not (strict is False or asked == "false"),
        forward_headers=[name.strip() for name in forwarded.split(",")] if forwarded else inherited.forward_headers,
        options=options,
        from_headers=from_headers,
        name=options.get("name"),
        weight=_weight(options),
        virtual_key=_get(options, "virtual_key"),
    )


def _inherit(options: Mapping[str, Any], outer: _Inherited) -> _Inherited:
    retry = options.get("retry")
    return _Inherited(
        overrides={**outer.overrides, **(options.get("override_params") or _get(options, "override_params") or {})},
        retry=outer.retry if retry is None else _retry(retry),
        timeout=_milliseconds(_get(options, "request_timeout")) or outer.timeout,
        custom_host=_get(options, "custom_host") or outer.custom_host,
        forward_headers=_get(options, "forward_headers") or outer.forward_headers,
    )


def _retry(options: Mapping[str, Any]) -> Retry:
    codes = _get(options, "on_status_codes")
    return Retry(
        attempts=options.get("attempts") or 0,
        codes=RETRIED_BY_DEFAULT if codes is None else tuple(codes),
        use_retry_after=bool(_get(options, "use_retry_after_header")),
    )


def _from_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """Provider and key of a request that brings them in headers."""
    key = headers.get("authorization")
    return {
        "provider": headers.get("x-portkey-provider"),
        "api_key": None if key is None else key.replace("Bearer ", "", 1),
    }


def _weight(options: Mapping[str, Any]) -> float:
    weight = options.get("weight")
    return 1 if weight is None else float(weight)


def _milliseconds(value: object) -> float | None:
    """A number of milliseconds as seconds; None where it is no number or 0."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number / 1000 if number else None


def _get(options: Mapping[str, Any], name: str) -> Any:
    """A field by its snake_case name; the gateway takes camelCase as well."""
    if name in options:
        return options[name]
    first, *rest = name.split("_")
    return options.get(first + "".join(word.capitalize() for word in rest))
