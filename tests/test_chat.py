"""`chat.completions`: what each method sends, and what it refuses to send; sync and async alike."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import uuid
from collections.abc import Iterator
from enum import Enum
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

import portkey_client as p
from portkey_client import types as t
from tests.client_support import MESSAGES, SIDES, URL, AsyncSide, Gateway, Side, SyncSide, chunk, completion, sse

sides = pytest.mark.parametrize("side", SIDES, ids=["sync", "async"])


def sent_by(side: Side, **params: Any) -> dict[str, Any]:
    """The body that a call with these parameters sends."""
    gateway = Gateway(completion())
    side.create(side.client(gateway), **params)
    return gateway.sent


def refusal(side: Side, **params: Any) -> p.InvalidRequestError:
    """What a call that cannot be sent raises; nothing was sent."""
    gateway = Gateway(completion())
    with pytest.raises(p.InvalidRequestError) as caught:
        side.create(side.client(gateway), **params)
    assert [] == gateway.requests
    return caught.value


@sides
def test_the_shortest_call(side: Side) -> None:
    """Messages alone: the model is left to the gateway, and nothing else is said."""
    gateway = Gateway(completion())

    side.create(side.client(gateway))

    request = gateway.requests[0]
    assert ("POST", f"{URL}/chat/completions") == (request.method, str(request.url))
    assert b'{"messages":[{"role":"user","content":"Weather in Oslo?"}],"model":"portkey-default"}' == request.content


@sides
def test_every_parameter_goes_out_as_given(side: Side) -> None:
    """Named or not; None is null, NOT_GIVEN and the OpenAI SDK's own markers are nothing, integer keys become texts."""

    class Omit:
        pass

    params = {
        "model": "gpt-4o", "temperature": 0, "max_tokens": 5, "top_p": 0.5, "stream": False, "store": None,
        "metadata": {"user_id": "u"}, "tools": [{"type": "function"}], "anthropic_version": "2023-06-01",
        "logit_bias": {50256: -100}, "seed": 1,
    }  # fmt: skip

    sent = sent_by(side, **params, audio=p.NOT_GIVEN, user=p.NOT_GIVEN, n=Omit())

    assert {**params, "messages": MESSAGES, "logit_bias": {"50256": -100}} == sent


@sides
def test_extra_body_overrides_names_and_is_overridden_by_other_keywords(side: Side) -> None:
    """In portkey_ai's order: named, extra_body, everything else."""
    sent = sent_by(
        side, model="a", temperature=1, seed=3, extra_body={"model": "b", "seed": 2, "temperature": 0, "x": 1}
    )

    assert ("b", 0, 3, 1) == (sent["model"], sent["temperature"], sent["seed"], sent["x"])


@sides
def test_messages_may_be_dicts_models_or_taken_from_an_answer(side: Side) -> None:
    """An answer's message goes back with the fields it had, unknown ones included, and no others."""

    class Mine(BaseModel):
        role: str = "user"
        content: str

    message = t.ChatCompletionMessage.model_validate(
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": ""}}],
            "x": 1,
        }
    )

    def generated() -> Iterator[Any]:
        yield MESSAGES[0]
        yield message
        yield Mine(role="user", content="é")

    assert [
        MESSAGES[0],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": ""}}],
            "x": 1,
        },
        {"role": "user", "content": "é"},
    ] == sent_by(side, messages=generated())["messages"]


@sides
def test_values_with_a_natural_json_form_have_it(side: Side) -> None:
    """Dates, UUIDs, enumerations, tuples and models inside parameters."""

    class Colour(Enum):
        RED = "red"

    day, id = dt.date(2026, 11, 23), uuid.uuid4()

    sent = sent_by(side, a=day, b=dt.datetime(2026, 11, 23, 1, tzinfo=dt.UTC), c=id, d=Colour.RED, e=(1, 2))

    assert {"a": "2026-11-23", "b": "2026-11-23T01:00:00+00:00", "c": str(id), "d": "red", "e": [1, 2]} == {
        key: sent[key] for key in "abcde"
    }


