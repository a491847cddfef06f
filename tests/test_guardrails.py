"""Guardrails and mutators: what each check finds, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from portkey_testing import FakeGateway, NotSimulated, UnknownToGateway, error, native
from tests.fake_support import SYNC, Answer, body

TARGET = {"provider": "openai", "api_key": "K"}
HELLO = [{"role": "user", "content": "hello"}]
LONG = "x" * 101


def _user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def _ask(
    config: Mapping[str, Any], *, said: Any = "fine", fake: FakeGateway | None = None, **fields: Any
) -> tuple[Answer, FakeGateway]:
    fake = FakeGateway(edition="open-source") if fake is None else fake
    fake.always(said)
    metadata = json.dumps(fields.pop("metadata", {}))
    answer = SYNC.ask(fake, body(**{"messages": HELLO, **fields}), config={**TARGET, **config}, metadata=metadata)
    return answer, fake


def _checked(name: str, params: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """What one input check says of a request."""
    answer, _ = _ask({"input_guardrails": [{name: params, "id": "g"}]}, **fields)
    (result,) = answer.json["hook_results"]["before_request_hooks"]
    check: dict[str, Any] = result["checks"][0]
    return check


@pytest.mark.parametrize(
    ("name", "params", "text", "verdict", "explanation"),
    [
        ("contains", {"operator": "any", "words": ["a", "z"]}, "abc", True, "At least one word was found."),
        ("contains", {"operator": "all", "words": ["a", "z"]}, "abc", False, "Some words were missing."),
        ("contains", {"operator": "none", "words": ["z"]}, "abc", True, "No words were found."),
        ("contains", {"words": ["a"]}, "abc", False, "Check failed for 'undefined' words."),
        ("regexMatch", {"rule": "^a(?<x>b)?"}, "abc", True, "successfully matched the text."),
        ("regexMatch", {"rule": "b", "not": True}, "abc", False, "matched the text when it should not have."),
        ("regexMatch", {"rule": r"\d$"}, "a\u0661", False, "did not match the text."),
        ("wordCount", {"minWords": 2, "maxWords": 3}, " a b ", True, "2 words, which is within"),
        ("wordCount", {"minWords": 1, "maxWords": 1, "not": True}, "a b", True, "of 1-1 words as expected."),
        ("characterCount", {"minCharacters": 2, "maxCharacters": 2}, "👍", True, "contains 2 characters"),
        ("characterCount", {"minCharacters": 1, "maxCharacters": 9, "not": True}, "a", False, "when it should not be."),
        ("sentenceCount", {"minSentences": 2, "maxSentences": 2}, "A. B!", True, "The sentence count (2) is within"),
        ("sentenceCount", {"minSentences": 1, "maxSentences": 2}, "none", False, "(0) is outside"),
        ("endsWith", {"suffix": "end"}, "the end.", True, "(including trailing period)."),
        ("endsWith", {"suffix": "end", "not": True}, "the end", False, "when it should not."),
        ("alllowercase", {}, "abc 1", True, "All alphabetic characters in the text are lowercase."),
        ("alluppercase", {"not": True}, "Ab", True, "The text contains lowercase characters as expected."),
        ("containsCode", {"format": "Python"}, "```py\nx\n```", True, "Found code block(s) in Python format"),
        ("containsCode", {"format": "SQL"}, "```py\nx\n```", False, "No code blocks in SQL format found"),
        ("containsCode", {"format": "SQL", "not": True}, "none", True, "No code blocks found in the text"),
        ("jsonKeys", {"keys": ["a"], "operator": "all"}, 'x {"a": 1}', True, "Found keys: [a]."),
        ("jsonKeys", {"keys": ["a", "b"], "operator": "all"}, '{"a": 1}', False, "Missing keys: [b]."),
        ("jsonKeys", {"keys": ["b"], "operator": "none"}, '```json\n{"a": 1}\n```', True, "no required keys"),
        ("jsonKeys", {"keys": ["a"], "operator": "any"}, "none", False, "No valid JSON found in the text."),
        ("jsonSchema", {"schema": {"required": ["a"]}}, '{"a": 1}', True, "against the provided schema."),
        ("jsonSchema", {"schema": {"required": ["b"]}, "not": True}, '{"a": 1}', True, "as expected."),
        ("jsonSchema", {"schema": {"required": ["b"]}}, "none", False, "No valid JSON found in the response."),
        ("jsonSchema", {"schema": {"type": "bad"}}, '{"a": 1}', False, "Failed to validate JSON"),
        ("jsonSchema", {"schema": {"properties": {"a": {"maximum": 1.5}}}}, '{"a": 2}', False, "Failed to validate"),
        ("modelWhitelist", {"models": ["gpt-4o-mini"]}, "x", True, 'Model "gpt-4o-mini" is allowed.'),
        ("modelWhitelist", {"models": []}, "x", False, "is not in the allowed list."),
        ("modelRules", {"rules": {"defaults": ["gpt-4o-mini"]}}, "x", True, "(using default models)"),
        ("modelRules", {"rules": {"metadata": {"plan": {"free": ["m"]}}}}, "x", False, "is not allowed by rules."),
        ("requiredMetadataKeys", {"metadataKeys": ["plan"], "operator": "all"}, "x", True, "All metadata keys"),
        ("requiredMetadataKeys", {"metadataKeys": ["age"], "operator": "any"}, "x", False, "No metadata keys"),
        ("allowedRequestTypes", {"blockedTypes": "chatComplete, embed"}, "x", False, "is blocked."),
        ("allowedRequestTypes", {"allowedTypes": ["embed"]}, "x", False, "Allowed types are: embed"),
        ("allowedRequestTypes", {}, "x", True, "(no restrictions configured)."),
        ("notNull", {}, "x", True, "Content exists and is not null."),
        ("notNull", {"not": True}, "  ", True, "Content is null, undefined, or empty."),
        ("regexReplace", {"rule": "/L/gi"}, "hello", True, "was replaced with '[REDACTED]'"),
        ("regexReplace", {"rule": "l", "failOnDetection": True}, "hello", False, "matched and was replaced"),
    ],
)
def test_what_a_check_finds(name: str, params: dict[str, Any], text: str, *, verdict: bool, explanation: str) -> None:
    """Each check gives its verdict and says why, in the gateway's words."""
    check = _checked(name, params, messages=_user(text), metadata={"plan": "free"})

    assert verdict is check["verdict"]
    assert explanation in check["data"]["explanation"]
    assert f"default.{name}" == check["id"]
    assert "error" not in check


