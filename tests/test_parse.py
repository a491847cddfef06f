"""Structured output and typed events: `parse` and `stream`, sync and async alike."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel, Field

import portkey_client as p
from portkey_client import events as e
from portkey_client._parse import strict_schema
from tests.client_support import (
    GATEWAY_HEADERS,
    MESSAGES,
    SIDES,
    AsyncSide,
    Body,
    Gateway,
    Side,
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


OSLO: dict[str, Any] = {"place": {"city": "Oslo", "country": "Norway"}, "degrees": [21]}


def parse(side: Side, reply: Any, **params: Any) -> Any:
    """The answer of `parse`, and the gateway that gave it."""
    gateway = Gateway(reply)
    client = side.client(gateway)
    call: Any = lambda: client.chat.completions.parse(messages=MESSAGES, response_format=Weather, **params)  # noqa: E731
    return side.run(call), gateway


@sides
def test_an_answer_is_parsed_as_the_class(side: Side) -> None:
    """The schema goes out strict, the instance comes back, and the message can be sent again as it came."""
    answer, gateway = parse(side, completion(json.dumps(OSLO)), model="gpt-4o", seed=1)

    assert Weather.model_validate(OSLO) == answer.choices[0].message.parsed
    assert GATEWAY_HEADERS["x-portkey-trace-id"] == answer.gateway.trace_id
    assert ("gpt-4o", 1) == (gateway.sent["model"], gateway.sent["seed"])
    wanted = gateway.sent["response_format"]["json_schema"]
    assert ("Weather", True, ["place", "degrees"]) == (wanted["name"], wanted["strict"], wanted["schema"]["required"])
    assert "parsed" not in answer.choices[0].message.to_dict()


def test_a_strict_schema_is_closed_and_complete() -> None:
    """Objects take no other properties, every property is required, defaults are gone, references stand alone."""
    assert {
        "$defs": {
            "Place": {
                "properties": {
                    "city": {"title": "City", "type": "string"},
                    "country": {"title": "Country", "type": "string"},
                },
                "required": ["city", "country"],
                "title": "Place",
                "type": "object",
                "additionalProperties": False,
            }
        },
        "properties": {
            "place": {"$ref": "#/$defs/Place"},
            "degrees": {"items": {"type": "integer"}, "title": "Degrees", "type": "array"},
        },
        "required": ["place", "degrees"],
        "title": "Weather",
        "type": "object",
        "additionalProperties": False,
    } == strict_schema(Weather.model_json_schema())


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


@sides
def test_a_text_that_is_no_instance_is_an_error(side: Side) -> None:
    """Not pydantic's own, and it says where the text went wrong."""
    with pytest.raises(p.APIResponseValidationError, match=r"degrees: Field required"):
        parse(side, completion('{"place": {"city": "Oslo"}}'))


@sides
@pytest.mark.parametrize("kind", [dict, {"type": "json_object"}, "Weather", Weather(**OSLO)])
def test_only_a_model_class_can_be_parsed(side: Side, kind: Any) -> None:
    """The error names the parameter; nothing is sent."""
    gateway = Gateway()
    client = side.client(gateway)
    call: Any = lambda: client.chat.completions.parse(messages=MESSAGES, response_format=kind)  # noqa: E731

    with pytest.raises(p.InvalidRequestError, match="response_format= must be a pydantic model class"):
        side.run(call)
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
