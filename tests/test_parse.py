"""Structured output and typed events: `parse` and `stream`, sync and async alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pydantic.dataclasses
import pytest
from pydantic import BaseModel, Field

import portkey_client as p
from portkey_client import events as e
from portkey_client._parse import strict_schema
from portkey_client.types import TokenLogprob
from tests.client_support import (
    GATEWAY_HEADERS,
    MESSAGES,
    SIDES,
    AsyncSide,
    Body,
    Gateway,
    Side,
    SyncSide,
    chunk,
    completion,
    sse,
)

sides = pytest.mark.parametrize("side", SIDES, ids=["sync", "async"])


class Place(BaseModel):
    city: str
    country: str = "Norway"


class Weather(BaseModel):
    place: Place = Field(description="where")
    degrees: list[int]
    seen_from: Place | None = None


class Tree(BaseModel):
    value: int
    kids: list[Tree] = []
    best: Tree = Field(description="the best of them")


Item = TypeVar("Item")


class Box(BaseModel, Generic[Item]):
    item: Item


class Call(BaseModel):
    """A class without a JSON schema."""

    back: Callable[[], None]


OSLO: dict[str, Any] = {"place": {"city": "Oslo", "country": "Norway"}, "degrees": [21]}


def parse(side: Side, reply: Any, **params: Any) -> Any:
    """The answer of `parse`, and the gateway that gave it."""
    gateway = Gateway(reply)
    client: Any = side.client(gateway)
    answer = side.run(lambda: client.chat.completions.parse(messages=MESSAGES, response_format=Weather, **params))
    return answer, gateway


@sides
def test_an_answer_is_parsed_as_the_class(side: Side) -> None:
    """The schema goes out strict, the instance comes back, and the message can be sent again as it came."""
    answer, gateway = parse(side, completion(json.dumps(OSLO)), model="gpt-4o", seed=1)

    assert Weather.model_validate(OSLO) == answer.choices[0].message.parsed
    assert GATEWAY_HEADERS["x-portkey-trace-id"] == answer.gateway.trace_id
    assert ("gpt-4o", 1) == (gateway.sent["model"], gateway.sent["seed"])
    wanted = gateway.sent["response_format"]["json_schema"]
    assert ("Weather", True, ["place", "degrees", "seen_from"]) == (
        wanted["name"],
        wanted["strict"],
        wanted["schema"]["required"],
    )
    assert "parsed" not in answer.choices[0].message.to_dict()


def test_a_strict_schema_is_closed_and_complete() -> None:
    """Objects are closed, every property is required, defaults are gone, a described reference is written out."""
    place = {
        "properties": {
            "city": {"title": "City", "type": "string"},
            "country": {"title": "Country", "type": "string"},
        },
        "required": ["city", "country"],
        "title": "Place",
        "type": "object",
        "additionalProperties": False,
    }
    assert {
        "$defs": {"Place": place},
        "properties": {
            "place": {**place, "description": "where"},
            "degrees": {"items": {"type": "integer"}, "title": "Degrees", "type": "array"},
            "seen_from": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
        },
        "required": ["place", "degrees", "seen_from"],
        "title": "Weather",
        "type": "object",
        "additionalProperties": False,
    } == strict_schema(Weather.model_json_schema())


def test_the_schema_of_a_class_that_holds_itself_is_whole() -> None:
    """Its top is an object, as OpenAI demands, and all that it refers to is there."""
    schema = strict_schema(Tree.model_json_schema())

    assert ("object", ["value", "kids", "best"]) == (schema["type"], schema["required"])
    assert {"$ref": "#/$defs/Tree"} == schema["properties"]["kids"]["items"]
    tree = schema["$defs"]["Tree"]
    assert (["value", "kids", "best"], False) == (tree["required"], tree["additionalProperties"])


def test_a_schema_has_a_name_that_openai_takes() -> None:
    """That of a generic class holds brackets."""
    gateway = Gateway(completion('{"item": 1}'))

    SyncSide().client(gateway).chat.completions.parse(messages=MESSAGES, response_format=Box[int])

    assert "Box_int_" == gateway.sent["response_format"]["json_schema"]["name"]


@sides
@pytest.mark.parametrize("given", [{}, {"response_format": {"type": "json_object"}}])
def test_without_a_class_nothing_is_parsed(side: Side, given: dict[str, Any]) -> None:
    """A format that is no class goes out as it is, also none."""
    gateway = Gateway(completion("{}"))
    client: Any = side.client(gateway)

    answer: Any = side.run(lambda: client.chat.completions.parse(messages=MESSAGES, **given))

    assert given.get("response_format") == gateway.sent.get("response_format")
    assert ("{}", None) == (answer.choices[0].message.content, answer.choices[0].message.parsed)


@sides
def test_a_refusal_or_a_tool_call_parses_to_nothing(side: Side) -> None:
    """There is no text to parse, and that is no failure."""
    for message in (
        {"refusal": "I cannot"},
        {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
    ):
        answer, _ = parse(side, completion(None, message=message))
        assert answer.choices[0].message.parsed is None


@sides
@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("length", p.LengthFinishReasonError),
        ("max_tokens", p.LengthFinishReasonError),
        ("content_filter", p.ContentFilterFinishReasonError),
    ],
)
def test_half_a_text_is_not_parsed(side: Side, reason: str, expected: type[Exception]) -> None:
    """A text that was cut or withheld is an error of its own, with the answer."""
    reply = completion('{"place"')
    reply["choices"][0]["finish_reason"] = reason

    with pytest.raises(expected) as caught:
        parse(side, reply)
    error: Any = caught.value
    assert '{"place"' == error.completion.choices[0].message.content


@dataclass
class Town:
    name: str
    streets: list[str] = field(default_factory=list)


@pydantic.dataclasses.dataclass
class Region:
    towns: list[Town]


@sides
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("kind", "expected"), [(Town, Town("Oslo", ["Gata"])), (Region, Region([Town("Oslo", ["Gata"])]))]
)
def test_a_dataclass_says_what_is_wanted_as_well(side: Side, kind: Any, expected: Any, streamed: bool) -> None:
    """One of pydantic's, as openai and portkey_ai take it, or of the standard library, with its strict schema."""
    written = pydantic.TypeAdapter(kind).dump_json(expected).decode()
    gateway = Gateway(sse(chunk(written), chunk(finish="stop")) if streamed else completion(written))
    client: Any = side.client(gateway)

    if streamed:
        answer = collect(side, gateway, [], response_format=kind)
    else:
        answer = side.run(lambda: client.chat.completions.parse(messages=MESSAGES, response_format=kind))

    assert expected == answer.choices[0].message.parsed
    sent = gateway.sent["response_format"]["json_schema"]
    assert (kind.__name__, list(kind.__dataclass_fields__)) == (sent["name"], sent["schema"]["required"])