@pytest.mark.parametrize(
    ("name", "params", "kind", "message"),
    [
        ("contains", {}, "TypeError", "Cannot read properties of undefined (reading 'filter')"),
        ("regexMatch", {}, "Error", "Missing regex pattern"),
        ("regexMatch", {"rule": "("}, "SyntaxError", "Invalid regular expression: /(/: Unterminated group"),
        ("wordCount", {"minWords": 1}, "Error", "Invalid or missing word count range"),
        (
            "characterCount",
            {"minCharacters": 1.5, "maxCharacters": 2},
            "Error",
            "Invalid or missing character count range",
        ),
        ("sentenceCount", {"minSentences": "1"}, "Error", "Missing sentence count range"),
        ("endsWith", {"suffix": ""}, "Error", "Missing or empty suffix"),
        ("containsCode", {}, "Error", "Missing required parameter: format"),
        ("jsonKeys", {"keys": ["a"]}, "Error", 'Invalid or missing operator (must be "any", "all", or "none")'),
        ("jsonSchema", {}, "Error", "Missing or invalid JSON schema"),
        ("modelWhitelist", {}, "Error", "Missing or invalid model whitelist"),
        ("modelRules", {"rules": {"defaults": []}}, "Error", "No allowed models resolved from rules"),
        ("regexReplace", {}, "Error", "Missing regex pattern"),
        ("allowedRequestTypes", {"allowedTypes": "a", "blockedTypes": "a"}, "Error", "Conflict detected:"),
    ],
)
def test_a_check_that_cannot_judge_passes_with_an_error(
    name: str, params: dict[str, Any], kind: str, message: str
) -> None:
    """Its own verdict may be false, yet the guardrail passes unless the check is told to fail on errors."""
    answer, _ = _ask({"input_guardrails": [{name: params, "deny": True, "id": "g"}]})
    strict, _ = _ask({"input_guardrails": [{name: {**params, "failOnError": True}, "deny": True, "id": "g"}]})

    (result,) = answer.json["hook_results"]["before_request_hooks"]
    assert (200, True) == (answer.status, result["verdict"])
    assert kind == result["checks"][0]["error"]["name"]
    assert result["checks"][0]["error"]["message"].startswith(message)
    assert (200 if name == "regexReplace" else 446) == strict.status