class _Unshowable:
    """Has no JSON, nor a `repr()`."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def _looped() -> dict[str, Any]:
    """A mapping that holds itself."""
    loop: dict[str, Any] = {}
    loop["a"] = loop
    return loop


@sides
@pytest.mark.parametrize(
    ("params", "param", "words"),
    [
        ({"messages": "hi"}, "messages", ["a list of messages", "str 'hi'"]),
        ({"messages": {"role": "user"}}, "messages", ["a list of messages", "dict"]),
        ({"messages": None}, "messages", ["a list of messages", "NoneType"]),
        ({"messages": 3}, "messages", ["int 3"]),
        ({"messages": ["hi"]}, "messages[0]", ["a mapping or a model", "str 'hi'"]),
        ({"messages": [*MESSAGES, 3]}, "messages[1]", ["int 3"]),
        ({"messages": [BaseModel]}, "messages[0]", ["a mapping or a model", "BaseModel"]),
        ({"model": None}, "model", ["a str", "None"]),
        ({"model": 4}, "model", ["a str", "int 4"]),
        ({"extra_body": {"model": ["m"]}}, "model", ["a str", "list ['m']"]),
        ({"stream": "true"}, "stream", ["a bool", "str 'true'"]),
        ({"stream": 1}, "stream", ["a bool", "int 1"]),
        ({"temperature": float("nan")}, "temperature", ["nan is not a JSON number"]),
        ({"tools": [{"x": [1, float("inf")]}]}, "tools[0].x[1]", ["inf"]),
        ({"messages": [{"role": "user", "content": {1, 2}}]}, "messages[0].content", ["set", "no JSON"]),
        ({"messages": [{"role": "user", "content": b"x"}]}, "messages[0].content", ["bytes"]),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content", ["surrogate"]),
        ({"response_format": BaseModel}, "response_format", ["ModelMetaclass", "no JSON"]),
        ({"tools": object()}, "tools", ["object"]),
        ({"metadata": {(1, 2): "x"}}, "metadata", ["(1, 2)"]),
        ({"metadata": {b"k": "x"}}, "metadata", ["bytes b'k'"]),
        ({"metadata": {"\ud800": "x"}}, "metadata", ["key", "surrogate"]),
        ({"logit_bias": {float("nan"): 1}}, "logit_bias", ["key nan"]),
        ({"seed": 10**5000}, "seed", ["too many digits"]),
        ({"tools": [_Unshowable()]}, "tools[0]", ["_Unshowable", "no JSON"]),
        ({"extra_body": [1]}, "extra_body", ["a mapping", "list"]),
        ({"extra_headers": {"X-A": "é"}}, "extra_headers['X-A']", ["ASCII"]),
        ({"extra_headers": {"X-A": 3}}, "extra_headers['X-A']", ["a str", "int"]),
        ({"extra_headers": {"X A": "a"}}, "extra_headers", ["'X A'"]),
        ({"extra_headers": "X-A: a"}, "extra_headers", ["a mapping", "str"]),
        ({"extra_query": {"a": object()}}, "a", ["extra_query", "object"]),
        ({"extra_query": [1]}, "extra_query", ["a mapping", "list"]),
        ({"extra_query": {"a": float("inf")}}, "a", ["float inf"]),
        ({"extra_query": {"a": "\ud800"}}, "extra_query", ["surrogates"]),
        ({"extra_query": _looped()}, "extra_query", ["recursion"]),
        ({"extra_headers": {"X-A": "a\r\nX-B: b"}}, "extra_headers['X-A']", ["'\\r'"]),
    ],
)
def test_what_cannot_be_sent_is_named_and_nothing_is_sent(
    side: Side, params: dict[str, Any], param: str, words: list[str]
) -> None:
    """The error says which parameter, down to the place inside it, and what is wrong there."""
    error = refusal(side, **params)

    assert param == error.param
    assert [] == [word for word in words if word not in str(error)]


@sides
def test_a_parameter_that_holds_itself_is_refused(side: Side) -> None:
    """No endless loop, no RecursionError; the error names the parameter, not a path of hundreds of steps."""
    error = refusal(side, tools=[_looped()])

    assert "tools" == error.param
    assert "nested too deeply, or holds itself" in str(error)


@sides
def test_headers_of_a_call_override_without_regard_to_case(side: Side) -> None:
    """One header of a name goes out, the call's; NOT_GIVEN takes one away."""
    gateway = Gateway(completion())

    side.create(
        side.client(gateway, trace_id="client", debug=True),
        extra_headers={"X-Portkey-Trace-ID": "call", "x-portkey-debug": p.NOT_GIVEN, "X-New": "1"},
    )

    headers = gateway.requests[0].headers
    assert (["call"], "1") == (headers.get_list("x-portkey-trace-id"), headers["x-new"])
    assert "x-portkey-debug" not in headers


