"""The real gateway still answers what is recorded; `scripts/gateway --conformance` plays the whole corpus."""

from __future__ import annotations

import pytest

from tests.conformance.compare import differences, explain
from tests.conformance.scenarios import load_scenario, load_truth
from tests.live.corpus import play
from tests.live.gateway import RealGateway
from tests.live.provider import LoopbackProvider

REPRESENTATIVE = (
    "single_openai_ok",
    "single_tool_calls",
    "single_redirect_307",
    "fallback_default_429",
    "fallback_drop",
    "retry_success_second",
    "retry_after_ms_wins",
    "nested_fb_of_lb",
    "conditional_eq_true",
    "stream_openai",
    "stream_openai_tools",
    "stream_openai_drop",
    "stream_anthropic_text",
    "anthropic_tool_use_non_strict",
    "anthropic_two_blocks",
    "errors_openai_429",
    "errors_refused_openai",
    "timeout_header",
    "guardrail_output_deny_fallback",
    "guardrail_stream_input_deny",
    "headers_config_array",
    "routes_proxy_stream",
)


@pytest.mark.live
@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_the_real_gateway_answers_as_recorded(name: str, gateway: RealGateway, provider: LoopbackProvider) -> None:
    """Played over HTTP, a scenario gives the recorded results in every aspect."""
    scenario = load_scenario(name)

    found = differences(load_truth(name), play(scenario, gateway.url, provider), scenario.get("compare"))

    assert found == {}, explain(found)


@pytest.mark.live
def test_a_changed_upstream_is_noticed(gateway: RealGateway, provider: LoopbackProvider) -> None:
    """The comparison is not blind: one other word from the provider is a difference of the body alone."""
    scenario = load_scenario("single_openai_ok")
    changed = {**scenario, "upstreams": {"a": [{"kind": "openai", "text": "another word"}]}}

    found = differences(load_truth("single_openai_ok"), play(changed, gateway.url, provider))

    assert list(found) == ["body"]


@pytest.mark.live
def test_no_answer_is_reported_as_none(gateway: RealGateway, provider: LoopbackProvider) -> None:
    """A config for which the gateway never answers ends when patience does, without an attempt."""
    scenario = load_scenario("loadbalance_all_zero")

    results = play(scenario, gateway.url, provider, patience=0.3)

    assert results == load_truth("loadbalance_all_zero")
