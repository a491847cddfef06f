"""What an SDK makes of the fake is what it makes of the real gateway: the same script behind both, the same outcome."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from typing import Any, Final

import pytest

from portkey_testing import FakeGateway
from tests.clients.conftest import sdks
from tests.clients.sdk import Ask, Sdk, SdkError
from tests.conformance.adapter import REFUSED, Upstreams
from tests.conformance.results import Normaliser
from tests.conformance.scenarios import placeholders
from tests.live.gateway import RealGateway
from tests.live.provider import LoopbackProvider

OPENAI: Final = {"provider": "openai", "api_key": "k", "custom_host": "{{host:a}}"}
ANTHROPIC: Final = {
    "provider": "anthropic",
    "api_key": "k",
    "custom_host": "{{host:b}}",
    "override_params": {"model": "claude-sonnet-4-5", "max_tokens": 64},
}
CALL: Final = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
FUNCTION: Final = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOLS: Final = {"tools": [{"type": "function", "function": FUNCTION}]}
REFUSAL: Final = {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
GUARD: Final = {
    "id": "g",
    "type": "guardrail",
    "deny": True,
    "checks": [{"id": "default.contains", "parameters": {"words": ["Oslo"], "operator": "none"}}],
}

WORDS: Final = {"kind": "openai_sse", "deltas": ["It", " is", " sunny"]}
FRAGMENTS: Final = [
    {"tool_calls": [{"index": 0, **CALL, "function": {"name": "get_weather", "arguments": '{"city":'}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]},
]
SAYS: Final = {"kind": "anthropic_sse", "blocks": [{"type": "text", "pieces": ["It", " is", " sunny"]}]}
USES: Final = {
    "kind": "anthropic_sse",
    "blocks": [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "pieces": ['{"city":', '"Oslo"}']}],
    "stop_reason": "tool_use",
}

TIMES: Final = re.compile(r"""(["'](?:execution_time|created_at)["']: ?)[^,}]+""")
"""What hooks tell of when they ran, in JSON or in Python's spelling of it."""

SCRIPTS: Final[dict[str, tuple[dict[str, Any], Any, Ask]]] = {
    "text": ({"a": [{"kind": "openai", "text": "Sunny"}]}, OPENAI, Ask()),
    "tool call": ({"a": [{"kind": "openai", "tool_calls": [CALL]}]}, OPENAI, Ask(params=TOOLS)),
    "stream": ({"a": [WORDS]}, OPENAI, Ask(stream=True)),
    "stream cut": ({"a": [{**WORDS, "drop_after": 2}]}, OPENAI, Ask(stream=True)),
    "stream of a tool call": (
        {"a": [{"kind": "openai_sse", "deltas": FRAGMENTS, "finish_reason": "tool_calls"}]},
        OPENAI,
        Ask(stream=True, params=TOOLS),
    ),
    "anthropic": ({"b": [{"kind": "anthropic", "text": "Sunny"}]}, ANTHROPIC, Ask()),
    "anthropic stream": ({"b": [SAYS]}, ANTHROPIC, Ask(stream=True)),
    "anthropic stream of a tool call": ({"b": [USES]}, ANTHROPIC, Ask(stream=True, params=TOOLS)),
    "400": ({"a": [{"status": 400, "body": {"error": {"message": "no"}}}]}, OPENAI, Ask()),
    "401": ({"a": [{"status": 401, "body": {"error": {"message": "no"}}}]}, OPENAI, Ask()),
    "429": ({"a": [{"status": 429, "body": REFUSAL}]}, OPENAI, Ask()),
    "429 of a stream": ({"a": [{"status": 429, "body": REFUSAL}]}, OPENAI, Ask(stream=True)),
    "446": ({"a": [{"kind": "openai", "text": "Sunny"}]}, {**OPENAI, "before_request_hooks": [GUARD]}, Ask()),
    "502 in HTML": ({"a": [{"kind": "text", "status": 502, "body": "<html>bad</html>"}]}, OPENAI, Ask()),
    "fallback": (
        {"a": [{"status": 429, "body": REFUSAL}], "b": [{"kind": "anthropic", "text": "Sunny"}]},
        {"strategy": {"mode": "fallback"}, "targets": [OPENAI, ANTHROPIC]},
        Ask(),
    ),
    "retry": (
        {"a": [{"status": 500, "body": REFUSAL}, {"kind": "openai", "text": "Sunny"}]},
        {**OPENAI, "retry": {"attempts": 1}},
        Ask(),
    ),
    "a config that is none": ({}, {"strategy": {"mode": "loadbalance"}}, Ask()),
}
"""By name: the provider's steps, the config and the request."""


@pytest.mark.live
@sdks()
@pytest.mark.parametrize("name", SCRIPTS)
def test_an_sdk_sees_no_difference(sdk: Sdk, name: str, gateway: RealGateway, provider: LoopbackProvider) -> None:
    """Answers, streams and errors reach the application alike."""
    upstreams, config, ask = SCRIPTS[name]
    scenario = {"id": "clients", "upstreams": upstreams, "request": {"config": config}}
    scripted = Upstreams(scenario)
    fake = FakeGateway(edition="open-source")
    fake.allow("unused_replies", "refused_requests", "unoffered_tools", "invalid_tool_arguments")
    fake.always(scripted.reply)
    provider.load("clients", upstreams)
    here = placeholders(scenario, scripted.root, REFUSED)
    there = placeholders(scenario, lambda upstream: provider.url("clients", upstream), REFUSED)

    with fake.serve(time_scale=0) as server:
        faked = _outcome(sdk, server.url, ask, config, here)
    real = _outcome(sdk, gateway.base_url, ask, config, there)

    assert real == faked


def _outcome(sdk: Sdk, base_url: str, ask: Ask, config: Any, urls: dict[str, str]) -> Any:
    """What the application gets, with what differs from run to run replaced."""
    text = json.dumps(config)
    for placeholder, url in urls.items():
        text = text.replace(placeholder, url)
    normaliser = Normaliser(urls)
    try:
        said = sdk.chat(base_url, replace(ask, config=json.loads(text)))
    except SdkError as error:
        return error.kinds, error.status, TIMES.sub(r"\1<time>", normaliser.text(error.message))
    return normaliser.value(asdict(said))