def test_a_long_text_is_quoted_in_part() -> None:
    """The first hundred characters and three dots."""
    data = _checked("alllowercase", {}, messages=_user(LONG))["data"]

    assert f"{'x' * 100}..." == data["textExcerpt"]


def test_schema_problems_are_named() -> None:
    """In the words of the gateway's validator, the property around a problem first."""
    schema = {"properties": {"a": {"type": "number"}}, "required": ["b"]}

    data = _checked("jsonSchema", {"schema": schema}, messages=_user('{"a": "x"}'))["data"]

    assert {
        'Property "a" does not match schema.',
        'Instance type "string" is invalid. Expected "number".',
        'Instance does not have required property "b".',
    } == {problem["message"] for problem in data["validationErrors"]}


def test_a_schema_the_fake_cannot_judge_by() -> None:
    """The test fails, rather than the guardrail passing what it should not."""
    fake = FakeGateway(edition="open-source")
    rail = {"jsonSchema": {"schema": {"unevaluatedProperties": False}}}
    with pytest.raises(NotSimulated, match="does not judge by unevaluatedProperties"):
        _ask({"input_guardrails": [rail]}, fake=fake, messages=_user('{"a": 1}'))


def test_what_replaces_last_wins() -> None:
    """Checks side by side take a turn longer than a mutator, so a guardrail undoes what that has changed."""
    rail = {"regexReplace": {"rule": "hello", "redactText": "***"}}
    mutators = [{"addPrefix": {"prefix": "P "}}]
    _, together = _ask({"input_guardrails": [rail], "input_mutators": mutators})
    _, in_turn = _ask({"input_guardrails": [{**rail, "sequential": True}], "input_mutators": mutators})

    sent = [fake.last.route.attempts[0].request.body["messages"][0]["content"] for fake in (together, in_turn)]
    assert ["***", "P hello"] == sent


@pytest.mark.parametrize(
    ("deny", "status", "calls"), [(True, 446, 0), (False, 246, 1)], ids=["that denies", "that only tells"]
)
def test_a_failing_input_guardrail(*, deny: bool, status: int, calls: int) -> None:
    """One that denies keeps the request from the provider; another changes the status of the answer."""
    rail = {"contains": {"operator": "none", "words": ["hello"]}, "deny": deny, "id": "no-greetings"}

    answer, fake = _ask({"input_guardrails": [rail]})

    assert (status, calls) == (answer.status, len(fake.last.route.attempts))
    assert ["no-greetings"] == fake.last.route.guardrails[0].failed
    assert deny is fake.last.route.guardrails[0].denied
    assert ("hooks_failed" in answer.text) is deny


def test_a_denied_answer_is_asked_for_again_without_a_pause() -> None:
    """446 in the retry's codes repeats the call at once, as often as the retry allows."""
    rail = {"contains": {"operator": "none", "words": ["bad"]}, "deny": True, "id": "g"}
    fake = FakeGateway(edition="open-source")
    fake.reply("bad", "bad", "good")

    answer, _ = _ask({"output_guardrails": [rail], "retry": {"attempts": 2, "on_status_codes": [446]}}, fake=fake)

    assert "good" == answer.said
    assert "2" == answer.headers["x-portkey-retry-attempt-count"]
    assert (0.0, []) == (fake.clock.now, fake.last.route.waits)


def test_a_denied_answer_uses_the_retries_up() -> None:
    """The count is then -1, and the provider's headers are gone."""
    rail = {"contains": {"operator": "none", "words": ["bad"]}, "deny": True, "id": "g"}

    answer, fake = _ask(
        {"output_guardrails": [rail], "retry": {"attempts": 1, "on_status_codes": [446, 500]}}, said="bad"
    )

    assert (446, 2) == (answer.status, len(fake.last.route.attempts))
    assert "-1" == answer.headers["x-portkey-retry-attempt-count"]
    assert "x-request-id" not in answer.headers


def test_errors_of_the_provider_are_not_checked() -> None:
    """Output guardrails look at a 200 only, and a failing input guardrail leaves the status of an error."""
    rails = {
        "input_guardrails": [{"contains": {"operator": "none", "words": ["hello"]}, "id": "in"}],
        "output_guardrails": [{"contains": {"operator": "any", "words": ["x"]}, "deny": True, "id": "out"}],
    }

    answer, _ = _ask(rails, said=error("server_error"))

    assert 500 == answer.status
    assert ["in"] == [result["id"] for result in answer.json["hook_results"]["before_request_hooks"]]
    assert [] == answer.json["hook_results"]["after_request_hooks"]


