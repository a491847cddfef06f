"""The parts of a config that only the hosted product has, put into the words the open-source brain reads.

From Portkey's documentation, each rule with its page:

* https://portkey.ai/docs/product/ai-gateway/automatic-retries: 529 is retried by default, too, and
  `use_retry_after_headers` is the name of the setting that the open-source gateway calls `use_retry_after_header`.
* https://portkey.ai/docs/product/ai-gateway/configs ("Default and drop params"): `default_params` fill in what the
  request does not say, `override_params` replace what it says, `drop_params` take away, in this order. Targets inherit
  them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from portkey_testing import _javascript

RETRIED_BY_DEFAULT: Final = (429, 500, 502, 503, 504, 529)

COMPLETE: Final = ("default_params", "drop_params", "forward_headers", "passthrough", "prompt_id")
"""Fields that make a whole config, or a target, on their own; the open-source gateway would ask for a provider.

From https://portkey.ai/docs/api-reference/inference-api/config-object.
"""

_STEP: Final = re.compile(r"\[(\d+|\*)\]|([^.\[\]]+)")


def rewritten(node: Any, sent: Collection[str]) -> Any:
    """A config, or a target, with nothing in it that the open-source brain does not know.

    Args:
        node: The config.
        sent: Names of the fields of the request's body.
    """
    return _rewritten(node, sent, {}, {}, None)


def depends_on_the_request(config: str) -> bool:
    """Whether the text of a config has something whose meaning changes with the body of the request."""
    return "default_params" in config


def _rewritten(
    node: Any, sent: Collection[str], overridden: Mapping[str, Any], defaults: Mapping[str, Any], drops: Any
) -> Any:
    if not isinstance(node, Mapping):
        return node
    written = dict(node)
    if isinstance(node.get("retry"), Mapping):
        written["retry"] = _retry(node["retry"])
    own = _fields(node.get("override_params", node.get("overrideParams")))
    overridden = {**overridden, **own}
    defaults = {**defaults, **_fields(node.get("default_params"))}
    drops = node.get("drop_params", drops)
    targets = node.get("targets")
    if isinstance(targets, list):
        written["targets"] = [_rewritten(target, sent, overridden, defaults, drops) for target in targets]
        return written
    filled = {name: value for name, value in defaults.items() if name not in sent and name not in overridden}
    if filled:
        written["override_params"] = {**filled, **own}
    if drops is not None:
        written["drop_params"] = drops
    return written


def _retry(retry: Mapping[str, Any]) -> dict[str, Any]:
    written = dict(retry)
    asked = written.pop("use_retry_after_headers", None)
    if asked is not None:
        written.setdefault("use_retry_after_header", asked)
    if _javascript.truthy(retry.get("attempts")) and "on_status_codes" not in retry and "onStatusCodes" not in retry:
        written["on_status_codes"] = list(RETRIED_BY_DEFAULT)
    return written


def _fields(params: Any) -> Mapping[str, Any]:
    return params if isinstance(params, Mapping) else {}


def without(params: Mapping[str, Any], paths: Any) -> Mapping[str, Any]:
    """The fields of a request without those that `drop_params` names, as in `tools[*].function.strict`."""
    if not isinstance(paths, list):
        return params
    left: Any = params
    for path in paths:
        left = _dropped(left, [name or _position(place) for place, name in _STEP.findall(str(path))])
    return left if isinstance(left, Mapping) else params


def _position(place: str) -> int | None:
    """The position in a list that a path names; None for each of them."""
    return None if place == "*" else int(place)


def _dropped(value: Any, steps: Sequence[str | int | None]) -> Any:
    """A value without what `steps` lead to; paths that lead nowhere are ignored."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, str):
        if not isinstance(value, Mapping) or step not in value:
            return value
        kept = {name: item for name, item in value.items() if rest or name != step}
        return {**kept, step: _dropped(value[step], rest)} if rest else kept
    if not isinstance(value, list):
        return value
    chosen = range(len(value)) if step is None else [step]
    if not rest:
        return [item for position, item in enumerate(value) if position not in chosen]
    return [_dropped(item, rest) if position in chosen else item for position, item in enumerate(value)]
