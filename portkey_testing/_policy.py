"""Reading a request as the gateway does: its config becomes a tree of targets with all options settled.

The tree is what routing walks. Inheritance is resolved here, from the root to the leaves, so that routing looks at one
node at a time. Behaviour copied from Portkey's open-source gateway 1.15.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias, overload

from portkey_testing import _hooks, _javascript, _json_errors
from portkey_testing._hooks import Hook

RETRIED_BY_DEFAULT: Final = (429, 500, 502, 503, 504)

_INHERITABLE: Final = frozenset(
    (
        "after_request_hooks",
        "before_request_hooks",
        "cache",
        "custom_host",
        "forward_headers",
        "input_guardrails",
        "input_mutators",
        "output_guardrails",
        "output_mutators",
        "override_params",
        "request_timeout",
        "retry",
    )
)

_READ_HEADERS: Final = (
    "authorization",
    "x-portkey-config",
    "x-portkey-custom-host",
    "x-portkey-default-input-guardrails",
    "x-portkey-default-output-guardrails",
    "x-portkey-forward-headers",
    "x-portkey-provider",
    "x-portkey-request-timeout",
    "x-portkey-strict-open-ai-compliance",
)

_NO_LIST: Final = "e.map is not a function"
"""What the gateway's runtime says of guardrails that are no list; the name is its minifier's."""

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})

_KEPT_IN_SNAKE_CASE: Final = ("inputGuardrails", "outputGuardrails", "overrideParams")
"""Fields whose contents lose their underscores where the field itself is in camelCase."""

_CAPITAL = re.compile(r"[A-Z]")


@dataclass(frozen=True, slots=True)
class Retry:
    """How often the gateway asks the same target again.

    Attributes:
        attempts: Retries after the first call; a fraction counts as one more.
        codes: Statuses that are retried; none where there are no attempts. A broken connection always is.
        use_retry_after: Wait as long as a 429 says, instead of backing off.
    """

    attempts: float = 0
    codes: tuple[int, ...] = ()
    use_retry_after: bool = False


class Target(NamedTuple):
    """One provider to try. A tuple, as `Group` is, because a config may have many.

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
        before: Guardrails and mutators of the request.
        after: Guardrails and mutators of the answer.
        cache: The caching asked for; empty if none is.
    """

    path: str
    provider: str | None = None
    api_key: str | None = None
    custom_host: str | None = None
    overrides: Mapping[str, Any] = _NONE
    retry: Retry = Retry()
    timeout: float | None = None
    strict: bool = True
    forward_headers: Sequence[str] = ()
    options: Mapping[str, Any] = _NONE
    from_headers: bool = False
    name: str | None = None
    weight: float = 1
    virtual_key: str | None = None
    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    cache: Mapping[str, Any] = _NONE


class Group(NamedTuple):
    """A strategy over several targets.

    Attributes:
        path: Where it stands in the config.
        mode: `single`, `fallback`, `loadbalance` or `conditional`.
        targets: The alternatives.
        codes: Statuses that fall back; None is every one that is not 2xx.
        conditions: Queries and the names they choose, for `conditional`; None where the config has none.
        default: The name chosen where no query holds.
        name: What conditional routing calls it.
        weight: Share in load balancing.
        sticky: Whom the hosted product keeps at one target; empty if nobody.
    """

    path: str
    mode: str
    targets: Sequence[Node]
    codes: tuple[int, ...] | None = None
    conditions: Sequence[Mapping[str, Any]] | None = None
    default: str | None = None
    name: str | None = None
    weight: float = 1
    sticky: Mapping[str, Any] = _NONE


Node: TypeAlias = Target | Group


class BrokenRequestError(Exception):
    """Something the gateway reads without having checked it is not what it should be; the text is its runtime's."""


