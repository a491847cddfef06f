"""Which requests the gateway refuses before it looks at any target, in its own words.

The order of the checks, the schema and the wording are those of Portkey's open-source gateway 1.15.2 (its
`requestValidator`), whose schema errors are worded by zod 3. The provider list is data, see
`_data/gateway_providers.json`.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from portkey_testing import _mapping

Path_: TypeAlias = tuple[str | int, ...]
Issue: TypeAlias = tuple[Path_, str]

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

_TRUSTED_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "host.docker.internal"})
_PRIVATE_SUFFIXES = (".local", ".internal", ".lan", ".test", ".localhost", ".home", ".corp", ".intranet", ".private")

_STRING_FIELDS = ("api_key", "virtual_key", "name", "custom_host")
_NUMBER_FIELDS = ("weight", "request_timeout")
_ENOUGH_ALONE = (
    "cache",
    "retry",
    "request_timeout",
    "before_request_hooks",
    "after_request_hooks",
    "input_guardrails",
    "output_guardrails",
    "azure_auth_mode",
    "aws_access_key_id",
)


@cache
def known_providers() -> tuple[str, ...]:
    """The providers the gateway knows, in its own order."""
    path = Path(__file__).parent / "_data" / "gateway_providers.json"
    return tuple(json.loads(path.read_text(encoding="utf-8"))["providers"])


def refusal(headers: Mapping[str, str]) -> _mapping.GatewayAnswer | None:
    """The refusal of a request with these headers; None if it goes on."""
    content_type = headers.get("content-type", "").split(";")[0].strip()
    if content_type and not content_type.startswith(("application/json", "multipart/form-data", "audio")):
        return _mapping.failure(400, "Invalid content type passed")
    config, provider = headers.get("x-portkey-config"), headers.get("x-portkey-provider")
    if not config and not provider:
        return _mapping.failure(400, NO_PROVIDER)
    if provider and provider not in known_providers():
        return _mapping.failure(400, "Invalid provider passed")
    host = headers.get("x-portkey-custom-host")
    if host and not valid_custom_host(host):
        return _mapping.failure(400, "Invalid custom host")
    return _config_refusal(config, provider) if config else None


def _config_refusal(text: str, provider: str | None) -> _mapping.GatewayAnswer | None:
    try:
        config = json.loads(text)
    except ValueError:
        return _mapping.failure(400, NOT_JSON)
    if config is None:
        return _mapping.failure(400, NOT_JSON)
    # An empty list is as good as a full one here, as it is in JavaScript.
    has_provider = isinstance(config, Mapping) and (
        config.get("provider") or isinstance(config.get("targets"), list | dict)
    )
    if not provider and not has_provider:
        return _mapping.failure(400, NO_PROVIDER_IN_CONFIG)
    issues = [f"path: {','.join(map(str, path))}, message: {message}" for path, message in _issues(config)]
    if issues:
        return _mapping.failure(400, "Invalid config passed", errors=issues)
    if isinstance(config, Mapping) and "options" in config:
        return _mapping.failure(400, OLD_CONFIG)
    return None


def _issues(config: Any) -> list[Issue]:
    """What the schema finds wrong with a config.

    A wrong type anywhere keeps the checks of whole objects from running, as it does in zod.
    """
    types = list(_type_issues(config, ()))
    wrong_type = any(message.startswith(("Expected", "Required")) for _, message in types)
    return types if wrong_type else [*types, *_object_issues(config, ())]


def _type_issues(node: Any, at: Path_) -> Iterator[Issue]:
    if not isinstance(node, Mapping):
        yield at, _expected("object", node)
        return
    yield from _strategy_issues(node, at)
    if "provider" in node:
        if not isinstance(node["provider"], str):
            yield (*at, "provider"), _expected("string", node["provider"])
        elif node["provider"] not in known_providers():
            listed = ", ".join(known_providers())
            yield (*at, "provider"), f"Invalid 'provider' value. Must be one of: {listed}"
    for name in _STRING_FIELDS:
        yield from _checked(node, at, name, str, "string")
    yield from _cache_issues(node, at)
    yield from _retry_issues(node, at)
    for name in _NUMBER_FIELDS:
        yield from _checked(node, at, name, (int, float), "number")
    yield from _checked(node, at, "strict_open_ai_compliance", bool, "boolean")
    yield from _checked_items(node, at, "forward_headers", str, "string")
    if "targets" in node:
        if isinstance(node["targets"], list):
            for position, child in enumerate(node["targets"]):
                yield from _type_issues(child, (*at, "targets", position))
        else:
            yield (*at, "targets"), _expected("array", node["targets"])


def _strategy_issues(node: Mapping[str, Any], at: Path_) -> Iterator[Issue]:
    if "strategy" not in node:
        return
    strategy, at = node["strategy"], (*at, "strategy")
    if not isinstance(strategy, Mapping):
        yield at, _expected("object", strategy)
        return
    mode = strategy.get("mode")
    if "mode" not in strategy:
        yield (*at, "mode"), "Required"
    elif not isinstance(mode, str):
        yield (*at, "mode"), _expected("string", mode)
    elif mode not in MODES:
        yield (*at, "mode"), f"Invalid 'mode' value. Must be one of: {', '.join(MODES)}"
    yield from _checked_items(strategy, at, "on_status_codes", (int, float), "number")
    conditions = strategy.get("conditions")
    for position, condition in enumerate(conditions if isinstance(conditions, list) else ()):
        where = (*at, "conditions", position)
        for name, kind, word in (("query", Mapping, "object"), ("then", str, "string")):
            if name not in condition:
                yield (*where, name), "Required"
            elif not isinstance(condition[name], kind):
                yield (*where, name), _expected(word, condition[name])


def _cache_issues(node: Mapping[str, Any], at: Path_) -> Iterator[Issue]:
    if "cache" not in node:
        return
    cache_, at = node["cache"], (*at, "cache")
    if not isinstance(cache_, Mapping):
        yield at, _expected("object", cache_)
        return
    if "mode" not in cache_:
        yield (*at, "mode"), "Required"
    elif cache_["mode"] not in CACHE_MODES:
        yield (*at, "mode"), f"Invalid 'cache.mode' value. Must be one of: {', '.join(CACHE_MODES)}"
    yield from _checked(cache_, at, "max_age", (int, float), "number")


def _retry_issues(node: Mapping[str, Any], at: Path_) -> Iterator[Issue]:
    if "retry" not in node:
        return
    retry, at = node["retry"], (*at, "retry")
    if not isinstance(retry, Mapping):
        yield at, _expected("object", retry)
        return
    if "attempts" not in retry:
        yield (*at, "attempts"), "Required"
    yield from _checked(retry, at, "attempts", (int, float), "number")
    yield from _checked_items(retry, at, "on_status_codes", (int, float), "number")


def _object_issues(node: Mapping[str, Any], at: Path_) -> Iterator[Issue]:
    for position, child in enumerate(node.get("targets") or ()):
        yield from _object_issues(child, (*at, "targets", position))
    if not _is_complete(node):
        yield at, INCOMPLETE
    host = node.get("custom_host")
    if host and not valid_custom_host(host):
        yield at, "Invalid custom host"
    if node.get("provider") == "vertex-ai" and not (
        node.get("vertex_region") and (node.get("vertex_project_id") or node.get("vertex_service_account_json"))
    ):
        yield at, INCOMPLETE_VERTEX


def _is_complete(node: Mapping[str, Any]) -> bool:
    return bool(
        (node.get("provider") and node.get("api_key"))
        or node.get("provider") in ("ollama", "triton", "vertex-ai")
        or (node.get("strategy") and node.get("targets") is not None)
        or any(name in node for name in _ENOUGH_ALONE)
    )


def _checked(
    node: Mapping[str, Any], at: Path_, name: str, kind: type | tuple[type, ...], word: str
) -> Iterator[Issue]:
    if name in node and not _is(node[name], kind):
        yield (*at, name), _expected(word, node[name])


def _checked_items(
    node: Mapping[str, Any], at: Path_, name: str, kind: type | tuple[type, ...], word: str
) -> Iterator[Issue]:
    if name not in node:
        return
    if not isinstance(node[name], list):
        yield (*at, name), _expected("array", node[name])
        return
    for position, item in enumerate(node[name]):
        if not _is(item, kind):
            yield (*at, name, position), _expected(word, item)


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _expected(word: str, value: Any) -> str:
    return f"Expected {word}, received {_javascript_type(value)}"


def _javascript_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def valid_custom_host(url: str) -> bool:
    """Whether the gateway would call that host: it guards against requests to private networks."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("http", "https") or not host or parts.username or any(ord(sign) < 32 for sign in url):
        return False
    if host in _TRUSTED_HOSTS or host.endswith(".localhost"):
        return True
    if host.endswith(_PRIVATE_SUFFIXES):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A number that is no address in the usual notation is an address in another one.
        return not host.replace(".", "").replace("x", "").isalnum() or not host[0].isdigit() or not _is_number(host)
    return address.is_global


def _is_number(host: str) -> bool:
    try:
        return all(int(part, 0) >= 0 for part in host.split("."))
    except ValueError:
        return False