@sides
def test_a_calls_query_is_encoded(side: Side) -> None:
    """Lists repeat their key, mappings become `key[inner]`, bools are lower case, None is left out."""
    gateway = Gateway(completion())

    side.create(side.client(gateway), extra_query={"a": [1, "b&c"], "m": {"k": "v"}, "t": True, "n": None})

    assert "a%5B%5D=1&a%5B%5D=b%26c&m%5Bk%5D=v&t=true" == gateway.requests[0].url.query.decode()


@sides
def test_only_true_selects_streaming(side: Side) -> None:
    """False and None are sent as they are, and the answer comes whole."""
    assert sent_by(side, stream=False)["stream"] is False
    assert sent_by(side, stream=None)["stream"] is None


@sides
def test_a_model_left_out_on_purpose_is_left_out(side: Side) -> None:
    """NOT_GIVEN sends none, where a config or a proxy adds it; nothing at all sends portkey_ai's placeholder."""
    assert "model" not in sent_by(side, model=p.NOT_GIVEN)
    assert "portkey-default" == sent_by(side)["model"]


@sides
def test_extra_body_can_ask_for_a_stream(side: Side) -> None:
    """The body decides, wherever its `stream` came from."""
    gateway = Gateway(sse(chunk("hi"), chunk(finish="stop")))

    stream = side.read(side.client(gateway), stream=p.NOT_GIVEN, extra_body={"stream": True})

    assert "hi" == stream.partial.choices[0].message.content


STORED = {"object": "list", "data": [], "has_more": False}
MESSAGE = {"id": "m1", "role": "user", "content": [{"type": "text", "text": "hi"}]}
ROWS: list[Any] = [
    ("retrieve", ["a/b?c"], {}, "GET", "/chat/completions/a%2Fb%3Fc", None, completion(), p.ChatCompletions),
    (
        "update",
        ["id"],
        {"metadata": {"k": "v"}},
        "POST",
        "/chat/completions/id",
        {"metadata": {"k": "v"}},
        completion(),
        p.ChatCompletions,
    ),
    ("update", ["id"], {}, "POST", "/chat/completions/id", {"metadata": None}, completion(), p.ChatCompletions),
    (
        "update",
        ["id"],
        {"extra_body": {"x": 1}},
        "POST",
        "/chat/completions/id",
        {"metadata": None, "x": 1},
        completion(),
        p.ChatCompletions,
    ),
    (
        "delete",
        ["id"],
        {},
        "DELETE",
        "/chat/completions/id",
        None,
        {"id": "id", "deleted": True},
        t.ChatCompletionDeleted,
    ),
    ("list", [], {}, "GET", "/chat/completions", None, STORED, t.ChatCompletionList),
    (
        "list",
        [],
        {"after": "x", "limit": 2, "metadata": {"k": "v"}, "model": "m", "order": "asc", "extra_query": {"limit": 3}},
        "GET",
        "/chat/completions?after=x&limit=3&metadata%5Bk%5D=v&model=m&order=asc",
        None,
        STORED,
        t.ChatCompletionList,
    ),
    (
        "messages.list",
        ["id"],
        {"limit": 1},
        "GET",
        "/chat/completions/id/messages?limit=1",
        None,
        {**STORED, "data": [MESSAGE]},
        t.ChatCompletionStoreMessageList,
    ),
    (
        "messages.create",
        ["id"],
        {"content": "hi", "name": "n"},
        "POST",
        "/chat/completions/id/messages",
        {"role": "user", "content": "hi", "name": "n"},
        MESSAGE,
        t.ChatCompletionStoreMessage,
    ),
    (
        "messages.retrieve",
        ["id", ".."],
        {},
        "GET",
        "/chat/completions/id/messages/%2E%2E",
        None,
        MESSAGE,
        t.ChatCompletionStoreMessage,
    ),
    (
        "messages.update",
        ["id", "m"],
        {"content": "new"},
        "POST",
        "/chat/completions/id/messages/m",
        {"content": "new"},
        MESSAGE,
        t.ChatCompletionStoreMessage,
    ),
    (
        "messages.delete",
        ["id", "m"],
        {},
        "DELETE",
        "/chat/completions/id/messages/m",
        None,
        {"id": "m", "deleted": True},
        t.ChatCompletionStoreMessageDeleted,
    ),
]


def method(client: Any, name: str) -> Any:
    """A method of `chat.completions` by its dotted name."""
    target = client.chat.completions
    for part in name.split("."):
        target = getattr(target, part)
    return target