@dataclass(frozen=True, slots=True)
class _Inherited:
    """What a target takes over from the ones around it."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    custom_host: str | None = None
    forward_headers: Sequence[str] = ()
    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    cache: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Request:
    """What the request's headers say about every target.

    Attributes:
        custom_host: Base URL in place of any other.
        timeout: Seconds to the response headers.
        lenient: Answers need not keep to OpenAI's shape.
        forward_headers: Names of client headers that go to the provider.
        before: Guardrails of the request that come after a target's own.
        after: Guardrails of the answer that come after a target's own.
    """

    custom_host: str | None
    timeout: float | None
    lenient: bool
    forward_headers: Sequence[str] | None
    before: tuple[Hook, ...]
    after: tuple[Hook, ...]

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> _Request:
        forwarded = headers.get("x-portkey-forward-headers")
        return cls(
            custom_host=headers.get("x-portkey-custom-host"),
            timeout=_milliseconds(headers.get("x-portkey-request-timeout")),
            lenient=headers.get("x-portkey-strict-open-ai-compliance") == "false",
            forward_headers=None if forwarded is None else [name.strip() for name in forwarded.split(",")],
            before=_default_guardrails(headers, "input"),
            after=_default_guardrails(headers, "output"),
        )


def tree_of(headers: Mapping[str, str]) -> Node:
    """The targets of a request that has passed validation.

    Applications send one config again and again, so the latest trees are kept.

    Raises:
        BrokenRequestError: the config, or the default guardrails, are no JSON. What is wrong with a single target is
            raised when it is looked at.
    """
    return _tree_of(tuple(map(headers.get, _READ_HEADERS)))


@lru_cache(maxsize=64)
def _tree_of(given: tuple[str | None, ...]) -> Node:
    headers = {name: value for name, value in zip(_READ_HEADERS, given, strict=True) if value is not None}
    written = headers.get("x-portkey-config")
    config = _json(written) if written else {}
    return tree(config if isinstance(config, Mapping) else {}, headers)


def tree(config: Mapping[str, Any], headers: Mapping[str, str]) -> Node:
    """The targets of a config that has passed validation; `{}` leaves everything to the headers.

    Raises:
        BrokenRequestError: the default guardrails of the headers are no JSON.
    """
    request = _Request.of(headers)
    if not config.get("provider") and not _javascript.truthy(config.get("targets")):
        return _node({**config, **_from_headers(headers)}, "config", _Inherited(), request, from_headers=True)
    return _node(config, "config", _Inherited(), request)


class _Children(Sequence[Node]):
    """The targets of a group, each of which is read when it is looked at: there may be many, and most calls need one.

    So the gateway does it, too: it reads a target when it comes to it.
    """

    def __init__(
        self, written: Sequence[Mapping[str, Any]], path: str, inherited: _Inherited, request: _Request
    ) -> None:
        self._written = written
        self._path = path
        self._inherited = inherited
        self._request = request
        self._read: dict[int, Node] = {}

    def __len__(self) -> int:
        return len(self._written)

    @overload
    def __getitem__(self, place: int) -> Node: ...
    @overload
    def __getitem__(self, place: slice) -> list[Node]: ...
    def __getitem__(self, place: int | slice) -> Node | list[Node]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        node = self._read.get(place)
        if node is None:
            place = range(len(self))[place]
            path = f"{self._path}.targets[{place}]"
            node = self._read[place] = _node(self._written[place], path, self._inherited, self._request)
        return node


def _node(
    given: Mapping[str, Any], path: str, outer: _Inherited, request: _Request, *, from_headers: bool = False
) -> Node:
    options = _canonical(given)
    inherited = outer if _INHERITABLE.isdisjoint(options) else _inherit(options, outer)
    strategy = options.get("strategy")
    if not isinstance(strategy, dict):
        # The validator lets targets without a strategy pass; the gateway then takes the config for a target itself.
        return _target(options, path, inherited, request, from_headers=from_headers)
    strategy = _canonical(strategy)
    targets = options.get("targets") or ()
    codes = strategy.get("on_status_codes")
    return Group(
        path=path,
        mode=str(strategy.get("mode")),
        targets=_Children(targets, path, inherited, request),
        codes=None if codes is None else _listed(codes),
        conditions=strategy.get("conditions"),
        default=strategy.get("default"),
        name=options.get("name"),
        weight=_weight(options.get("weight")),
        sticky=strategy.get("sticky") or _NONE,
    )


def _target(
    options: Mapping[str, Any], path: str, inherited: _Inherited, request: _Request, *, from_headers: bool
) -> Target:
    given = options.get
    forwarded = request.forward_headers
    return Target(
        path=path,
        provider=given("provider"),
        api_key=given("api_key"),
        custom_host=request.custom_host or inherited.custom_host,
        overrides=inherited.overrides,
        retry=inherited.retry,
        timeout=request.timeout or inherited.timeout,
        strict=not (request.lenient or given("strict_open_ai_compliance") is False),
        forward_headers=inherited.forward_headers if forwarded is None else forwarded,
        options=options,
        from_headers=from_headers,
        name=given("name"),
        weight=_weight(given("weight")),
        virtual_key=given("virtual_key"),
        before=inherited.before + request.before,
        after=inherited.after + request.after,
        cache=inherited.cache,
    )


def _inherit(options: Mapping[str, Any], outer: _Inherited) -> _Inherited:
    retry, cached, forwarded = options.get("retry"), options.get("cache"), options.get("forward_headers")
    before = _own_hooks(options, "before_request_hooks", "input_guardrails", "input_mutators")
    after = _own_hooks(options, "after_request_hooks", "output_guardrails", "output_mutators")
    return _Inherited(
        overrides={**outer.overrides, **_javascript.spread(options.get("override_params"))},
        retry=outer.retry if retry is None else _retry(_canonical(retry)),
        timeout=_milliseconds(options.get("request_timeout")) or outer.timeout,
        custom_host=options.get("custom_host") or outer.custom_host,
        forward_headers=outer.forward_headers if forwarded is None else forwarded,
        before=outer.before if before is None else before,
        after=outer.after if after is None else after,
        cache=outer.cache if cached is None else _canonical(cached),
    )


def _own_hooks(options: Mapping[str, Any], raw: str, guardrails: str, mutators: str) -> tuple[Hook, ...] | None:
    """The hooks of a target; None where it has none of the three keys, so that it inherits."""
    spelt_out, checks, changes = options.get(raw), options.get(guardrails), options.get(mutators)
    if spelt_out is None and checks is None and changes is None:
        return None
    if any(_javascript.truthy(written) and not isinstance(written, list) for written in (spelt_out, checks, changes)):
        raise BrokenRequestError(_NO_LIST)
    try:
        return (
            *_hooks.of_raw(spelt_out or ()),
            *_hooks.of_shorthand(checks or (), "guardrail"),
            *_hooks.of_shorthand(_javascript.camel(changes) or (), "mutator"),
        )
    except _hooks.BrokenHookError as error:
        raise BrokenRequestError(str(error)) from error


def _default_guardrails(headers: Mapping[str, str], stage: str) -> tuple[Hook, ...]:
    text = headers.get(f"x-portkey-default-{stage}-guardrails")
    if not text:
        return ()
    written = _json(text)
    if not isinstance(written, list):
        raise BrokenRequestError(_NO_LIST)
    try:
        return _hooks.of_shorthand(written, "guardrail")
    except _hooks.BrokenHookError as error:
        raise BrokenRequestError(str(error)) from error


def _json(text: str) -> Any:
    try:
        return _javascript.parse_shared(text)
    except ValueError as error:
        raise BrokenRequestError(_json_errors.parse_error(text)) from error


def _retry(options: Mapping[str, Any]) -> Retry:
    attempts = options.get("attempts") or 0
    codes = options.get("on_status_codes")
    if not attempts:
        return Retry()
    return Retry(
        attempts=attempts,
        codes=RETRIED_BY_DEFAULT if codes is None else _listed(codes),
        use_retry_after=bool(options.get("use_retry_after_header")),
    )


def _listed(codes: Any) -> tuple[int, ...]:
    """Statuses of a config; the validator lets anything pass for a list of them under its name in camelCase."""
    return tuple(codes) if isinstance(codes, list) else ()


def _from_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """Provider and key of a request that brings them in headers."""
    key = headers.get("authorization")
    return {
        "provider": headers.get("x-portkey-provider"),
        "api_key": None if key is None else key.replace("Bearer ", "", 1),
    }


def _weight(weight: Any) -> float:
    return 1 if weight is None else float(weight)


def _milliseconds(value: object) -> float | None:
    """A number of milliseconds as seconds; None where it is no number or 0."""
    if value is None:
        return None
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number / 1000 if number else None


def _canonical(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields by their snake_case names; the gateway takes camelCase as well.

    It writes all names in camelCase, but for those within a few fields, which it only knows by their snake_case names.
    """
    if "".join(options).islower():
        return options
    return {
        _CAPITAL.sub(lambda letter: f"_{letter.group().lower()}", name): (
            _javascript.camel(value) if name in _KEPT_IN_SNAKE_CASE else value
        )
        for name, value in options.items()
    }
