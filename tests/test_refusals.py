"""Requests that providers refuse, and unusual ones they take, through the fake gateway."""

from __future__ import annotations

import math
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
import yaml

from portkey_testing import FakeGateway, RefusedRequest, error
from portkey_testing._refusals import refused
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


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    """A message of the user in parts."""
    return {"role": "user", "content": list(parts)}


URL = "https://example.com/cat.png"
IMAGE_PART: dict[str, Any] = {"type": "image_url", "image_url": {"url": URL}}
IMAGE = "messages[0].content[0].image_url"
SOUND = "messages[0].content[0].input_audio"
FUNCTION_NAME = "tool_choice.function.name"
RESULT_ID = "messages[2].tool_call_id"
CUSTOM: dict[str, Any] = {"type": "custom", "custom": {"name": "f"}}
CHOSEN = {"type": "function", "function": {"name": "f"}}
STRICT = "tools[0].function.strict"


def strict(**properties: Any) -> dict[str, Any]:
    """A request for strict structured output with these properties."""
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": list(properties)}
    if definitions := properties.pop("_defs", None):
        schema |= {"$defs": definitions, "required": list(properties)}
    named = {"name": "out", "strict": True, "schema": {**schema, "additionalProperties": False}}
    return body(response_format={"type": "json_schema", "json_schema": named})


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
        ({"messages": [{"role": 5, "content": "x"}]}, "messages[0].role", "invalid_type"),
        ({"messages": [{**USER[0], "name": "n" * 65}]}, "messages[0].name", "string_above_max_length"),
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
        ({"tools": TOOLS, "tool_choice": {"type": "tool"}}, "tool_choice.type", "invalid_value"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": [1]}}},
            FUNCTION_NAME,
            "invalid_type",
        ),
        ({"tools": [{"type": "custom"}]}, "tools[0].custom", "missing_required_parameter"),
        ({"tools": [{"type": 5}]}, "tools[0].type", "invalid_type"),
        ({"tools": [CUSTOM | {"function": "f"}], "tool_choice": CHOSEN}, "tool_choice", None),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": "yes"}}]}, STRICT, "invalid_type"),
        ({"functions": [{}]}, "functions[0].name", "missing_required_parameter"),
        ({"functions": []}, "functions", "empty_array"),
        ({"function_call": "auto"}, "function_call", None),
        ({"logit_bias": {"token": 1}}, "logit_bias", None),
        ({"top_logprobs": math.inf, "logprobs": True}, "top_logprobs", "invalid_type"),
        ({"top_logprobs": 2}, "top_logprobs", None),
        ({"modalities": ["text", "audio"], "audio": {"voice": "ash"}}, "audio.format", "missing_required_parameter"),
        ({"audio": {"voice": "ash", "format": "wav"}, "stream": True}, "audio.format", "unsupported_value"),
        ({"prediction": {"type": "content"}}, "prediction.content", "missing_required_parameter"),
        ({"prediction": {"type": "text", "content": "x"}}, "prediction.type", "invalid_value"),
        ({"messages": [*USER, {"role": "function", "content": "x"}]}, "messages.[1].name", None),
        ({"messages": [*USER, call(*map(str, range(129)))]}, "messages[1].tool_calls", "array_above_max_length"),
        ({"messages": [*USER, call("a"), {**result("a"), "tool_call_id": ["a"]}]}, RESULT_ID, "invalid_type"),
        ({"messages": [user({"type": "image_url", "image_url": {"url": 5}})]}, f"{IMAGE}.url", "invalid_type"),
        (
            {"messages": [user(IMAGE_PART | {"image_url": {"url": URL, "detail": "x"}})]},
            f"{IMAGE}.detail",
            "invalid_value",
        ),
        (
            {"messages": [user({"type": "input_audio", "input_audio": {}})]},
            f"{SOUND}.data",
            "missing_required_parameter",
        ),
        ({"messages": [user({"type": ["text"]})]}, "messages[0].content[0].type", "invalid_type"),
        ({"model": "gpt-3.5-turbo", "messages": [user(IMAGE_PART)]}, "messages.[0].content.[0].type", None),
        ({"model": "gpt-4o", "max_tokens": 16_385}, "max_tokens", "invalid_value"),
        ({"model": "gpt-4o", "reasoning_effort": "low"}, None, None),
        (
            {"model": "o3-mini", "tools": TOOLS, "parallel_tool_calls": False},
            "parallel_tool_calls",
            "unsupported_parameter",
        ),
        ({"model": "o3", "logprobs": True}, "logprobs", "unsupported_parameter"),
    ],
)
def test_rules_beside_the_recorded_ones(fields: dict[str, Any], param: str | None, code: str | None) -> None:
    """Siblings of the recorded refusals name their parameter and code."""
    judged = refused("openai", body(**fields))

    assert judged is not None
    assert (400, param, code) == (judged.status, judged.body["error"]["param"], judged.body["error"]["code"])


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"messages": [{"role": "user", "content": 5}]}, "a string or array of objects"),
        ({"stop": 5}, "a string or array of strings"),
        ({"tools": TOOLS, "tool_choice": 5}, "a string or object"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_may_be_of_two_kinds_is_told_both(fields: dict[str, Any], kinds: str) -> None:
    """Whoever sends neither learns what is possible."""
    judged = refused("openai", body(**fields))

    assert judged is not None
    assert f"expected one of {kinds}, but got an integer instead." in judged.message


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [*USER, call("a"), {**result("a"), "name": "get_weather"}]},
        {"messages": [{**USER[0], "name": "n" * 64}]},
        {"model": "gpt-3.5-turbo", "messages": [*USER, call("a"), result("a")]},
        {"messages": [*USER, {"role": "assistant", "content": "x", "refusal": None, "annotations": []}, *USER]},
        {"messages": [*USER, {"role": "assistant", "audio": {"id": "audio_1"}}, *USER]},
        {"messages": [*USER, call(*map(str, range(128))), *(result(str(i)) for i in range(128))]},
        {"messages": [user(IMAGE_PART)]},
        {"messages": [user({"type": "file", "file": {"file_id": "file-1"}})]},
        {"model": "gpt-oss-120b", "max_tokens": 100_000, "reasoning_effort": "low"},
        {"model": "gpt-5.1", "reasoning_effort": "none", "temperature": 0.5},
        {"model": "gpt-5", "tools": TOOLS, "parallel_tool_calls": True},
        {"model": "ft:gpt-4o-mini-2024-07-18:org::id"},
        {"max_tokens": 16_384},
        {"logit_bias": {"50256": -100}},
        {"top_logprobs": 2, "logprobs": True},
        {"model": "o3", "messages": [{"role": "developer", "content": "Be kind."}, *USER]},
        {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
        {"tools": [CUSTOM], "tool_choice": {"type": "custom"}},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "get_time"}}},
        {"tools": [{"type": "function", "function": {"name": "f", "strict": None, "parameters": {}}}]},
        {"modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "pcm16"}, "stream": True},
        {"prediction": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
    ],
)
def test_what_is_unusual_is_not_wrong(fields: dict[str, Any]) -> None:
    """The neighbours of what is refused are taken."""
    assert None is refused("openai", body(**fields))


@pytest.mark.parametrize(
    ("request_body", "problem"),
    [
        (strict(a={"oneOf": [{"type": "string"}]}), "In context=('properties', 'a'), 'oneOf' is not permitted."),
        (strict(a={}), "In context=('properties', 'a'), schema must have a 'type' key."),
        (
            strict(a={"type": "array", "items": {"$ref": "#/$defs/b"}}),
            (
                "In context=('properties', 'a', 'items'), reference to component '#/$defs/b' which was not found in "
                "the schema."
            ),
        ),
        (strict(a={"enum": ["x", 1]}, b={"const": "y"}), None),
        (strict(oneOf={"type": "string"}, type={"type": ["string", "null"]}), None),
        (strict(a={"$ref": "#/$defs/X%5Bint%5D"}, b={"$ref": "#"}, _defs={"X[int]": {"type": "integer"}}), None),
    ],
)
def test_a_strict_schema_says_only_what_a_grammar_can(request_body: dict[str, Any], problem: str | None) -> None:
    """Keywords without a place in it are refused, properties of their names are not, and references lead somewhere."""
    judged = refused("openai", request_body)

    expected = problem and f"Invalid schema for response_format 'out': {problem}"
    assert expected == (judged and judged.message)


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