@sides
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{len(row[2])}")
def test_stored_completions_have_their_endpoints(side: Side, row: Any) -> None:
    """Each method has its verb, path, query and body, and gives its model."""
    name, arguments, options, verb, path, body, reply, kind = row
    gateway = Gateway(reply)
    client = side.client(gateway)

    answer: Any = side.run(lambda: method(client, name)(*arguments, **options, timeout=3))

    request = gateway.requests[0]
    assert (verb, URL + path) == (request.method, str(request.url))
    assert (body if body is None else gateway.sent) == body
    assert body is not None or b"" == request.content
    assert (body is None) == ("content-type" not in request.headers)
    assert 3 == request.extensions["timeout"]["read"]
    assert kind is type(answer)
    assert reply == answer.to_dict()


@sides
def test_beta_is_another_way_to_the_same(side: Side) -> None:
    """portkey_ai has `parse` and `stream` there."""
    client = side.client(Gateway())

    assert client.chat.completions is client.beta.chat.completions


@sides
@pytest.mark.parametrize("name", ["retrieve", "update", "delete", "messages.list", "messages.create"])
@pytest.mark.parametrize("id", ["", None, 3])
def test_an_empty_id_is_refused(side: Side, name: str, id: Any) -> None:
    """It would go to another path: the list of all completions, say."""
    gateway = Gateway()
    client = side.client(gateway)

    with pytest.raises(ValueError, match="Expected a non-empty value for `completion_id`"):
        side.run(lambda: method(client, name)(id))
    assert [] == gateway.requests


@sides
@pytest.mark.parametrize(("name", "arguments"), [("list_all", []), ("messages.list_all", ["id"])])
def test_pages_are_fetched_as_they_are_needed(side: Side, name: str, arguments: list[str]) -> None:
    """Each page begins behind the last item of the one before."""
    items = [completion() | {"id": id} if name == "list_all" else {"id": id} for id in "abc"]
    pages: list[Any] = [{"data": items[:2], "has_more": True}, {"data": items[2:], "has_more": False}]
    gateway = Gateway(*pages)
    client = side.client(gateway)

    async def acollect() -> list[str]:
        return [item.id async for item in method(client, name)(*arguments, limit=2)]

    found = (
        asyncio.run(acollect())
        if isinstance(side, AsyncSide)
        else [i.id for i in method(client, name)(*arguments, limit=2)]
    )

    assert list("abc") == found
    assert [{"limit": "2"}, {"after": "b", "limit": "2"}] == [dict(r.url.params) for r in gateway.requests]


def test_a_list_that_goes_in_circles_is_an_error() -> None:
    """A server that names the same page for ever is found out."""
    page: Any = {"data": [{"id": "a"}], "has_more": True}
    client = SyncSide().client(Gateway(page, page))

    with pytest.raises(p.PortkeyError, match="does not say where"):
        list(client.chat.completions.messages.list_all("id"))


@pytest.mark.parametrize(
    ("sync", "other"),
    [
        (p.Completions, p.AsyncCompletions),
        (p.ChatCompletionsMessages, p.AsyncChatCompletionsMessages),
        (p.Portkey, p.AsyncPortkey),
    ],
)
def test_sync_and_async_say_the_same(sync: type, other: type) -> None:
    """Every public method of one half is in the other, with the same parameters."""

    def surface(cls: type) -> dict[str, Any]:
        return {
            name: {
                parameter: (str(value.annotation).replace("Async", ""), value.default, value.kind)
                for parameter, value in inspect.signature(member).parameters.items()
            }
            for name, member in vars(cls).items()
            if inspect.isfunction(member) and not name.startswith("_") and name != "aclose"
        }

    assert surface(sync) == surface(other)


def test_the_specifications_parameters_are_in_the_signature() -> None:
    """What the page documents can be discovered: keyword-only, with its default model."""
    parameters = inspect.signature(p.Completions.create).parameters

    assert "portkey-default" == parameters["model"].default
    assert [
        "messages", "model", "stream", "temperature", "max_tokens", "top_p", "audio", "max_completion_tokens",
        "metadata", "modalities", "prediction", "reasoning_effort", "store",
        "extra_headers", "extra_query", "extra_body", "timeout", "max_retries",
    ] == [name for name, value in parameters.items() if value.kind is inspect.Parameter.KEYWORD_ONLY]  # fmt: skip


def test_a_body_is_utf8_and_compact() -> None:
    """No escapes and no blanks: the bytes are what the text is."""
    gateway = Gateway(httpx.Response(200, json=completion()))

    SyncSide().create(SyncSide().client(gateway), messages=[{"role": "user", "content": "Været i Oslo? ☔"}])

    assert "Været i Oslo? ☔".encode() in gateway.requests[0].content
