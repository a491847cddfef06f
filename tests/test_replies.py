"""What a test may script, and what becomes of it."""

from __future__ import annotations

import json
import math
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from portkey_testing import (
    DishonestReply,
    FakeGateway,
    completion,
    error,
    fault,
    native,
    refusal,
    status,
    text,
    tool_call,
)
from portkey_testing.replies import (
    Answer,
    Reply,
    ReplyLike,
    as_reply,
    audio,
    choices,
    chunks,
    parsed,
    reasoning,
    recorded,
)
from tests.client_support import chunk
from tests.client_support import completion as whole
from tests.fake_support import SYNC, TOOLS, USER, Side, body, sides

CASSETTES = Path(__file__).parent.parent / "cassettes" / "agent"
STRICT = {
    "type": "json_schema",
    "json_schema": {
        "name": "weather",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"degrees": {"type": "integer"}},
            "required": ["degrees"],
            "additionalProperties": False,
        },
    },
}


class Weather(BaseModel):
    degrees: int


def asked(reply: ReplyLike, side: Side = SYNC, *, provider: str = "openai", **fields: Any) -> Any:
    """The answer to one request that `reply` is scripted for."""
    fake = FakeGateway()
    fake.reply(reply)
    answer = side.ask(fake, body(**fields), provider=provider)
    fake.verify()
    return answer


@pytest.mark.parametrize(
    ("value", "reply"),
    [
        ("hello", text("hello")),
        (503, status(503)),
        (whole("hi"), completion(whole("hi"))),
        (["a", tool_call("f")], text("a") + tool_call("f")),
        (text("x"), text("x")),
        ([text("a").delayed(2).finished("length"), "b"], text("a").delayed(2).finished("length") + "b"),
    ],
)
def test_plain_values_are_replies(value: object, reply: Reply) -> None:
    """Strings, statuses, completions and lists stand for the replies they look like."""
    assert reply == as_reply(value)


@pytest.mark.parametrize("value", [None, True, 1.5, [], [status(500)], b"bytes"])
def test_other_values_are_refused_at_once(value: Any) -> None:
    """What cannot answer is found where it is written."""
    with pytest.raises(TypeError, match="a reply is a string"):
        FakeGateway().reply(value)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: text(5), TypeError, "takes a string"),  # type: ignore[arg-type]  # the mistake that is tested
        (lambda: tool_call(""), TypeError, "takes the name of a function first"),
        (lambda: tool_call("f", [1]), TypeError, "arguments is a mapping"),  # type: ignore[arg-type]  # as above
        (lambda: tool_call("f", {"a": 1}, raw="{"), TypeError, "either arguments or raw"),
        (lambda: tool_call("f", a=object()), TypeError, "cannot become JSON"),
        (lambda: completion({"id": 1}), ValueError, "this one is none"),
        (chunks, ValueError, "at least one chunk"),
        (lambda: chunks({"choices": 5}), ValueError, "number 1 is no chunk"),
        (lambda: choices("a", status(500)), TypeError, "what a model says"),
        (lambda: error("rate_limitd"), ValueError, "Did you mean 'rate_limited'?"),
        (lambda: error("overloaded", retry_after=-1), ValueError, "from 0 on"),
        (lambda: fault("refuse"), ValueError, "Did you mean 'refused'?"),
        (lambda: status(99), ValueError, "an HTTP status"),
        (lambda: native({}, events=[]), TypeError, "either a body or events"),
        (lambda: text("a").delayed(-1), ValueError, "from 0 on"),
        (lambda: text("a").times(0), ValueError, "from 1 on"),
        (lambda: text("a").cut(chunks=-1), ValueError, "from 0 on"),
        (lambda: text("a").cut(chunks=1, fault="refused"), ValueError, "strikes before the body"),
        (lambda: text("a").damaged("brokn_json"), ValueError, "Did you mean 'broken_json'?"),
        (lambda: text("a").streamed(by="words"), ValueError, "takes one of"),
        (lambda: text("a").streamed(by=0), ValueError, "at least 1"),
        (lambda: text("a").streamed(ttft=-1), ValueError, "from 0 on"),
        (lambda: text("a").streamed(tps=0), ValueError, "above 0"),
        (lambda: text("a").streamed(jitter=2), ValueError, "from 0 to 1"),
        (lambda: text("a").streamed(reads=0), ValueError, "from 1 on"),
        (lambda: text("a").streamed(keepalive=0), ValueError, "above 0"),
        (lambda: text("a").streamed(by=True), ValueError, "at least 1"),
        (lambda: text("a").streamed(ttft=math.nan), ValueError, "from 0 on"),
        (lambda: text("a").streamed(tps=math.nan), ValueError, "above 0"),
        (lambda: text("a").streamed(keepalive=math.nan), ValueError, "above 0"),
        (lambda: text("a").delayed(math.nan), ValueError, "from 0 on"),
        (lambda: text("abc").streamed(by=["a", "c"]), ValueError, "do not make up the text 'abc'"),
        (lambda: text("a").streamed(by=["a"]) + "b", ValueError, "do not make up the text 'ab'"),
        (lambda: refusal("No.").streamed(by=["Yes."]), ValueError, "do not make up the text 'No.'"),
        (lambda: completion(whole("abc")).streamed(by=["a", "c"]), ValueError, "do not make up the text 'abc'"),
        (lambda: text("ab").with_logprobs(("a", -1.0)), ValueError, "the text is 'ab'"),
    ],
)
def test_mistakes_are_found_where_they_are_made(make: Any, kind: type[Exception], message: str) -> None:
    """A reply that makes no sense is never made."""
    with pytest.raises(kind, match=message):
        make()


