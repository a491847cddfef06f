"""What the hosted product keeps for an account."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from portkey_testing import FakeGateway, NotSimulated, UnknownToGateway, error
from tests.fake_support import SYNC, URL, body


def _post(fake: FakeGateway, headers: dict[str, str], **fields: Any) -> httpx.Response:
    with httpx.Client(transport=fake.transport()) as client:
        return client.post(URL, json=body(**fields), headers=headers)


def _fake() -> FakeGateway:
    fake = FakeGateway()
    fake.virtual_key("openai-prod", provider="openai")
    fake.virtual_key("@claude", provider="anthropic", api_key="sk-a", custom_host="http://localhost/v1")
    fake.always("hi")
    return fake


def _sent(fake: FakeGateway) -> tuple[str, str | None, Any]:
    """Provider, key and model of the last attempt."""
    attempt = fake.last.route.attempts[-1]
    headers = attempt.request.headers
    return attempt.provider, headers.get("authorization") or headers.get("x-api-key"), attempt.request.body["model"]


OPENAI_SENT = ("openai", "Bearer key-of-openai-prod", "gpt-4o-mini")


@pytest.mark.parametrize(
    ("headers", "model"),
    [
        ({"x-portkey-virtual-key": "openai-prod"}, "gpt-4o-mini"),
        ({"x-portkey-provider": "@openai-prod"}, "gpt-4o-mini"),
        ({}, "@openai-prod/gpt-4o-mini"),
        ({"authorization": "Bearer PORTKEY-KEY"}, "@openai-prod/gpt-4o-mini"),
        ({"x-portkey-config": '{"retry": {"attempts": 1}}'}, "@openai-prod/gpt-4o-mini"),
        ({"x-portkey-config": '{"virtual_key": "openai-prod"}'}, "gpt-4o-mini"),
        ({"x-portkey-config": '{"provider": "@openai-prod"}'}, "gpt-4o-mini"),
        ({"x-portkey-config": '{"override_params": {"model": "@openai-prod/gpt-4o-mini"}}'}, "other"),
        ({"x-portkey-config": "pc-1"}, "gpt-4o-mini"),
    ],
)
def test_ways_to_name_a_provider_that_is_kept(headers: dict[str, str], model: str) -> None:
    """Its key goes to the provider, the application's never does, and the slug is gone from the model."""
    fake = _fake()
    fake.saved_config("pc-1", {"strategy": {"mode": "single"}, "targets": [{"virtual_key": "openai-prod"}]})

    answer = _post(fake, headers, model=model)

    assert 200 == answer.status_code
    assert OPENAI_SENT == _sent(fake)


def test_a_target_can_name_its_own_slug() -> None:
    """Next to targets that take over that of the request."""
    fake = FakeGateway()
    fake.virtual_key("openai-prod", provider="openai")
    fake.virtual_key("claude", provider="anthropic", api_key="sk-a", custom_host="http://localhost/v1")
    fake.provider("openai").reply(error("server_error"))
    fake.provider("anthropic", virtual_key="claude").reply("from Claude")
    targets = [{"weight": 1}, {"override_params": {"model": "@claude/claude-sonnet-4-5", "max_tokens": 9}}]
    config = {"strategy": {"mode": "fallback"}, "targets": targets}

    answer = SYNC.ask(fake, body(model="@openai-prod/gpt-4o-mini"), config=config)

    assert "from Claude" == answer.said
    assert ("anthropic", "sk-a", "claude-sonnet-4-5") == _sent(fake)
    assert fake.last.route.attempts[-1].request.url.startswith("http://localhost/v1/")


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer pk-1"}, {"x-portkey-api-key": "pk-1"}],
    ids=["no key", "OpenAI", "Portkey"],
)
def test_the_default_config_of_an_api_key(headers: dict[str, str]) -> None:
    """It answers requests that name nothing, so a plain OpenAI client needs a base URL and a key only."""
    fake = _fake()
    fake.default_config({"virtual_key": "claude"})
    fake.default_config({"virtual_key": "openai-prod"}, api_key="pk-1")

    _post(fake, headers, max_tokens=9)

    assert ("openai" if headers else "anthropic") == _sent(fake)[0]


@pytest.mark.parametrize(
    "headers", [{"x-portkey-provider": "@openai-prod"}, {"x-portkey-virtual-key": "openai-prod"}, {}]
)
def test_the_default_config_counts_for_requests_that_name_a_provider(headers: dict[str, str]) -> None:
    """Its settings do, and what the request names fills the targets that name nobody."""
    fake = _fake()
    fake.default_config({"override_params": {"seed": 7}}, api_key="pk-1")
    model = "gpt-4o-mini" if headers else "@openai-prod/gpt-4o-mini"

    for key, seed in (("pk-1", 7), ("pk-2", None)):
        _post(fake, {"x-portkey-api-key": key, **headers}, model=model)
        assert OPENAI_SENT == _sent(fake)
        assert seed == fake.last.route.attempts[-1].request.body.get("seed")