def test_a_mutator_rewrites_the_request() -> None:
    """The provider gets what the mutators made of it, part by part."""
    parts = [{"type": "text", "text": "my key is 123"}, {"type": "text", "text": "and 456"}]
    mutator = {"regexReplace": {"rule": r"/(\d)\d+/g", "redactText": "$1**"}}

    _, fake = _ask({"input_mutators": [mutator]}, messages=_user(parts))

    sent = fake.last.route.attempts[0].request.body["messages"][0]["content"]
    assert ["my key is 1**", "and 4**"] == [part["text"] for part in sent]


@pytest.mark.parametrize(
    ("rule", "put", "said"),
    [
        ("secret", "***", "a ***"),
        ("(?<n>s)(x)?ecret", "$<n>$10$2$`|$'$3$&$$", "a ss0a |$3secret$"),
        ("secret", "$<n>$1$0", "a $<n>$1$0"),
    ],
)
def test_a_mutator_rewrites_the_answer(rule: str, put: str, said: str) -> None:
    """The application gets what the mutators made of it; a dollar sign stands for parts of the match."""
    answer, _ = _ask({"output_mutators": [{"regexReplace": {"rule": rule, "redactText": put}}]}, said="a secret")

    assert said == answer.said


@pytest.mark.parametrize(
    ("params", "contents"),
    [
        ({"prefix": "P "}, ["P hello"]),
        ({"prefix": "P", "addToExisting": False}, ["P", "hello"]),
        ({"prefix": "P", "applyToRole": "system"}, ["P", "hello"]),
        ({"prefix": "P", "onlyIfEmpty": True}, ["hello"]),
        ({}, ["hello"]),
    ],
)
def test_a_prefix_is_put_before_a_message(params: dict[str, Any], contents: list[str]) -> None:
    """On the first message of its role, or as a message of its own."""
    _, fake = _ask({"input_guardrails": [{"addPrefix": params, "id": "g"}]})

    sent = fake.last.route.attempts[0].request.body["messages"]
    assert contents == [message["content"] for message in sent]


def test_sequential_checks_see_what_the_ones_before_replaced() -> None:
    """Others all look at the request as it came."""
    checks = {
        "regexReplace": {"rule": "hello", "redactText": "bye"},
        "contains": {"operator": "any", "words": ["bye"]},
        "id": "g",
    }

    one_by_one, _ = _ask({"input_guardrails": [{**checks, "sequential": True}]})
    side_by_side, _ = _ask({"input_guardrails": [checks]})

    assert (200, 246) == (one_by_one.status, side_by_side.status)


def test_feedback_goes_with_the_result() -> None:
    """As the config asks for it, with the checks sorted by how they went."""
    rail = {
        "contains": {"operator": "none", "words": ["hello"]},
        "notNull": {},
        "id": "g",
        "on_fail": {"feedback": {"value": -5, "weight": 1, "metadata": {"by": "test"}}},
    }

    answer, _ = _ask({"input_guardrails": [rail]})

    assert {
        "value": -5,
        "weight": 1,
        "metadata": {
            "by": "test",
            "successfulChecks": "default.notNull",
            "failedChecks": "default.contains",
            "erroredChecks": "",
        },
    } == answer.json["hook_results"]["before_request_hooks"][0]["feedback"]


def test_guardrails_of_the_headers_come_last() -> None:
    """They are added to those of the target."""
    fake = FakeGateway(edition="open-source")
    fake.always("fine")
    own = {"input_guardrails": [{"notNull": {}, "id": "own"}]}
    default = json.dumps([{"notNull": {}, "id": "default"}])

    answer = SYNC.ask(fake, config={**TARGET, **own}, default_input_guardrails=default)

    assert ["own", "default"] == [each["id"] for each in answer.json["hook_results"]["before_request_hooks"]]


def test_broken_guardrails_of_the_headers_are_a_500() -> None:
    """The gateway reads them without having checked them."""
    fake = FakeGateway(edition="open-source")

    answer = SYNC.ask(fake, config=TARGET, default_input_guardrails="[")

    assert (500, "Something went wrong") == (answer.status, answer.json["message"])