def test_a_long_text_is_written_out_in_part() -> None:
    """Messages and journals show its beginning and its length; two that differ later are still not the same."""
    long = "x" * 5_000

    assert f"text({'x' * 1_000!r}... of 5,000 characters)" == str(text(long))
    assert len(str(tool_call("f", raw=long))) < 1_100
    assert text(long) != text(long + "y")


def test_replies_are_values() -> None:
    """Equal when written alike, hashable, and printed as they are written; modifiers return new ones."""
    reply = text("a") + tool_call("f", x=1)

    assert reply == text("a") + tool_call("f", {"x": 1})
    assert 1 == len({reply, text("a") + tool_call("f", x=1)})
    assert "text('a') + tool_call('f', {\"x\":1})" == str(reply)
    assert reply != reply.delayed(1)
    assert "text('a').delayed(2).cut(chunks=1)" == repr(text("a").delayed(2).cut(chunks=1))
    assert "(text('a') + text('b')).streamed(by='char', tps=3).times(2)" == repr(
        (text("a") + "b").streamed(by="char", tps=3).times(2)
    )
    assert "text('a').finished('length').cut(chunks=1, fault='reset')" == repr(
        text("a").finished("length").cut(chunks=1, fault="reset")
    )
    assert "parsed({\"a\":1}).with_headers({'x': 'y'})" == repr(parsed({"a": 1}).with_headers({"X": "y"}))
    twice = text("hi").with_headers({"a": "1", "b": "2"}).with_headers({"a": "3"})
    assert "text('hi').with_headers({'a': '1', 'b': '2'}).with_headers({'a': '3'})" == repr(twice)
    assert "error('rate_limited', retry_after=3)" == str(error("rate_limited", retry_after=3))
    assert "fault('refused')" == str(fault("refused"))
    assert "status(503)" == str(status(503))


@sides
@pytest.mark.parametrize("stream", [False, True])
def test_one_script_serves_both_kinds_of_request(side: Side, stream: bool) -> None:
    """The same text comes in one piece or in chunks, as the request asks."""
    assert "Sunny, 21 degrees" == asked("Sunny, 21 degrees", side, stream=stream).said


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_text_and_tool_calls_in_any_order(provider: str) -> None:
    """Each call keeps its id, its name and its arguments; ids that are not given are made up and differ."""
    reply = tool_call("get_weather", city="Oslo") + "and" + tool_call("get_time", {"city": "Oslo"}, call_id="call_7")
    model: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 5} if provider == "anthropic" else {}

    message = asked(reply, provider=provider, tools=TOOLS, **model).message

    assert "and" == message["content"]
    calls = message["tool_calls"]
    assert ["get_weather", "get_time"] == [call["function"]["name"] for call in calls]
    assert [{"city": "Oslo"}] * 2 == [json.loads(call["function"]["arguments"]) for call in calls]
    assert "call_7" == calls[1]["id"]
    assert calls[0]["id"] not in ("", None, "call_7")