@sides
def test_a_text_that_is_no_instance_is_an_error(side: Side) -> None:
    """Not pydantic's own, and it says where the text went wrong."""
    with pytest.raises(p.APIResponseValidationError, match=r"degrees: Field required"):
        parse(side, completion('{"place": {"city": "Oslo"}}'))


@sides
@pytest.mark.parametrize("kind", [dict, "Weather", Weather(**OSLO), Call])
def test_only_a_model_class_can_be_parsed(side: Side, kind: Any) -> None:
    """The error names the parameter; nothing is sent."""
    gateway = Gateway()
    client: Any = side.client(gateway)

    with pytest.raises(
        p.InvalidRequestError, match=r"response_format= (must be a pydantic model class|Call has no JSON schema)"
    ):
        side.run(lambda: client.chat.completions.parse(messages=MESSAGES, response_format=kind))
    assert [] == gateway.requests


def collect(side: Side, gateway: Gateway, seen: list[Any], **params: Any) -> Any:
    """The events of a stream go into `seen`; what comes back is the final completion."""
    client: Any = side.client(gateway)

    async def arun() -> Any:
        async with client.chat.completions.stream(messages=MESSAGES, **params) as stream:
            async for event in stream:
                seen.append(event)  # noqa: PERF401  # kept one by one: an error comes after some
            return await stream.get_final_completion()

    if isinstance(side, AsyncSide):
        return asyncio.run(arun())
    with client.chat.completions.stream(messages=MESSAGES, **params) as stream:
        seen.extend(stream)
        return stream.get_final_completion()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"city": "Os', {}),
        ('{"city": "Oslo", "degrees": [21, ', {"city": "Oslo", "degrees": [21]}),
        ('{"city": "Oslo"}', {"city": "Oslo"}),
        ("", None),
        ("Sunny", None),
    ],
)
def test_json_can_be_read_while_it_arrives(text: str, expected: Any) -> None:
    """An unfinished text is worth the values that are whole; what is no JSON is worth nothing, and no error."""
    assert expected == e.ContentDeltaEvent("x", text).parsed
    assert expected == e.ToolCallArgumentsDeltaEvent(0, "call_1", "f", text, "x").parsed_arguments


