"""What the hosted product adds to the open-source gateway: configs, keys and providers it keeps for an account.

From Portkey's documentation of configs, virtual keys and the model catalogue. The fake knows what the test registers;
a name nobody registered fails the test with the line to write, since the real product would have known it or refused
it, and only the test's author can say which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from portkey_testing.failures import UnknownToGateway


class Account:
    """What the hosted gateway keeps.

    Attributes:
        configs: Saved configs by id.
        virtual_keys: Provider behind each virtual key or slug.
        default: Config of the API key, for requests that name none.
    """

    def __init__(self) -> None:
        self.configs: dict[str, Mapping[str, Any]] = {}
        self.virtual_keys: dict[str, str] = {}
        self.default: Mapping[str, Any] | None = None

    def resolve(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The request's headers with everything the account keeps written out.

        Raises:
            UnknownToGateway: a name is not registered.
        """
        resolved = dict(headers)
        config = self._config(headers)
        if config is not None:
            resolved["x-portkey-config"] = json.dumps(self._written_out(config))
        provider = headers.get("x-portkey-provider")
        key = headers.get("x-portkey-virtual-key") or (provider if provider and provider.startswith("@") else None)
        if key is not None:
            resolved["x-portkey-provider"] = self._provider(key)
            resolved["authorization"] = f"Bearer {_key_behind(key)}"
        if config is None and "x-portkey-provider" not in resolved:
            if self.default is None:
                raise UnknownToGateway(
                    "the request names no provider: no config, no provider, no virtual key. The hosted gateway would "
                    "use the default config of the API key. Register one with "
                    'fake.default_provider("openai"), or name a provider in the client.'
                )
            resolved["x-portkey-config"] = json.dumps(self.default)
        return resolved

    def _config(self, headers: Mapping[str, str]) -> Any:
        text = headers.get("x-portkey-config")
        if not text:
            return None
        try:
            return json.loads(text)
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

    def _written_out(self, node: Any) -> Any:
        """A config in which virtual keys and slugs are replaced by what they stand for."""
        if not isinstance(node, Mapping):
            return node
        written = dict(node)
        provider = node.get("provider")
        key = node.get("virtual_key") or node.get("virtualKey")
        if key is None and isinstance(provider, str) and provider.startswith("@"):
            key = provider
        if isinstance(key, str):
            written["provider"] = self._provider(key)
            written.setdefault("api_key", _key_behind(key))
        if isinstance(node.get("targets"), list):
            written["targets"] = [self._written_out(target) for target in node["targets"]]
        return written

    def _provider(self, key: str) -> str:
        name = key.removeprefix("@")
        if name not in self.virtual_keys:
            raise UnknownToGateway(
                f"the request names the virtual key {name!r}, which this fake does not have. "
                f"{_registered(self.virtual_keys)} "
                f'Register it with fake.virtual_key({name!r}, provider="openai").'
            )
        return self.virtual_keys[name]


def _key_behind(key: str) -> str:
    """The provider key that a virtual key stands for; nobody outside the account ever sees it."""
    return f"key-of-{key.removeprefix('@')}"


def _registered(names: Mapping[str, object]) -> str:
    return f"Registered: {', '.join(map(repr, names))}." if names else "None is registered."