def test_a_streamed_tool_call_comes_in_fragments() -> None:
    """Id and name come once, with the index; the arguments come in pieces that add up."""
    chunks_ = asked(tool_call("get_weather", city="Oslo", call_id="c1"), tools=TOOLS, stream=True).chunks

    deltas = [c["choices"][0]["delta"] for c in chunks_ if c["choices"]]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert {"role": "assistant", "content": None} == deltas[0]
    assert {"index": 0, "id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": ""}} == calls[
        0
    ]
    assert all(set(call) == {"index", "function"} for call in calls[1:])
    assert len(calls) > 3
    assert '{"city":"Oslo"}' == "".join(call["function"]["arguments"] for call in calls)
    assert "tool_calls" == chunks_[-1]["choices"][0]["finish_reason"]


def test_arguments_that_are_no_json_are_sent_as_they_are() -> None:
    """What models really send can be scripted."""
    message = asked(tool_call("get_weather", raw='{"city": "Os'), tools=TOOLS).message

    assert '{"city": "Os' == message["tool_calls"][0]["function"]["arguments"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_said_in_its_own_field(stream: bool) -> None:
    """The content is empty."""
    answer = asked(refusal("I cannot help."), stream=stream)

    if stream:
        said = "".join(c["choices"][0]["delta"].get("refusal") or "" for c in answer.chunks)
        assert ("I cannot help.", "") == (said, answer.said)
        assert {"role": "assistant", "content": None, "refusal": ""} == answer.chunks[0]["choices"][0]["delta"]
    else:
        assert ("I cannot help.", None) == (answer.message["refusal"], answer.message["content"])


@pytest.mark.parametrize(
    "value", [{"degrees": 21}, Weather(degrees=21), make_dataclass("Reading", [("degrees", int)])(degrees=21)]
)
def test_structured_output_from_a_dict_a_model_or_a_dataclass(value: object) -> None:
    """What a strict schema asks for is given as JSON text."""
    assert {"degrees": 21} == json.loads(asked(parsed(value), response_format=STRICT).said)


@pytest.mark.parametrize(
    ("reply", "wanted", "message"),
    [
        (parsed({"degrees": 21}), None, "has no response_format"),
        (parsed({"degrees": "hot"}), STRICT, "degrees: 'hot' is not of type 'integer'"),
        (text("It is hot."), STRICT, "that is no JSON"),
        (parsed([1]), {"type": "json_object"}, "no JSON object"),
    ],
)
def test_what_the_format_forbids_is_dishonest(reply: Reply, wanted: Any, message: str) -> None:
    """A strict schema leaves a model nothing else to say, and a test that scripts it is told."""
    messages = [*USER, {"role": "system", "content": "Answer in JSON."}]
    with pytest.raises(DishonestReply, match=message):
        asked(reply, messages=messages, **({} if wanted is None else {"response_format": wanted}))


@pytest.mark.parametrize("reply", [refusal("No."), text('{"degr').finished("length")])
def test_a_model_that_declines_or_stops_keeps_to_no_format(reply: Reply) -> None:
    """These are what an application must be ready for."""
    assert 200 == asked(reply, response_format=STRICT).status


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_comes_beside_the_text(stream: bool) -> None:
    """It has a field of its own and is counted."""
    answer = (
        asked(
            reasoning("Let me see.") + "Sunny", provider="openai", stream=stream, stream_options={"include_usage": True}
        )
        if stream
        else asked(reasoning("Let me see.") + "Sunny", provider="openai")
    )

    usage = (answer.chunks[-1] if stream else answer.json)["usage"]
    assert "Sunny" == answer.said
    assert usage["completion_tokens_details"]["reasoning_tokens"] > 0
    if not stream:
        assert "Let me see." == answer.message["reasoning_content"]


def test_speech_has_a_transcript_and_data() -> None:
    """The content is empty."""
    wanted: dict[str, Any] = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    message = asked(audio("Hello", b"\x00\x01"), **wanted).message

    assert (None, "Hello", "AAE=") == (message["content"], message["audio"]["transcript"], message["audio"]["data"])


def test_several_choices_are_all_answered() -> None:
    """Each has its index, text and finish reason."""
    answer = asked(choices("one", text("two").finished("length")), n=2)

    assert [(0, "one", "stop"), (1, "two", "length")] == [
        (c["index"], c["message"]["content"], c["finish_reason"]) for c in answer.json["choices"]
    ]


def test_several_choices_are_streamed_in_turn() -> None:
    """The pieces of each add up; each begins with its role and ends with its finish reason."""
    chunks_ = asked(choices("one and", "two or three"), n=2, stream=True).chunks

    said = {0: "", 1: ""}
    for choice in (c["choices"][0] for c in chunks_):
        said[choice["index"]] += choice["delta"].get("content") or ""
    assert {0: "one and", 1: "two or three"} == said
    assert [0, 1] == [c["choices"][0]["index"] for c in chunks_ if c["choices"][0]["delta"].get("role")]
    assert [0, 1] == [c["choices"][0]["index"] for c in chunks_ if c["choices"][0]["finish_reason"]]


def test_one_script_is_said_in_every_choice() -> None:
    """A test that scripts one answer gets it as often as it asks."""
    assert ["hi"] * 3 == [c["message"]["content"] for c in asked("hi", n=3).json["choices"]]


def test_choices_that_were_not_asked_for_are_dishonest() -> None:
    """A provider gives as many as are asked for."""
    with pytest.raises(DishonestReply, match="gives 2 choices, and the request asks for n=1"):
        asked(choices("one", "two"))


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_come_where_they_are_asked_for(stream: bool) -> None:
    """Each token of the text has one, with as many alternatives as asked for."""
    reply = text("It rains").with_logprobs(("It", -0.1), (" rains", -0.2))

    answer = asked(reply, logprobs=True, top_logprobs=2, stream=stream)

    scored = [c["choices"][0].get("logprobs") for c in (answer.chunks if stream else [answer.json])]
    tokens = [token for logprobs in scored if logprobs for token in logprobs["content"]]
    assert [("It", -0.1), (" rains", -0.2)] == [(token["token"], token["logprob"]) for token in tokens]
    assert [2, 2] == [len(token["top_logprobs"]) for token in tokens]
    assert "It rains" == answer.said
    assert asked("It rains").json["choices"][0]["logprobs"] is None


def test_each_choice_is_streamed_in_its_own_tokens() -> None:
    """A chunk holds the token that its log probability is of, in every choice."""
    first = text("It rains").with_logprobs(("It", -0.1), (" rains", -0.2))
    second = text("So what").with_logprobs(("S", -0.3), ("o what", -0.4))

    answer = asked(choices(first, second), n=2, logprobs=True, stream=True)

    scored = [c["choices"][0] for c in answer.chunks if c["choices"][0]["logprobs"]]
    assert ["It", "S", " rains", "o what"] == [choice["delta"]["content"] for choice in scored]
    assert [-0.1, -0.3, -0.2, -0.4] == [choice["logprobs"]["content"][0]["logprob"] for choice in scored]


def test_usage_is_counted_or_given() -> None:
    """Counts are the same in every run; details are passed on."""
    given = text("hi").with_usage(prompt_tokens=7, completion_tokens=3, prompt_tokens_details={"cached_tokens": 2})

    counted = asked("It is raining").json["usage"]
    assert counted == asked("It is raining").json["usage"]
    assert counted["total_tokens"] == counted["prompt_tokens"] + counted["completion_tokens"]
    assert {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2},
    } == asked(given).json["usage"]


