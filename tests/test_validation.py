"""Requests that providers refuse, and unusual ones they take, through the fake gateway."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
import yaml

from portkey_testing import FakeGateway, RefusedRequest, error
from portkey_testing._validation import refused
from tests.fake_support import SYNC, TOOLS, USER, Side, body, sides

CASES = yaml.load(
    (Path(__file__).parent / "data" / "request_validation.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)
CLAMPED = {"temperature-2.1", "top-p-1.1", "presence-penalty-minus-3"}
"""The gateway makes legal numbers of these, so the provider never sees them."""

UNREADABLE = {"body-not-json", "body-nan"}
"""The gateway itself cannot read these."""


def built(value: Any) -> Any:
    """A body of the cases with its abbreviations written out."""
    match value:
        case {"repeat": text, "times": count}:
            return text * count
        case {"repeat_tool": count}:
            return [{"type": "function", "function": {"name": f"f{i}"}} for i in range(count)]
        case dict():
            return {key: built(item) for key, item in value.items()}
        case list():
            return [built(item) for item in value]
        case _:
            return value


def content(case: dict[str, Any]) -> Any:
    """The request of a case: bytes where it says so."""
    return case["body"]["raw"].encode() if "raw" in case["body"] else built(case["body"])


def cases(kind: str, without: AbstractSet[str] = frozenset()) -> pytest.MarkDecorator:
    """The cases of one kind."""
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=case["id"]) for case in CASES[kind] if case["id"] not in without]
    )


def anthropic(**fields: Any) -> dict[str, Any]:
    """A request Anthropic takes; fields replace and add."""
    return body(model="claude-sonnet-4-5", max_tokens=100, **fields)


def call(*ids: str) -> dict[str, Any]:
    """An assistant message that calls tools."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": i, "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
            for i in ids
        ],
    }


def result(call_id: str) -> dict[str, Any]:
    """What a tool says."""
    return {"role": "tool", "tool_call_id": call_id, "content": "21"}


@cases("reject", CLAMPED | UNREADABLE)
def test_what_openai_refuses_is_refused_in_its_words(case: dict[str, Any]) -> None:
    """Status, type, param, code and message are OpenAI's, the message behind the gateway's prefix."""
    fake = FakeGateway()
    fake.always("never said")
    fake.allow("refused_requests")

    answer = SYNC.ask(fake, content(case))

    expected, actual = case["error"], answer.json["error"]
    assert case["status"] == answer.status
    assert [expected[name] for name in ("type", "param", "code")] == [
        actual[name] for name in ("type", "param", "code")
    ]
    assert actual["message"].startswith("openai error: ")
    assert case.get("stable_part", expected["message"]) in actual["message"]
    fake.verify()


@cases("accept")
def test_what_openai_takes_is_answered(case: dict[str, Any]) -> None:
    """A request may be unusual."""
    fake = FakeGateway()
    fake.virtual_key("@openai-prod", provider="openai")
    fake.reply('{"next": null}')

    assert None is refused("openai", content(case))
    assert 200 == SYNC.ask(fake, content(case)).status
    fake.verify()


@pytest.mark.parametrize("name", sorted(CLAMPED))
def test_what_the_gateway_makes_legal_is_no_mistake(name: str) -> None:
    """The provider judges numbers after the gateway has clamped them."""
    (case,) = [case for case in CASES["reject"] if case["id"] == name]
    fake = FakeGateway()
    fake.reply("fine")

    answer = SYNC.ask(fake, content(case))

    judged = refused("openai", content(case))
    assert judged is not None
    assert case["error"] == judged.body["error"]
    assert 200 == answer.status
    fake.verify()


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_a_body_that_is_no_json_never_reaches_the_provider(name: str) -> None:
    """The gateway gives up on it with its own 500."""
    (case,) = [case for case in CASES["reject"] if case["id"] == name]
    fake = FakeGateway()

    answer = SYNC.ask(fake, content(case))

    assert 500 == answer.status
    assert {"status": "failure", "message": "Something went wrong"} == answer.json
    assert [] == fake.last.route.attempts


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", "empty_array"),
        ({"tools": []}, "tools", "empty_array"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": "2"}, "n", "invalid_type"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"stream_options": {"usage": True}, "stream": True}, "stream_options.usage", "unknown_parameter"),
        ({"metadata": {"a": "b"}}, "metadata", None),
        ({"response_format": {"type": "json_object"}}, "messages", None),
        ({"model": "o3", "temperature": 0.2}, "temperature", "unsupported_value"),
        ({"model": "o3-mini", "max_tokens": 5}, "max_tokens", "unsupported_parameter"),
        ({"messages": [*USER, call("a", "a"), result("a")]}, "messages.[1].tool_calls", None),
        ({"messages": [*USER, call("a"), result("b")]}, "messages.[2].tool_call_id", None),
        ({"messages": [*USER, call("a")]}, "messages.[1].role", None),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
            "messages[0]",
            "invalid_value",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
            "invalid_type",
        ),
        ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "tool_choice.function", "missing_required_parameter"),
    ],
)
def test_rules_beside_the_recorded_ones(fields: dict[str, Any], param: str, code: str | None) -> None:
    """Siblings of the recorded refusals name their parameter and code."""
    judged = refused("openai", body(**fields))

    assert judged is not None
    assert (400, param, code) == (judged.status, judged.body["error"]["param"], judged.body["error"]["code"])