def test_a_stream_tells_of_its_guardrails_where_it_is_not_strict() -> None:
    """The first event holds the results; a strict stream says so by its status only."""
    rail = {"input_guardrails": [{"contains": {"operator": "none", "words": ["hello"]}, "id": "g"}]}

    strict, _ = _ask(rail, stream=True)
    lenient, _ = _ask({**rail, "strict_open_ai_compliance": False}, stream=True)

    assert (246, 246) == (strict.status, lenient.status)
    assert ["hook_results"] == list(lenient.chunks[0])
    assert "hook_results" not in strict.text


@pytest.mark.parametrize("deny", [True, False])
def test_a_stream_is_checked_as_if_it_said_nothing(*, deny: bool) -> None:
    """Where that fails, the status says so and nothing else; a stream is never denied."""
    rail = {"contains": {"operator": "any", "words": ["fine"]}, "deny": deny}

    answer, _ = _ask({"output_guardrails": [rail]}, stream=True)

    assert 246 == answer.status
    assert "fine" == "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in answer.chunks)


def test_guardrails_are_told_of_in_the_order_in_which_they_are_through() -> None:
    """A check that does not exist is through at once; a denied request keeps the order of the config."""
    passes = {"regexMatch": {"rule": "h"}, "id": "passes"}
    unknown = {"nope": {}, "id": "unknown"}
    denies = {"regexMatch": {"rule": "z"}, "id": "denies", "deny": True}

    passed, _ = _ask({"input_guardrails": [passes, unknown]})
    denied, _ = _ask({"input_guardrails": [denies, unknown]})

    told = [[each["id"] for each in got.json["hook_results"]["before_request_hooks"]] for got in (passed, denied)]
    assert [["unknown", "passes"], ["denies", "unknown"]] == told


def test_an_answer_that_is_no_json_is_not_checked() -> None:
    """A web page passes, wrapped as always."""
    rail = {"contains": {"operator": "any", "words": ["x"]}, "deny": True, "id": "g"}

    answer, _ = _ask({"output_guardrails": [rail]}, said=native("<b>down</b>", status=502, content_type="text/html"))

    assert (502, {"html-message": "<b>down</b>"}) == (answer.status, answer.json)


def test_a_check_that_asks_a_service_needs_a_verdict() -> None:
    """The fake calls nobody; the test says what the service would find."""
    rail = {"input_guardrails": [{"portkey.pii": {}, "deny": True, "id": "g"}]}
    told = FakeGateway(edition="open-source")
    told.check("portkey.pii", passes=False)

    with pytest.raises(NotSimulated, match=r"fake\.check\('portkey\.pii', passes=True\)"):
        _ask(rail)
    answer, _ = _ask(rail, fake=told)

    assert 446 == answer.status
    with pytest.raises(ValueError, match=r"there is no check 'portkey\.nothing'"):
        told.check("portkey.nothing", passes=True)


def test_saved_guardrails_belong_to_the_hosted_edition() -> None:
    """An id stands for what the test registered under it, and an unknown one fails the test."""
    config = {"input_guardrails": ["pg-greetings"]}
    fake = FakeGateway()
    fake.guardrail("pg-greetings", {"contains": {"operator": "none", "words": ["hello"]}, "deny": True})

    answer, _ = _ask(config, fake=fake)

    assert (446, ["pg-greetings"]) == (answer.status, fake.last.route.guardrails[0].failed)
    with pytest.raises(UnknownToGateway, match=r"fake\.guardrail\('pg-greetings'"):
        _ask(config, fake=FakeGateway())


def test_results_stand_in_the_order_in_which_hooks_are_through() -> None:
    """A mutator has no checks to wait for side by side, so it is there first; all looked at the request as it was."""
    rails = {
        "input_guardrails": [{"contains": {"operator": "any", "words": ["hello"]}, "id": "guardrail"}],
        "input_mutators": [{"regexReplace": {"rule": "hello"}, "id": "mutator"}],
    }

    answer, _ = _ask(rails)

    results = answer.json["hook_results"]["before_request_hooks"]
    assert [("mutator", True), ("guardrail", True)] == [(each["id"], each["verdict"]) for each in results]


def test_guardrails_that_are_no_list_are_a_500() -> None:
    """The schema does not look at mutators, and the gateway trips over them."""
    answer, _ = _ask({"input_mutators": 5})

    assert (500, "Something went wrong") == (answer.status, answer.json["message"])
    assert "x-portkey-gateway-exception" not in answer.headers