@pytest.mark.parametrize("tokens", [-1, 1.5, True, "7"])
def test_a_count_that_is_no_number_of_tokens_is_refused(tokens: Any) -> None:
    """A mistake in a script is found where it is written."""
    with pytest.raises(ValueError, match=r"completion_tokens=.* from 0 on"):
        text("hi").with_usage(prompt_tokens=1, completion_tokens=tokens)


@pytest.mark.parametrize(
    "headers",
    [{"": "1"}, {"a b": "1"}, {"a:": "1"}, {"é": "1"}, {1: "1"}, {"a": "1\r\nb: 2"}, {"a": "1\n"}, {"a": "\0"}],
)
def test_a_header_that_cannot_be_sent_is_refused(headers: Any) -> None:
    """Neither its name nor its value may break the response apart."""
    with pytest.raises(ValueError, match=r"with_headers\(\)"):
        text("hi").with_headers(headers)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_whole_completion_serves_every_kind_of_request(provider: str, stream: bool) -> None:
    """It is taken apart where it must be streamed or said in another language."""
    model: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 5} if provider == "anthropic" else {}

    assert "It is raining" == asked(whole("It is raining"), provider=provider, stream=stream, **model).said


@pytest.mark.parametrize("stream", [False, True])
def test_chunks_are_sent_as_given_or_as_what_they_amount_to(stream: bool) -> None:
    """Raw chunks serve a plain request as well."""
    given = [chunk("It", role="assistant"), chunk(" rains"), chunk(finish="stop")]

    answer = asked(chunks(*given), stream=stream)

    assert "It rains" == answer.said
    if stream:
        assert given == answer.chunks
        assert "[DONE]" == answer.events[-1]


