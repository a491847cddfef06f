"""What a target takes over from the ones around it."""

from __future__ import annotations

from typing import Any

import pytest

from portkey_testing._policy import Group, Retry, Target, tree

OPENAI = {"provider": "openai", "api_key": "K"}


def _leaf(outer: dict[str, Any], inner: dict[str, Any], headers: dict[str, str] | None = None) -> Target:
    """The one target below a group."""
    node = tree({"strategy": {"mode": "single"}, "targets": [{**OPENAI, **inner}], **outer}, headers or {})
    assert isinstance(node, Group)
    (target,) = node.targets
    assert isinstance(target, Target)
    return target


@pytest.mark.parametrize(
    ("outer", "inner", "attribute", "expected"),
    [
        ({"override_params": {"a": 1, "b": 1}}, {"override_params": {"b": 2}}, "overrides", {"a": 1, "b": 2}),
        ({"overrideParams": {"a": 1}}, {}, "overrides", {"a": 1}),
        ({"request_timeout": 500}, {}, "timeout", 0.5),
        ({"request_timeout": 500}, {"request_timeout": 0}, "timeout", 0.5),
        ({"request_timeout": 500}, {"requestTimeout": 100}, "timeout", 0.1),
        ({"custom_host": "http://a.com"}, {"custom_host": ""}, "custom_host", "http://a.com"),
        ({"forward_headers": ["a"]}, {"forward_headers": ["b"]}, "forward_headers", ["b"]),
        ({"forward_headers": ["a"]}, {"forward_headers": []}, "forward_headers", []),
        ({"cache": {"mode": "simple"}}, {"cache": {"mode": "semantic"}}, "cache", {"mode": "semantic"}),
        ({"strict_open_ai_compliance": False}, {}, "strict", True),
        ({}, {"strict_open_ai_compliance": False}, "strict", False),
        ({"provider": "groq", "weight": 5, "name": "outer"}, {}, "weight", 1),
    ],
)
def test_the_nearest_setting_counts(
    outer: dict[str, Any], inner: dict[str, Any], attribute: str, expected: Any
) -> None:
    """Overrides are merged, others replaced, and some are never taken over."""
    assert expected == getattr(_leaf(outer, inner), attribute)


def test_a_retry_is_replaced_as_a_whole() -> None:
    """The codes of the outer one are not kept."""
    outer = {"retry": {"attempts": 3, "on_status_codes": [418]}}

    assert Retry(3, (418,)) == _leaf(outer, {}).retry
    assert Retry(1, (429, 500, 502, 503, 504)) == _leaf(outer, {"retry": {"attempts": 1}}).retry
    assert Retry(0, ()) == _leaf(outer, {"retry": {"attempts": 0}}).retry


@pytest.mark.parametrize(
    ("inner", "ids"),
    [
        ({}, ["outer"]),
        ({"input_guardrails": []}, []),
        ({"input_mutators": [{"notNull": {}, "id": "own"}]}, ["own"]),
        ({"before_request_hooks": [{"id": "raw"}], "input_guardrails": [{"id": "own"}]}, ["raw", "own"]),
    ],
)
def test_own_guardrails_replace_the_outer_ones(inner: dict[str, Any], ids: list[str]) -> None:
    """All three kinds together, even where the list is empty."""
    target = _leaf({"input_guardrails": [{"notNull": {}, "id": "outer"}]}, inner)

    assert ids == [hook.id for hook in target.before]


def test_headers_count_for_every_target() -> None:
    """Host, timeout, strictness and forwarded headers of the request win over those of the config."""
    headers = {
        "x-portkey-custom-host": "http://b.com",
        "x-portkey-request-timeout": "250",
        "x-portkey-strict-open-ai-compliance": "false",
        "x-portkey-forward-headers": "a, b",
    }

    target = _leaf({"custom_host": "http://a.com"}, {"request_timeout": 9, "forward_headers": ["c"]}, headers)

    assert ("http://b.com", 0.25, False) == (target.custom_host, target.timeout, target.strict)
    assert ["a", "b"] == list(target.forward_headers)


def test_provider_and_key_may_come_from_the_headers() -> None:
    """Only where the config has neither provider nor targets."""
    headers = {"x-portkey-provider": "groq", "authorization": "Bearer H"}

    from_headers = tree({"retry": {"attempts": 1}}, headers)
    from_config = tree(OPENAI, headers)

    assert isinstance(from_headers, Target)
    assert isinstance(from_config, Target)
    assert ("groq", "H", True) == (from_headers.provider, from_headers.api_key, from_headers.from_headers)
    assert ("openai", "K", False) == (from_config.provider, from_config.api_key, from_config.from_headers)


def test_targets_without_a_strategy_are_a_target_without_a_provider() -> None:
    """The validator lets them pass; the gateway then takes the config for a target itself."""
    node = tree({"targets": [OPENAI], "retry": {"attempts": 1}}, {})

    assert isinstance(node, Target)
    assert ("config", None) == (node.path, node.provider)