@sides
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("place", ["keyword", "extra_body"])
def test_whether_to_stream_is_said_by_the_method(side: Side, given: bool, place: str) -> None:
    """An answer of the other kind could not be read; it would be paid for all the same, so nothing is sent."""
    gateway = Gateway()
    client: Any = side.client(gateway)
    params: dict[str, Any] = {"stream": given} if place == "keyword" else {"extra_body": {"stream": given}}

    def ask() -> Any:
        if given:
            return side.run(lambda: client.chat.completions.parse(messages=MESSAGES, **params))
        return collect(side, gateway, [], **params)

    with pytest.raises(p.InvalidRequestError, match=f"stream= cannot be {given} here: parse") as caught:
        ask()
    assert ("stream", []) == (caught.value.param, gateway.requests)


@sides
def test_text_comes_as_deltas_and_then_whole(side: Side) -> None:
    """Each delta knows the text so far; a class given as format makes an instance of the whole."""
    text = json.dumps(OSLO)
    gateway = Gateway(sse(chunk(text[:9], role="assistant"), chunk(text[9:]), chunk(finish="stop")))
    seen: list[Any] = []

    answer = collect(side, gateway, seen, response_format=Weather)

    events = [event for event in seen if event.type != "chunk"]
    assert [
        e.ContentDeltaEvent(text[:9], text[:9]),
        e.ContentDeltaEvent(text[9:], text),
        e.ContentDoneEvent(text, Weather.model_validate(OSLO)),
    ] == events
    assert 3 == len([event for event in seen if event.type == "chunk"])
    assert Weather.model_validate(OSLO) == answer.choices[0].message.parsed
    assert "config.targets[1]" == answer.gateway.target
    assert gateway.sent["stream"] is True


@sides
def test_tool_calls_come_one_after_the_other(side: Side) -> None:
    """A call is done when the next begins or the answer ends; broken arguments parse to None."""
    pieces = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x":1}'}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}},
    ]
    seen: list[Any] = []

    collect(side, Gateway(sse(*[chunk(tool_calls=[piece]) for piece in pieces], chunk(finish="tool_calls"))), seen)

    assert [
        e.ToolCallArgumentsDeltaEvent(0, "a", "f", '{"x":1}', '{"x":1}'),
        e.ToolCallArgumentsDoneEvent(0, "a", "f", '{"x":1}', {"x": 1}),
        e.ToolCallArgumentsDeltaEvent(1, "b", "g", "{", "{"),
        e.ToolCallArgumentsDoneEvent(1, "b", "g", "{", None),
    ] == [event for event in seen if event.type != "chunk"]


@sides
def test_a_refusal_has_events_of_its_own(side: Side) -> None:
    """It is not taken for content, and nothing is parsed."""
    seen: list[Any] = []

    answer = collect(
        side,
        Gateway(sse(chunk(refusal="I can"), chunk(refusal="not"), chunk(finish="stop"))),
        seen,
        response_format=Weather,
    )

    assert [
        e.RefusalDeltaEvent("I can", "I can"),
        e.RefusalDeltaEvent("not", "I cannot"),
        e.RefusalDoneEvent("I cannot"),
    ] == [event for event in seen if event.type != "chunk"]
    assert ("I cannot", None) == (answer.choices[0].message.refusal, answer.choices[0].message.parsed)