def test_a_native_answer_is_the_providers_own() -> None:
    """A body and the events of a stream go through the gateway as the provider's."""
    events: list[str | dict[str, Any]] = ['data: {"choices": []}\n\n', {"data": "[DONE]"}]

    assert {"choices": []} == asked(native({"choices": []})).json
    assert ['{"choices": []}', "[DONE]"] == asked(native(events=events), stream=True).events


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_an_answer_that_was_once_real(stream: bool, provider: str) -> None:
    """A recording, plain or streamed, serves both kinds of request, at any provider."""
    model: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 5} if provider == "anthropic" else {}
    fields: dict[str, Any] = {"stream": stream, "tools": TOOLS, **model}

    plain = asked(recorded(CASSETTES / "plain.yaml"), provider=provider, **fields)
    called = asked(recorded(CASSETTES / "streamed_tool_call.yaml", 1), provider=provider, **fields)

    assert "21 degrees" in plain.said
    assert "get_weather" in called.text
    assert "tool_calls" in called.text


def test_an_error_that_was_once_real() -> None:
    """With the name of the provider in front once."""
    answer = asked(recorded(CASSETTES / "error.yaml"))

    assert 401 == answer.status
    assert 1 == answer.json["error"]["message"].count("openai error: ")


def test_a_recording_that_is_not_there_is_refused_at_once() -> None:
    """The number counts from 1."""
    with pytest.raises(LookupError, match="there is no number 99"):
        recorded(CASSETTES / "plain.yaml", 99)


def test_repeated_and_delayed() -> None:
    """`times` answers several attempts, `delayed` takes its time on the clock."""
    fake = FakeGateway()
    fake.reply(text("again").delayed(2).times(2))

    answers = SYNC.ask_all(fake, [body(), body()])

    assert ["again", "again"] == [answer.said for answer in answers]
    assert 4.0 == fake.clock.now
    fake.verify()


def test_a_completion_is_streamed_in_given_pieces() -> None:
    """Pieces that make up its text are taken."""
    reply = completion(whole("abc")).streamed(by=["a", "bc"])

    assert ["a", "bc"] == [c["choices"][0]["delta"]["content"] for c in asked(reply, stream=True).chunks[1:-1]]


def test_headers_are_added() -> None:
    """What a provider sends beside its own headers passes the gateway."""
    assert "7" == asked(text("hi").with_headers({"X-Remaining": "7"})).headers["x-remaining"]


@pytest.mark.parametrize(
    ("reply", "header", "value"),
    [
        (error("rate_limited", retry_after=20), "Retry-After", "5"),
        (error("rate_limited", retry_after=20), "retry-after-ms", "5000"),
        ("hi", "x-request-id", "req_mine"),
        (whole(content="hi"), "Content-Type", "application/vnd.chat+json"),
        (status(503), "content-type", "application/problem+json"),
        (native({"error": {"message": "no"}}, status=400), "content-type", "application/problem+json"),
        (recorded(CASSETTES / "plain.yaml"), "content-type", "application/json; charset=utf-8"),
    ],
    ids=str,
)
@pytest.mark.parametrize("leg", ["provider", "application"])
def test_a_header_takes_the_place_of_the_own_one(reply: ReplyLike, header: str, value: str, leg: str) -> None:
    """What a provider would send of its own is sent once, as the test says."""
    fake = FakeGateway()
    (fake if leg == "provider" else fake.gateway).reply(as_reply(reply).with_headers({header: value}))

    assert [value] == SYNC.ask(fake).headers.get_list(header)


def test_a_header_given_twice_is_sent_twice() -> None:
    """Several values of one name are the test's own wish, as with cookies."""
    fake = FakeGateway()
    fake.gateway.reply(text("hi").with_headers({"set-cookie": "a=1"}).with_headers({"set-cookie": "b=2"}))

    assert ["a=1", "b=2"] == SYNC.ask(fake).headers.get_list("set-cookie")


def test_joining_keeps_the_delivery_of_the_left_one() -> None:
    """A text may stand on either side."""
    joined = "first " + text("second").delayed(1) + "third"

    assert isinstance(joined, Answer)
    assert "first secondthird" == joined.text
    assert text("a").delayed(1).delivery == (text("a").delayed(1) + text("b").delayed(9)).delivery
