"""The answer cache of the hosted product."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from portkey_testing import FakeGateway, choices, error, native, text, tool_call
from tests.fake_support import SYNC, TOOLS, Answer, body

SIMPLE = {"provider": "openai", "api_key": "K", "cache": {"mode": "simple"}}
SEMANTIC = {"provider": "openai", "api_key": "K", "cache": {"mode": "semantic"}}


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
    """So it is where a header switches it off, whatever another one asks for."""
    fake = FakeGateway()
    fake.always("hi")

    plain = _cached(fake, {"provider": "openai", "api_key": "K"}, cache_force_refresh="true")
    switched_off = [_cached(fake, SIMPLE, debug="false") for _ in range(2)]

    assert {"DISABLED"} == {_status(answer) for answer in (plain, *switched_off)}


def test_a_stream_comes_back_in_fewer_chunks() -> None:
    """With 125 tokens in each, and everything else as it was; a whole answer to the same question is another one."""
    fake = FakeGateway()
    fake.reply(tool_call("get_time", {"city": "Oslo"}) + text("word " * 300), "whole")
    asked = {"stream": True, "stream_options": {"include_usage": True}, "tools": TOOLS}

    first, again = (_cached(fake, SIMPLE, fields=asked) for _ in range(2))
    whole = _cached(fake, SIMPLE, fields={"tools": TOOLS})

    assert ["MISS", "HIT", "MISS"] == [_status(answer) for answer in (first, again, whole)]
    assert first.said == again.said == "word " * 300
    assert [125, 125, 50] == [len(piece.split()) for piece in map(_text_of, again.chunks) if piece]
    assert [chunk for chunk in first.chunks if not _text_of(chunk)] == [
        chunk for chunk in again.chunks if not _text_of(chunk)
    ]
    assert ("text/event-stream", "[DONE]") == (again.headers["content-type"], again.events[-1])
    fake.verify()


def _text_of(chunk: dict[str, Any], index: int | None = None) -> str:
    chosen = [choice for choice in chunk["choices"] if index in (None, choice["index"])]
    return "".join(choice["delta"].get("content") or "" for choice in chosen)


def test_the_choices_of_a_stream_stay_apart() -> None:
    """Chunks of one choice are never joined with those of another."""
    fake = FakeGateway()
    fake.reply(choices("one two three", "four five six"))

    first, again = (_cached(fake, SIMPLE, fields={"stream": True, "n": 2}) for _ in range(2))

    assert "HIT" == _status(again)
    for index in (0, 1):
        assert [_text_of(c, index) for c in first.chunks if _text_of(c, index)] != []
        assert "".join(_text_of(c, index) for c in first.chunks) == "".join(_text_of(c, index) for c in again.chunks)


def test_a_stream_that_broke_off_is_not_kept() -> None:
    """The next request reaches the provider again."""
    fake = FakeGateway()
    fake.reply(text("one two three").cut(chunks=2), "whole")

    first, again = (_cached(fake, SIMPLE, fields={"stream": True}) for _ in range(2))

    assert (["MISS", "MISS"], "whole") == ([_status(first), _status(again)], again.said)


def test_the_age_of_a_stream_counts_from_its_end() -> None:
    """However long it took."""
    fake = FakeGateway()
    fake.always(text("one two").streamed(ttft=50.0))
    config = {**SIMPLE, "cache": {"mode": "simple", "max_age": 60}}

    first = _cached(fake, config, fields={"stream": True})
    fake.clock.sleep(59)
    again = _cached(fake, config, fields={"stream": True})

    assert ["MISS", "HIT"] == [_status(first), _status(again)]


@pytest.mark.parametrize(
    ("path", "fields"),
    [("embeddings", {"model": "e", "input": "hi"}), ("images/generations", {"model": "i", "prompt": "a cat"})],
)
def test_other_answers_are_kept_too(path: str, fields: dict[str, Any]) -> None:
    """Of every kind of request that asks a model."""
    fake = FakeGateway()
    fake.reply(native({"data": [1]}))
    headers = {"x-portkey-config": json.dumps(SIMPLE)}

    with httpx.Client(transport=fake.transport(), base_url="https://api.portkey.ai/v1/") as client:
        answers = [client.post(path, json=fields, headers=headers) for _ in range(2)]

    assert [("MISS", {"data": [1]}), ("HIT", {"data": [1]})] == [
        (answer.headers["x-portkey-cache-status"], answer.json()) for answer in answers
    ]


def test_guardrails_of_the_request_are_told_of_beside_a_kept_answer() -> None:
    """A soft failure makes it a 246, as without a cache."""
    rail = {"contains": {"operator": "none", "words": ["Oslo"]}, "deny": False, "id": "towns"}
    fake = FakeGateway()
    fake.reply("hi")

    first, again = (_cached(fake, {**SIMPLE, "input_guardrails": [rail]}) for _ in range(2))

    assert [(246, "MISS"), (246, "HIT")] == [(answer.status, _status(answer)) for answer in (first, again)]
    assert ["towns"] == [hook["id"] for hook in again.json["hook_results"]["before_request_hooks"]]
    assert "hi" == again.said


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


def test_a_refresh_replaces_the_answers_to_similar_questions() -> None:
    """And leaves those to other questions, and to the same one asked otherwise."""
    fake = FakeGateway()
    fake.reply("old", "Rome", "warm", "new")

    _cached(fake, SEMANTIC)
    _cached(fake, SEMANTIC, "Weather in Rome?")
    _cached(fake, SEMANTIC, fields={"temperature": 1})
    _cached(fake, SEMANTIC, "The weather in Oslo, please", cache_force_refresh="true")

    assert "new" == _cached(fake, SEMANTIC).said
    assert "Rome" == _cached(fake, SEMANTIC, "Weather in Rome?").said
    assert "warm" == _cached(fake, SEMANTIC, fields={"temperature": 1}).said


def test_only_what_a_user_says_is_compared() -> None:
    """Without a message of a user there is nothing to compare, however alike the rest."""
    fake = FakeGateway()
    fake.always("hi")

    talks = [[{"role": "system", "content": content}] for content in ("Be brief.", "Be long.", "Be brief.")]
    answers = [SYNC.ask(fake, body(messages=talk), config=SEMANTIC) for talk in talks]

    assert ["MISS", "MISS", "HIT"] == [_status(answer) for answer in answers]


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