@sides
def test_a_streamed_text_that_is_no_instance_is_an_error(side: Side) -> None:
    """After its deltas, with the answer in `.partial`."""
    seen: list[Any] = []

    with pytest.raises(p.APIResponseValidationError, match="the answer is no Weather") as caught:
        collect(side, Gateway(sse(chunk("{}"), chunk(finish="stop"))), seen, response_format=Weather)

    assert caught.value.partial is not None
    assert "{}" == caught.value.partial.choices[0].message.content
    assert "content.delta" in [event.type for event in seen]


@sides
@pytest.mark.parametrize(
    ("reason", "expected"),
    [("length", p.LengthFinishReasonError), ("content_filter", p.ContentFilterFinishReasonError)],
)
def test_half_a_streamed_text_is_an_error_where_it_ends(side: Side, reason: str, expected: type[Exception]) -> None:
    """A loop over events does not end as if the text were whole; without a class to parse it as, it does."""
    body = sse(chunk('{"place"'), chunk(finish=reason))
    seen: list[Any] = []

    with pytest.raises(expected) as caught:
        collect(side, Gateway(body), seen, response_format=Weather)

    error: Any = caught.value
    assert '{"place"' == error.completion.choices[0].message.content
    assert ['{"place"'] == [event.delta for event in seen if event.type == "content.delta"]
    assert '{"place"' == collect(side, Gateway(body), []).choices[0].message.content


@sides
def test_log_probabilities_have_events_of_their_own(side: Side) -> None:
    """Those of the text and those of a refusal, as they come and when they are complete."""
    it: dict[str, Any] = {"token": "It", "bytes": None, "logprob": -0.5, "top_logprobs": []}
    no = {**it, "token": "No"}
    pieces = [chunk("It"), chunk("It"), chunk(refusal="No", finish="stop")]
    for piece, logprobs in zip(pieces, [{"content": [it]}, {"content": [it]}, {"refusal": [no]}], strict=True):
        piece["choices"][0]["logprobs"] = logprobs
    seen: list[Any] = []

    collect(side, Gateway(sse(*pieces)), seen)

    token_it, token_no = TokenLogprob.model_validate(it), TokenLogprob.model_validate(no)
    assert [
        e.LogprobsContentDeltaEvent([token_it], [token_it]),
        e.LogprobsContentDeltaEvent([token_it], [token_it, token_it]),
        e.LogprobsRefusalDeltaEvent([token_no], [token_no]),
        e.LogprobsContentDoneEvent([token_it, token_it]),
        e.LogprobsRefusalDoneEvent([token_no]),
    ] == [event for event in seen if event.type.startswith("logprobs")]


@sides
def test_a_stream_of_events_is_read_in_openais_ways(side: Side) -> None:
    """One event at a time, to its end in one go, and with the answer so far."""
    client: Any = side.client(Gateway(sse(chunk("It is"), chunk(" raining", finish="stop"))))

    async def arun() -> tuple[Any, ...]:
        async with client.chat.completions.stream(messages=MESSAGES) as stream:
            first = await anext(stream), stream.current_completion_snapshot
            return *first, (await stream.until_done()).current_completion_snapshot

    def run() -> tuple[Any, ...]:
        with client.chat.completions.stream(messages=MESSAGES) as stream:
            first = next(stream), stream.current_completion_snapshot
            return *first, stream.until_done().current_completion_snapshot

    event, early, late = asyncio.run(arun()) if isinstance(side, AsyncSide) else run()

    assert "chunk" == event.type
    assert ("It is", "It is raining") == (early.choices[0].message.content, late.choices[0].message.content)


@sides
def test_a_cut_stream_of_events_raises_too(side: Side) -> None:
    """Events are no way around the truth."""
    body = Body(sse(chunk("It is"), done=False))
    seen: list[Any] = []

    with pytest.raises(p.IncompleteStreamError):
        collect(side, Gateway(body), seen)
    assert (["It is"], True) == ([event.delta for event in seen if event.type == "content.delta"], body.closed)


@sides
def test_a_stream_of_events_is_opened_by_with(side: Side) -> None:
    """Nothing is sent before, and the error says how to open it."""
    gateway = Gateway()

    stream: Any = side.client(gateway).chat.completions.stream(messages=MESSAGES)

    with pytest.raises(p.PortkeyError, match=r"with client\.chat\.completions\.stream"):
        aiter(stream) if isinstance(side, AsyncSide) else iter(stream)
    assert [] == gateway.requests