def test_a_default_provider_is_for_requests_that_name_none() -> None:
    """It does not stand in the way of a provider or a slug."""
    fake = _fake()
    fake.default_provider("openai")

    _post(fake, {"x-portkey-provider": "@claude"}, model="claude-sonnet-4-5", max_tokens=9)

    assert "anthropic" == _sent(fake)[0]


@pytest.mark.parametrize(
    ("headers", "model", "line"),
    [
        ({}, "m", r'fake\.default_provider\("openai"\)'),
        ({"x-portkey-config": "pc-nobody"}, "m", r"fake\.saved_config\('pc-nobody', \{\"provider\": \.\.\.\}\)"),
        ({"x-portkey-virtual-key": "nobody"}, "m", r"fake\.virtual_key\('nobody', provider=\"openai\"\)"),
        ({"x-portkey-provider": "@nobody"}, "m", r"Registered: 'openai-prod', 'claude'"),
        ({}, "@nobody/m", r"fake\.virtual_key\('nobody'"),
        ({"x-portkey-config": '{"targets": [{"provider": "@nobody"}]}'}, "m", r"fake\.virtual_key\('nobody'"),
    ],
)
def test_what_nobody_registered_fails_the_test(headers: dict[str, str], model: str, line: str) -> None:
    """With the line to write."""
    fake = _fake()

    with pytest.raises(UnknownToGateway, match=line):
        _post(fake, headers, model=model)


def test_the_open_source_edition_knows_none_of_it() -> None:
    """It refuses as the real one does."""
    fake = FakeGateway(edition="open-source")

    assert 400 == _post(fake, {"x-portkey-provider": "@openai-prod"}).status_code


def test_prompts_are_not_simulated() -> None:
    """The hosted product keeps them, and the fake does not."""
    fake = FakeGateway()

    with httpx.Client(transport=fake.transport()) as client, pytest.raises(NotSimulated, match=r"fake\.gateway\.reply"):
        client.post("https://api.portkey.ai/v1/prompts/p/completions", json={})


def test_trace_ids_are_made_up() -> None:
    """Unless the application brings its own."""
    fake = _fake()
    fake.default_provider("openai")

    made_up = [_post(fake, {}).headers["x-portkey-trace-id"] for _ in range(2)]
    own = _post(fake, {"x-portkey-trace-id": "mine"}).headers["x-portkey-trace-id"]

    assert 2 == len(set(filter(None, made_up)))
    assert "mine" == own


TRACE = "00-bad90143930ea019df8f681254fb2393-42df8ac2dde4ac52-00"


@pytest.mark.parametrize(
    ("headers", "trace_id"),
    [
        ({"traceparent": TRACE}, "bad90143930ea019df8f681254fb2393"),
        ({"traceparent": TRACE, "x-portkey-trace-id": "mine"}, "mine"),
        ({"traceparent": "nonsense"}, "trace_fake_1"),
    ],
)
def test_trace_ids_come_from_the_standards_header(headers: dict[str, str], trace_id: str) -> None:
    """Where the application sends no other one."""
    fake = _fake()
    fake.default_provider("openai")

    assert trace_id == _post(fake, headers).headers["x-portkey-trace-id"]


@pytest.mark.parametrize(
    ("headers", "chosen"),
    [
        ({"baggage": "a=1,plan=paid%20up;ttl=5"}, "paid"),
        ({"baggage": "plan=paid%20up", "x-portkey-metadata": '{"plan": "free"}'}, "free"),
        ({"baggage": "plan=paid%20up", "x-portkey-metadata": "{oops"}, "free"),
        ({"baggage": "plan"}, "free"),
    ],
)
def test_baggage_is_metadata(headers: dict[str, str], chosen: str) -> None:
    """Portkey's own header wins over it."""
    fake = _fake()
    condition = {"query": {"metadata.plan": {"$eq": "paid up"}}, "then": "paid"}
    config = {
        "strategy": {"mode": "conditional", "conditions": [condition], "default": "free"},
        "targets": [{"name": name, "virtual_key": "openai-prod"} for name in ("free", "paid")],
    }

    _post(fake, {"x-portkey-config": json.dumps(config), **headers})

    assert f"config.targets[{int(chosen == 'paid')}]" == fake.last.route.target