@pytest.mark.parametrize("levels", [10, 11])
def test_a_strict_schema_nests_ten_levels_deep(levels: int) -> None:
    """Ten levels of objects are taken, eleven are not."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "out", "strict": True, "schema": schema}}

    judged = refused("openai", body(response_format=wanted))

    expected = None
    if levels > 10:
        expected = "Invalid schema for response_format 'out': 11 levels of nesting exceeds limit of 10."
    assert expected == (judged and judged.message)


@pytest.mark.parametrize(
    ("request_body", "status", "message"),
    [
        (body(model="claude-sonnet-4-5"), 400, "max_tokens: Field required"),
        (body(model="claude-sonnet-4-5", max_tokens=0), 400, "max_tokens: Input should be greater than or equal to 1"),
        (body(max_tokens=5), 404, "model: gpt-4o-mini"),
        (anthropic(tools=[TOOLS[0], TOOLS[0]]), 400, "tools: Tool names must be unique."),
        (
            anthropic(messages=[*USER, call("a", "b"), result("a"), *USER]),
            400,
            (
                "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: b. Each "
                "`tool_use` block must have a corresponding `tool_result` block in the next message."
            ),
        ),
        (
            anthropic(messages=[*USER, result("a")]),
            400,
            (
                "messages.1.content.0: unexpected `tool_use_id` found in `tool_result` blocks: a. Each `tool_result` "
                "block must have a corresponding `tool_use` block in the previous message."
            ),
        ),
        (
            anthropic(messages=[{"role": "system", "content": "Be kind."}]),
            400,
            "messages: at least one message is required",
        ),
    ],
)
def test_what_anthropic_refuses_is_refused_in_its_words(
    request_body: dict[str, Any], status: int, message: str
) -> None:
    """Anthropic judges its own shape of the request."""
    fake = FakeGateway()
    fake.allow("refused_requests")

    answer = SYNC.ask(fake, request_body, provider="anthropic")

    assert (status, f"anthropic error: {message}") == (answer.status, answer.json["error"]["message"])


def test_anthropic_takes_results_in_several_messages() -> None:
    """Messages of one role in a row are one turn."""
    fake = FakeGateway()
    fake.reply("fine")
    messages = [*USER, call("a", "b"), result("b"), result("a"), *USER]

    assert "fine" == SYNC.ask(fake, anthropic(messages=messages), provider="anthropic").said
    fake.verify()


@sides
def test_a_refused_request_fails_the_test_at_its_end(side: Side) -> None:
    """The application gets the refusal, and may swallow it; the test does not."""
    fake = FakeGateway()
    fake.always("never said")

    answer = side.ask(fake, body(messages=[]))

    assert 400 == answer.status
    with pytest.raises(RefusedRequest) as caught:
        fake.verify()
    assert "Invalid 'messages': empty array" in str(caught.value)
    assert "fake.allow('refused_requests')" in str(caught.value)


def test_a_refused_request_is_routed_on() -> None:
    """The gateway falls back from a refusal as from any other error, and its reply is not used up."""
    fake = FakeGateway()
    fake.provider("openai").always("from OpenAI")
    fake.provider("anthropic").reply("from Anthropic")
    fake.allow("refused_requests")
    override = {"model": "claude-sonnet-4-5", "max_tokens": 5}
    targets = [
        {"provider": "openai", "api_key": "A"},
        {"provider": "anthropic", "api_key": "B", "override_params": override},
    ]

    answer = SYNC.ask(fake, body(model="claude-x"), config={"strategy": {"mode": "fallback"}, "targets": targets})

    assert "from Anthropic" == answer.said
    assert [404, 200] == [attempt.status for attempt in fake.last.route.attempts]
    fake.verify()


def test_a_scripted_error_is_given_to_any_request() -> None:
    """A provider that is down refuses nothing."""
    fake = FakeGateway()
    fake.reply(error("overloaded"))

    assert 503 == SYNC.ask(fake, body(n=1000)).status
    fake.verify()


def test_a_host_of_its_own_has_its_own_rules() -> None:
    """What merely speaks like OpenAI may serve any model."""
    fake = FakeGateway()
    fake.reply("fine")

    answer = SYNC.ask(fake, body(model="llama-3"), custom_host="http://vllm.example.com/v1")

    assert "fine" == answer.said
    fake.verify()
