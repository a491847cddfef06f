"""What the hosted product adds to the open-source gateway: what it keeps for an account, and its cache.

From Portkey's documentation, and `docs/fidelity.md` lists the rules:

* https://portkey.ai/docs/product/ai-gateway/configs: saved configs, default configs of API keys, passthrough targets.
* https://portkey.ai/docs/product/administration/enforce-default-config: a default config counts for every request
  of its key that brings no config.
* https://portkey.ai/docs/product/model-catalog: slugs, in `provider` and before a model; virtual keys, an older name.
* https://portkey.ai/docs/product/guardrails: guardrails by id.
* https://portkey.ai/docs/product/observability/traces: trace ids, and the headers of the W3C.

The fake knows what the test registers. A name nobody registered fails the test with the line to write, since the
real product would have known it or refused it, and only the test's author can say which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from portkey_testing import _guardrails, _hooks, _hosted_config, _javascript, _validator
from portkey_testing._cache import Cache
from portkey_testing._sticky import Stickiness
from portkey_testing._wanted import MADE_UP
from portkey_testing.failures import UnknownToGateway
from portkey_testing.faults import unknown
from portkey_testing.timeline import GatewayRequest

_GUARDRAILS: Final = ("input_guardrails", "output_guardrails", "inputGuardrails", "outputGuardrails")
_MARKS: Final = ("@", "irtual", "uardrail", "etry", "assthrough", "fault_params", "drop_params", "\\")
"""One of them is in every config that only the hosted product understands; a backslash may hide the others."""

_MODEL_SLUG: Final = b'"@'
_DEFAULT_GUARDRAILS: Final = ("x-portkey-default-input-guardrails", "x-portkey-default-output-guardrails")
_READ_HEADERS: Final = frozenset((*_DEFAULT_GUARDRAILS, "x-portkey-virtual-key", "traceparent", "baggage"))

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""Version, trace, parent and flags: https://www.w3.org/TR/trace-context/."""


@dataclass(frozen=True, slots=True)
class Integration:
    """What a virtual key, or the slug of a provider, stands for.

    Attributes:
        provider: Name of the provider.
        api_key: The key it is called with.
        custom_host: Base URL in place of the provider's own.
    """

    provider: str
    api_key: str
    custom_host: str | None = None

    @property
    def options(self) -> dict[str, str]:
        """What a target says of it."""
        host = {} if self.custom_host is None else {"custom_host": self.custom_host}
        return {"provider": self.provider, "api_key": self.api_key, **host}


