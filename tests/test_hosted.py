"""What only the hosted product has: what it keeps for an account, and its cache."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from portkey_testing import FakeGateway, NotSimulated, UnknownToGateway, error
from tests.fake_support import SYNC, URL, Answer, body

SIMPLE = {"provider": "openai", "api_key": "K", "cache": {"mode": "simple"}}
SEMANTIC = {"provider": "openai", "api_key": "K", "cache": {"mode": "semantic"}}


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


def _cached(fake: FakeGateway, config: dict[str, Any], question: str = "Weather in Oslo?", **route: Any) -> Answer:
    messages = [{"role": "system", "content": route.pop("system", "Be brief.")}, {"role": "user", "content": question}]
    return SYNC.ask(fake, body(messages=messages, **route.pop("fields", {})), config=config, **route)


def _status(answer: Answer) -> str:
    return answer.headers["x-portkey-cache-status"]


def test_an_equal_request_is_answered_from_the_cache() -> None:
    """Without an attempt, with the same body and a retry count of 0."""
    fake = FakeGateway()
    fake.reply("one", "two")

    first, again, other = (_cached(fake, SIMPLE, question) for question in ("a", "a", "b"))

    assert ["MISS", "HIT", "MISS"] == [_status(answer) for answer in (first, again, other)]
    assert (first.json, "two") == (again.json, other.said)
    assert ([], "HIT", "0") == (
        fake.calls[1].route.attempts,
        fake.calls[1].route.cache,
        again.headers["x-portkey-retry-attempt-count"],
    )
    fake.verify()


def test_without_a_cache_it_is_disabled() -> None:
    """So it is where a header switches it off, and a stream is never kept."""
    fake = FakeGateway()
    fake.always("hi")

    plain = _cached(fake, {"provider": "openai", "api_key": "K"})
    switched_off = [_cached(fake, SIMPLE, debug="false") for _ in range(2)]
    streams = [_cached(fake, SIMPLE, fields={"stream": True}) for _ in range(2)]

    assert {"DISABLED"} == {_status(answer) for answer in (plain, *switched_off, *streams)}


@pytest.mark.parametrize(
    ("max_age", "seconds", "status"),
    [
        (100, 99, "HIT"),
        (100, 100, "MISS"),
        (1, 59, "HIT"),
        (None, 7 * 86400 - 1, "HIT"),
        (None, 7 * 86400, "MISS"),
        (10**9, 90 * 86400, "MISS"),
    ],
)
def test_answers_grow_old(max_age: int | None, seconds: float, status: str) -> None:
    """After `max_age` seconds of the fake's clock: a minute at least, ninety days at most, a week if not given."""
    cache = {"mode": "simple", **({} if max_age is None else {"max_age": max_age})}
    fake = FakeGateway()
    fake.always("hi")

    _cached(fake, {**SIMPLE, "cache": cache})
    fake.clock.sleep(seconds)

    assert status == _status(_cached(fake, {**SIMPLE, "cache": cache}))


def test_a_refresh_asks_again() -> None:
    """And keeps the new answer."""
    fake = FakeGateway()
    fake.reply("old", "new")

    _cached(fake, SIMPLE)
    refreshed = _cached(fake, SIMPLE, cache_force_refresh="true")
    again = _cached(fake, SIMPLE)

    assert [("REFRESH", "new"), ("HIT", "new")] == [(_status(answer), answer.said) for answer in (refreshed, again)]


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ({"metadata": '{"user": 1}'}, {"metadata": '{"user": 2}'}, "MISS"),
        ({"cache_namespace": "a"}, {"cache_namespace": "b"}, "MISS"),
        ({"cache_namespace": "a", "metadata": "{}"}, {"cache_namespace": "a", "metadata": '{"user": 2}'}, "HIT"),
        ({"trace_id": "a"}, {"trace_id": "b"}, "HIT"),
    ],
)
def test_what_keeps_answers_apart(first: dict[str, str], second: dict[str, str], status: str) -> None:
    """The metadata does, or a namespace alone."""
    fake = FakeGateway()
    fake.always("hi")

    _cached(fake, SIMPLE, **first)

    assert status == _status(_cached(fake, SIMPLE, **second))


@pytest.mark.parametrize(
    ("question", "more", "status"),
    [
        ("Weather in Oslo?", {}, "HIT"),
        ("Please, the weather of Oslo", {}, "SEMANTIC HIT"),
        ("Weather in Oslo?", {"system": "Be long."}, "SEMANTIC HIT"),
        ("Weather in Rome?", {}, "SEMANTIC MISS"),
        ("Weather for Oslo", {"fields": {"temperature": 1}}, "SEMANTIC MISS"),
        ("Weather for Oslo", {"metadata": '{"user": 2}'}, "SEMANTIC MISS"),
    ],
)
def test_a_similar_request_is_answered_from_a_semantic_cache(question: str, more: dict[str, Any], status: str) -> None:
    """The user's words decide, the system message does not, and every other field has to be equal."""
    fake = FakeGateway()
    fake.always("hi")

    assert "SEMANTIC MISS" == _status(_cached(fake, SEMANTIC))
    assert status == _status(_cached(fake, SEMANTIC, question, **more))


def test_long_conversations_are_not_compared() -> None:
    """More than four messages are looked for word by word only."""
    fake = FakeGateway()
    fake.always("hi")
    talk = [{"role": "user", "content": "Weather in Oslo?"}] * 5

    answers = [SYNC.ask(fake, body(messages=talk), config=SEMANTIC) for _ in range(2)]

    assert ["MISS", "HIT"] == [_status(answer) for answer in answers]


def test_errors_are_not_kept() -> None:
    """The next request reaches the provider again."""
    fake = FakeGateway()
    fake.reply(error("server_error"), "hi")

    assert [500, 200] == [_cached(fake, SIMPLE).status for _ in range(2)]
    fake.verify()


def test_the_cache_is_that_of_the_request_not_of_the_target() -> None:
    """Behind a fallback the first target has the answer that the second one gave."""
    config = {
        "strategy": {"mode": "fallback"},
        "targets": [{**SIMPLE, "name": "first"}, {**SIMPLE, "name": "second"}],
    }
    fake = FakeGateway()
    fake.reply(error("server_error"), "hi")

    first, again = (_cached(fake, config) for _ in range(2))

    assert ["config.targets[1]", "config.targets[0]"] == [
        answer.headers["x-portkey-last-used-option-index"] for answer in (first, again)
    ]
    assert json.loads(first.text) == json.loads(again.text)
