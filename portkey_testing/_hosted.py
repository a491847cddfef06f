"""What the hosted product adds to the open-source gateway: what it keeps for an account, and its cache.

From Portkey's documentation of configs, the model catalogue, API keys and guardrails; `docs/fidelity.md` names the
pages. The fake knows what the test registers. A name nobody registered fails the test with the line to write, since the
real product would have known it or refused it, and only the test's author can say which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from portkey_testing import _javascript
from portkey_testing._cache import Cache
from portkey_testing.failures import UnknownToGateway
from portkey_testing.timeline import GatewayRequest

_GUARDRAILS: Final = ("input_guardrails", "output_guardrails", "inputGuardrails", "outputGuardrails")
_MARKS: Final = ("@", "irtual", "uardrail", "\\")
"""One of them is in every config that names something kept for an account; a backslash may hide the others."""

_MODEL_SLUG: Final = b'"@'
_DEFAULT_GUARDRAILS: Final = ("x-portkey-default-input-guardrails", "x-portkey-default-output-guardrails")


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
        verdicts: Whether checks pass that ask a service outside.
        cache: The answers kept.
    """

    def __init__(self) -> None:
        self.configs: dict[str, Mapping[str, Any]] = {}
        self.integrations: dict[str, Integration] = {}
        self.guardrails: dict[str, Mapping[str, Any]] = {}
        self.defaults: dict[str | None, Mapping[str, Any]] = {}
        self.verdicts: dict[str, bool] = {}
        self.cache = Cache()

    def resolve(self, request: GatewayRequest) -> GatewayRequest:
        """The request with everything the account keeps written out, as the open-source gateway would need it.

        Raises:
            UnknownToGateway: a name is not registered.
        """
        if _names_nothing(request):
            return request
        headers = dict(request.headers)
        body, slug = self._model(request.body)
        key = headers.get("x-portkey-virtual-key") or _slug(headers.get("x-portkey-provider")) or slug
        config = self._config(headers)
        if config is None and key is None and "x-portkey-provider" not in headers:
            config = self._default(headers)
        if config is not None:
            written = self.written_out(config, key)
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

    def _default(self, headers: Mapping[str, str]) -> Mapping[str, Any]:
        """The config of the request's Portkey API key, which a plain OpenAI client sends as its own."""
        key = headers.get("x-portkey-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        found = self.defaults.get(key, self.defaults.get(None))
        if found is None:
            raise UnknownToGateway(
                "the request names no provider: no config, no provider, no virtual key, no model with a slug. The "
                "hosted gateway would use the default config of the API key. Register one with "
                'fake.default_provider("openai"), or name a provider in the client.'
            )
        return found

    def _model(self, body: bytes) -> tuple[bytes, str | None]:
        """The body with a plain model name, and the slug that stood before it."""
        if _MODEL_SLUG not in body:
            return body, None
        try:
            said = _javascript.parse(body)
        except ValueError:
            return body, None
        model = said.get("model") if isinstance(said, dict) else None
        slug, plain = _split(model)
        if slug is None:
            return body, None
        return json.dumps({**said, "model": plain}, ensure_ascii=False).encode(), slug

    def written_out(self, node: Any, requested: str | None) -> Any:
        """A config in which virtual keys, slugs and guardrail ids are replaced by what they stand for.

        Args:
            node: The config, or a target of it.
            requested: The virtual key or slug the request itself names, for targets that name none.
        """
        if not isinstance(node, Mapping):
            return node
        written = dict(node)
        targets = node.get("targets")
        if isinstance(targets, list):
            written["targets"] = [self.written_out(target, requested) for target in targets]
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


def _names_nothing(request: GatewayRequest) -> bool:
    """Whether a request is complete without what is kept for an account, as nearly all are."""
    headers = request.headers
    provider = headers.get("x-portkey-provider")
    if "x-portkey-virtual-key" in headers or (provider or "").startswith("@") or _MODEL_SLUG in request.body:
        return False
    if not headers.keys().isdisjoint(_DEFAULT_GUARDRAILS):
        return False
    config = headers.get("x-portkey-config")
    return _is_spelt_out(config) if config else provider is not None


@lru_cache(maxsize=128)
def _is_spelt_out(config: str) -> bool:
    """Whether a config is one that an account without anything in it would not change."""
    try:
        given = _javascript.parse_shared(config)
        # Most configs have nothing in them that could be a name, which shows at once.
        changed = any(mark in config for mark in _MARKS) and Account().written_out(given, None) != given
    except (ValueError, UnknownToGateway):
        return False
    return config.startswith("{") and not changed


def key_behind(key: str) -> str:
    """The provider key that a virtual key stands for where the test gives none; nobody outside ever sees it."""
    return f"key-of-{key.removeprefix('@')}"


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