class Account:
    """What the hosted gateway keeps.

    Attributes:
        configs: Saved configs by id.
        integrations: What each virtual key or slug stands for.
        guardrails: Saved guardrails by id, each as a config would spell it out.
        defaults: The config of each Portkey API key, for requests that name none; None stands for any other key.
        fallback: The config of requests that name no provider and whose key has no config; None if there is none.
        verdicts: Whether checks pass that ask a service outside.
        cache: The answers kept.
        stickiness: The targets that users of sticky groups are kept at.
    """

    def __init__(self) -> None:
        self.configs: dict[str, Mapping[str, Any]] = {}
        self.integrations: dict[str, Integration] = {}
        self.guardrails: dict[str, Mapping[str, Any]] = {}
        self.defaults: dict[str | None, Mapping[str, Any]] = {}
        self.fallback: Mapping[str, Any] | None = None
        self.verdicts: dict[str, bool] = {}
        self.cache = Cache()
        self.stickiness = Stickiness()

    def resolve(self, request: GatewayRequest) -> GatewayRequest:
        """The request with everything the account keeps written out, as the open-source gateway would need it.

        Raises:
            UnknownToGateway: a name is not registered.
        """
        if (complete := self._complete(request)) is not None:
            return complete
        headers = dict(request.headers)
        _read_trace_context(headers)
        body, sent, slug = self._model(request.body)
        named = headers.get("x-portkey-provider")
        key = headers.get("x-portkey-virtual-key") or _slug(named) or slug
        config = self._config(headers)
        if config is None and not headers.get("x-portkey-config"):
            config = self._default(headers, named=key or named)
        if config is not None:
            written = self.written_out(_hosted_config.rewritten(config, sent), key, _direct(headers))
            if written != config or not headers.get("x-portkey-config", "").startswith("{"):
                headers["x-portkey-config"] = json.dumps(written)
        elif key is not None:
            found = self._integration(key)
            headers["x-portkey-provider"] = found.provider
            headers["authorization"] = f"Bearer {found.api_key}"
            if found.custom_host is not None:
                headers.setdefault("x-portkey-custom-host", found.custom_host)
        if _slug(headers.get("x-portkey-provider")):
            headers["x-portkey-provider"] = self._integration(headers["x-portkey-provider"]).provider
        for name in _DEFAULT_GUARDRAILS:
            if name in headers:
                headers[name] = self._default_guardrails(headers[name])
        return GatewayRequest(request.method, request.url, headers, body, request.timeouts)

    def _complete(self, request: GatewayRequest) -> GatewayRequest | None:
        """A request that needs nothing that is kept for an account, as nearly all do; None for any other."""
        headers = request.headers
        provider = headers.get("x-portkey-provider")
        if _MODEL_SLUG in request.body or not _READ_HEADERS.isdisjoint(headers) or (provider or "").startswith("@"):
            return None
        config = headers.get("x-portkey-config")
        if not config:
            return None if provider is None or self.defaults else request
        plain = _plain(config)
        return request if plain == config else None if plain is None else _with_config(request, plain)

    def _config(self, headers: Mapping[str, str]) -> Any:
        """The config a request brings or names; None where it has none, or none that can be read."""
        text = headers.get("x-portkey-config")
        if not text:
            return None
        try:
            return _javascript.parse(text)
        except ValueError:
            if text.lstrip().startswith(("{", "[")):
                return None
        if text not in self.configs:
            raise UnknownToGateway(
                f"the request names the saved config {text!r}, which this fake does not have. "
                f"{_registered(self.configs)} "
                f'Register it with fake.saved_config({text!r}, {{"provider": ...}}).'
            )
        return self.configs[text]

    def _default(self, headers: Mapping[str, str], *, named: str | None) -> Mapping[str, Any] | None:
        """The config of the request's Portkey API key, which a plain OpenAI client sends as its own.

        Args:
            headers: The request's.
            named: The provider that the request names; None if it names none.
        """
        key = headers.get("x-portkey-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        found = self.defaults.get(key, self.defaults.get(None))
        if found is None and named is None:
            found = self.fallback
        if found is None and named is None:
            raise UnknownToGateway(
                "the request names no provider: no config, no provider, no virtual key, no model with a slug. The "
                "hosted gateway would use the default config of the API key. Register one with "
                'fake.default_provider("openai"), or name a provider in the client.'
            )
        return found

    def _model(self, body: bytes) -> tuple[bytes, Collection[str], str | None]:
        """The body with a plain model name, the names of its fields, and the slug that stood before the model."""
        try:
            said = _javascript.parse(body)
        except ValueError:
            return body, (), None
        if not isinstance(said, dict):
            return body, (), None
        slug, plain = _split(said.get("model"))
        if slug is None:
            return body, said.keys(), None
        return json.dumps({**said, "model": plain}, ensure_ascii=False).encode(), said.keys(), slug

    def written_out(self, node: Any, requested: str | None, direct: Mapping[str, str] | None = None) -> Any:
        """A config in which virtual keys, slugs and guardrail ids are replaced by what they stand for.

        Args:
            node: The config, or a target of it.
            requested: The virtual key or slug the request itself names, for targets that name none.
            direct: The provider and key the request itself brings, for targets that pass them through.
        """
        if not isinstance(node, Mapping):
            return node
        written = dict(node)
        targets = node.get("targets")
        if isinstance(targets, list):
            written["targets"] = [self.written_out(target, requested, direct) for target in targets]
        for name in _GUARDRAILS:
            if isinstance(node.get(name), list):
                written[name] = [self._guardrail(each) for each in node[name]]
        overrides = node.get("override_params", node.get("overrideParams"))
        slug, plain = _split(overrides.get("model") if isinstance(overrides, Mapping) else None)
        if slug is not None and isinstance(overrides, Mapping):
            written["override_params"] = {**overrides, "model": plain}
        key = slug or node.get("virtual_key") or node.get("virtualKey") or _slug(node.get("provider"))
        if key is None and not targets and not node.get("provider"):
            key = requested
            if key is None and node.get("passthrough") is True:
                return {**_found(direct), **written}
        if isinstance(key, str):
            written = {**self._integration(key).options, "virtual_key": key.removeprefix("@"), **written}
            written["provider"] = self._integration(key).provider
        return written

    def _integration(self, key: str) -> Integration:
        name = key.removeprefix("@")
        if name not in self.integrations:
            raise UnknownToGateway(
                f"the request names the virtual key or provider {name!r}, which this fake does not have. "
                f"{_registered(self.integrations)} "
                f'Register it with fake.virtual_key({name!r}, provider="openai").'
            )
        return self.integrations[name]

    def _guardrail(self, each: Any) -> Any:
        if not isinstance(each, str):
            return each
        if each not in self.guardrails:
            raise UnknownToGateway(
                f"the config names the saved guardrail {each!r}, which this fake does not have. "
                f"{_registered(self.guardrails)} "
                f'Register it with fake.guardrail({each!r}, {{"default.contains": ..., "deny": True}}).'
            )
        return {"id": each, **self.guardrails[each]}

    def _default_guardrails(self, text: str) -> str:
        try:
            written = _javascript.parse(text)
        except ValueError:
            return text
        return json.dumps([self._guardrail(each) for each in written]) if isinstance(written, list) else text


def _with_config(request: GatewayRequest, config: str) -> GatewayRequest:
    headers = {**request.headers, "x-portkey-config": config}
    return GatewayRequest(request.method, request.url, headers, request.body, request.timeouts)


@lru_cache(maxsize=128)
def _plain(config: str) -> str | None:
    """The text of a config as the open-source brain reads it; None if that takes more than the text."""
    if not config.startswith("{") or _hosted_config.depends_on_the_request(config):
        return None
    try:
        given = _javascript.parse_shared(config)
    except ValueError:
        return None
    # Most configs have nothing in them that could be meant for the product, which shows at once.
    if not any(mark in config for mark in _MARKS):
        return config
    written = _hosted_config.rewritten(given, ())
    try:
        changed = Account().written_out(written, None) != written
    except UnknownToGateway:
        return None
    return None if changed else config if written == given else json.dumps(written)


def _read_trace_context(headers: dict[str, str]) -> None:
    """Take the trace id and metadata from the headers of the W3C, where Portkey's own do not say otherwise.

    From https://portkey.ai/docs/product/observability/traces ("W3C Trace Context Support").
    """
    trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if trace is not None:
        headers.setdefault("x-portkey-trace-id", trace[1])
    if "baggage" in headers:
        pairs = (member.partition(";")[0].partition("=") for member in headers["baggage"].split(","))
        carried = {unquote(name.strip()): unquote(value.strip()) for name, equals, value in pairs if equals}
        try:
            own = _javascript.parse(headers.get("x-portkey-metadata") or "{}")
        except ValueError:
            return
        if isinstance(own, dict):
            headers["x-portkey-metadata"] = json.dumps({**carried, **own})


def key_behind(key: str) -> str:
    """The provider key that a virtual key stands for where the test gives none; nobody outside ever sees it."""
    return f"{MADE_UP}{key.removeprefix('@')}"


def _direct(headers: Mapping[str, str]) -> Mapping[str, str] | None:
    """The provider and the key that a request brings along."""
    provider = headers.get("x-portkey-provider")
    key = headers.get("authorization", "").removeprefix("Bearer ")
    return None if not provider or provider.startswith("@") else {"provider": provider, "api_key": key}


def _found(direct: Mapping[str, str] | None) -> Mapping[str, str]:
    """The provider for a target that passes through what the request names."""
    if direct is None:
        raise UnknownToGateway(
            'a target of the config has "passthrough": true, so the request has to name the provider, and it names '
            'none. Name one in the client, with provider="@slug" or model="@slug/model".'
        )
    return direct


class _Anybody(Account):
    """An account that has whatever a config names: what it will have is not known when a config is saved."""

    def _integration(self, key: str) -> Integration:
        return Integration("openai", key)

    def _guardrail(self, each: Any) -> Any:
        return {} if isinstance(each, str) else each


def as_config(config: Any, where: str) -> Mapping[str, Any]:
    """A config that a test registers: the product would not save one that is wrong.

    Args:
        config: A dict, or a `Config` of the client.
        where: What it is for, for messages.

    Raises:
        TypeError: it is neither.
        ValueError: the gateway would refuse it, in its words.
    """
    given = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(given, Mapping):
        raise TypeError(f"{where} takes a config as a dict or a portkey_client.Config, not {config!r}")
    direct = {"provider": "openai", "api_key": ""}
    wrong = _validator.complaints(_Anybody().written_out(_hosted_config.rewritten(given, ()), None, direct))
    if wrong:
        raise ValueError(f"{where}: the gateway refuses this config: {'; '.join(wrong)}")
    return given


def as_guardrail(checks: Any) -> Mapping[str, Any]:
    """A guardrail that a test registers.

    Raises:
        TypeError: it is no dict.
        ValueError: the gateway has no check of a name.
    """
    if not isinstance(checks, Mapping):
        raise TypeError(f"guardrail() takes checks by name, as {{'default.contains': {{...}}}}, not {checks!r}")
    (hook,) = _hooks.of_shorthand([checks], "guardrail")
    for check in hook.checks:
        if check.id not in _guardrails.every_check():
            raise unknown("guardrail check", check.id, sorted(_guardrails.every_check()))
    return checks


def _slug(provider: Any) -> str | None:
    return provider if isinstance(provider, str) and provider.startswith("@") else None


def _split(model: Any) -> tuple[str | None, Any]:
    """The slug before a model's name, as in `@openai-prod/gpt-4o`, and the name."""
    if _slug(model) is None or "/" not in model:
        return None, model
    slug, _, name = model.partition("/")
    return slug, name


def _registered(names: Mapping[str, object]) -> str:
    return f"Registered: {', '.join(map(repr, names))}." if names else "None is registered."
