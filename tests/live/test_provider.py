"""The scripted provider over HTTP, and the steps it takes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.live.provider import LoopbackProvider
from tests.live.steps import ANTHROPIC_USAGE, KINDS, OpenAI, Script, StepError, parse_script, parse_step


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """An application that ignores the proxy settings of its environment."""
    with httpx.Client(trust_env=False, timeout=5.0) as client:
        yield client


def events(text: str) -> list[tuple[str | None, Any]]:
    """Name and data of each event, JSON parsed."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        data = lines["data"]
        found.append((lines.get("event"), json.loads(data) if data.startswith("{") else data))
    return found


def test_steps_are_taken_in_order_and_the_last_one_stays(provider: LoopbackProvider, client: httpx.Client) -> None:
    """Attempt n takes step n, the last step repeats, and loading again starts over."""
    script: Script = {"a": [{"kind": "empty", "status": 503}, OpenAI(text="one")]}
    url = provider.url("order", "a")

    provider.load("order", script)
    first = [client.post(url).status_code for _ in range(3)]
    provider.load("order", script)
    second = [client.post(url).status_code for _ in range(2)]

    assert (first, second) == ([503, 200, 200], [503, 200])


def test_attempts_are_noted(provider: LoopbackProvider, client: httpx.Client) -> None:
    """An attempt is noted with its path, credential, kept headers and body, per key, in order of arrival."""
    provider.load("noted", {"a": [OpenAI()], "b": [OpenAI()]})
    provider.load("other", {"a": [OpenAI()]})

    client.post(
        f"{provider.url('noted', 'b')}/v1/chat?x=1",
        json={"model": "m"},
        headers={"authorization": "Bearer k", "x-any": "1", "cookie": "not kept"},
    )
    client.request("DELETE", provider.url("noted", "a"), headers={"x-api-key": "k2"}, content=b"{broken")
    client.post(provider.url("other", "a"))

    first, second = provider.attempts("noted")
    assert (first.upstream, first.number, first.method, first.path) == ("b", 1, "POST", "/v1/chat?x=1")
    assert (first.auth, first.body) == ("Bearer k", {"model": "m"})
    assert first.headers == {
        "accept": "*/*",
        "authorization": "Bearer k",
        "content-type": "application/json",
        "x-any": "1",
    }
    assert (second.method, second.path, second.auth, second.body) == ("DELETE", "/", "k2", {"<raw>": "{broken"})
    assert first.time <= second.time


def test_a_body_sent_in_chunks_is_read(provider: LoopbackProvider, client: httpx.Client) -> None:
    """A request of unknown length arrives whole, and the connection stays usable."""
    provider.load("chunks", {"a": [OpenAI()]})

    for _ in range(2):
        client.post(provider.url("chunks", "a"), content=iter([b'{"model"', b': "m"}']))

    assert [attempt.body for attempt in provider.attempts("chunks")] == [{"model": "m"}] * 2


def test_an_openai_completion(provider: LoopbackProvider, client: httpx.Client) -> None:
    """The completion echoes the model, counts fixed tokens and says which upstream it came from."""
    provider.load("openai", {"a": [{"kind": "openai", "text": "hi", "headers": {"Retry-After": "3"}}]})

    answer = client.post(provider.url("openai", "a"), json={"model": "gpt-x"})

    assert answer.json() == {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-x",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
    }
    assert (answer.headers["x-stub-upstream"], answer.headers["retry-after"]) == ("a", "3")


def test_an_anthropic_message(provider: LoopbackProvider, client: httpx.Client) -> None:
    """The message has one text block and fixed token counts."""
    provider.load("anthropic", {"a": [{"kind": "anthropic", "text": "hi"}]})

    answer = client.post(provider.url("anthropic", "a"))

    assert answer.json() == {
        "id": "msg_stub",
        "type": "message",
        "role": "assistant",
        "model": "stub-claude",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }


def test_openai_chunks(provider: LoopbackProvider, client: httpx.Client) -> None:
    """A stream has the role in its first delta, the finish reason in a chunk of its own, and ends in [DONE]."""
    call = {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    provider.load("chunked", {"a": [{"kind": "openai_sse", "deltas": ["hi", call], "finish_reason": "tool_calls"}]})

    answer = client.post(provider.url("chunked", "a"))

    found = events(answer.text)
    choices = [data["choices"][0] for _, data in found[:-1]]
    assert [choice["delta"] for choice in choices] == [{"role": "assistant", "content": "hi"}, call, {}]
    assert [choice["finish_reason"] for choice in choices] == [None, None, "tool_calls"]
    assert found[-1] == (None, "[DONE]")
    assert answer.headers["content-type"] == "text/event-stream"


def test_anthropic_events(provider: LoopbackProvider, client: httpx.Client) -> None:
    """Blocks become start, deltas and stop, numbered, with a ping after the first start."""
    blocks = [
        {"type": "thinking", "pieces": ["hm"]},
        {"type": "tool_use", "name": "f", "pieces": ['{"a"', ": 1}"]},
    ]
    provider.load("blocks", {"a": [{"kind": "anthropic_sse", "blocks": blocks, "stop_reason": "tool_use"}]})

    found = events(client.post(provider.url("blocks", "a")).text)

    assert [(name, data.get("index")) for name, data in found] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("ping", None),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert [data["delta"]["type"] for name, data in found if name == "content_block_delta"] == [
        "thinking_delta",
        "signature_delta",
        "input_json_delta",
        "input_json_delta",
    ]
    assert found[6][1]["content_block"] == {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}


def test_literal_events_and_texts(provider: LoopbackProvider, client: httpx.Client) -> None:
    """Literal events are written as they are or framed; a text carries its own content type."""
    literal = [": a comment\n\n", {"event": "ping", "data": {"n": 1}}, {"data": "[DONE]"}, ""]
    text = {"kind": "text", "status": 502, "content_type": "text/html", "body": "<b>é</b>"}
    provider.load("literal", {"a": [{"kind": "sse", "events": literal}], "b": [text]})

    stream, page = (client.post(provider.url("literal", name)) for name in "ab")

    assert stream.text == ': a comment\n\nevent: ping\ndata: {"n": 1}\n\ndata: [DONE]\n\n'
    assert (page.status_code, page.headers["content-type"], page.text) == (502, "text/html", "<b>é</b>")


def test_an_empty_answer_has_no_content_type(provider: LoopbackProvider, client: httpx.Client) -> None:
    """A step of kind `empty` is a status with neither body nor content type, 204 included."""
    provider.load("empty", {"a": [{"kind": "empty"}, {"kind": "empty", "status": 204}]})

    answers = [client.post(provider.url("empty", "a")) for _ in range(2)]

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b""), (204, b"")]
    assert all("content-type" not in answer.headers for answer in answers)


def test_a_dropped_connection(provider: LoopbackProvider, client: httpx.Client) -> None:
    """`drop` ends the connection before the first byte; the attempt is noted all the same."""
    provider.load("drop", {"a": [{"kind": "drop"}]})

    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        client.post(provider.url("drop", "a"))

    assert len(provider.attempts("drop")) == 1


def test_a_stream_dropped_after_some_events(provider: LoopbackProvider, client: httpx.Client) -> None:
    """`drop_after` lets that many events through, then ends the connection short of the end."""
    step = {"kind": "openai_sse", "deltas": ["one", "two", "three"], "drop_after": 2}
    provider.load("cut", {"a": [step]})
    received: list[str] = []

    with (
        client.stream("POST", provider.url("cut", "a")) as response,
        pytest.raises(httpx.RemoteProtocolError, match="incomplete"),
    ):
        received.extend(response.iter_text())

    assert [data["choices"][0]["delta"]["content"] for _, data in events("".join(received))] == ["one", "two"]


def test_sleeps_and_gaps_take_their_time(provider: LoopbackProvider, client: httpx.Client) -> None:
    """`sleep` delays the answer and `gap` each further event, by at least what was asked for."""
    provider.load("slow", {"a": [{"kind": "sse", "events": ["data: 1\n\n"] * 3, "sleep": 0.1, "gap": 0.05}]})

    answer = client.post(provider.url("slow", "a"))

    assert answer.elapsed.total_seconds() >= 0.1 + 3 * 0.05


@pytest.mark.parametrize("yaml_keys", [("true", "false"), (True, False)])
def test_a_switch_on_streaming(provider: LoopbackProvider, client: httpx.Client, yaml_keys: tuple[Any, Any]) -> None:
    """`stream_switch` chooses by the request's `stream`, however YAML read its keys."""
    streaming, plain = yaml_keys
    switch = {streaming: {"kind": "openai_sse", "deltas": ["x"]}, plain: {"kind": "openai", "text": "x"}}
    provider.load("switch", {"a": [{"stream_switch": switch}]})

    kinds = [
        client.post(provider.url("switch", "a"), json=body).headers["content-type"].partition(";")[0]
        for body in ({"stream": True}, {"stream": False}, {})
    ]

    assert kinds == ["text/event-stream", "application/json", "application/json"]


def test_what_is_not_scripted_is_answered_599(provider: LoopbackProvider, client: httpx.Client) -> None:
    """An upstream without a script answers with a status no provider sends, and says which one it is."""
    provider.load("known", {"a": [OpenAI()]})

    answer = client.post(provider.url("known", "b"))

    assert (answer.status_code, answer.json()) == (599, {"error": {"message": "stub: no script for known/b"}})


def test_a_path_without_an_upstream_is_answered_404(provider: LoopbackProvider) -> None:
    """A path that names no upstream is refused with the form it should have."""
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=5)
    connection.request("GET", "/elsewhere")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()

    assert answer.status == 404
    assert b"/u/KEY/UPSTREAM/" in body


def test_closing_ends_what_is_under_way(client: httpx.Client) -> None:
    """A provider that closes does not wait for a step that sleeps."""
    with LoopbackProvider() as short_lived:
        short_lived.load("k", {"a": [{"kind": "openai", "sleep": 600.0}]})
        with pytest.raises(httpx.ReadTimeout):
            client.post(short_lived.url("k", "a"), timeout=0.05)

    with pytest.raises(httpx.ConnectError):
        client.post(short_lived.url("k", "a"))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("openai", "at: expected a mapping, not 'openai'"),
        ({"kind": "gopher"}, "at: unknown kind 'gopher'; known are json, openai,"),
        ({"kind": ["openai"]}, "at: unknown kind \\['openai'\\]"),
        ({"kind": "openai", "txt": "x"}, "at: a step of kind openai has no field txt; it has extra,"),
        ({"kind": "drop", "status": 500}, "at: a step of kind drop has no field status"),
        ({"kind": "openai", "status": "500"}, "at.status: expected a whole number, not '500'"),
        ({"kind": "openai", "status": True}, "at.status: expected a whole number, not True"),
        ({"kind": "openai", "text": 5}, "at.text: expected text or null, not 5"),
        ({"kind": "openai", "sleep": -1}, "at.sleep: expected a number of seconds, 0 or more, not -1"),
        ({"kind": "openai", "headers": {"retry-after": 3}}, "at.headers: expected a mapping with text values"),
        ({"kind": "openai_sse", "deltas": "abc"}, "at.deltas: expected a list, not 'abc'"),
        ({"kind": "openai_sse", "deltas": [1]}, "at: a delta is text or a mapping, not 1"),
        ({"kind": "sse", "events": [{"name": "x"}]}, "at: an event is text or a mapping of `event` and `data`"),
        ({"kind": "anthropic_sse", "blocks": [{"type": "image"}]}, "at: a block is a mapping of type text, thinking"),
        (
            {"kind": "anthropic_sse", "blocks": [{"type": "tool_use", "pieces": []}]},
            "at: the tool_use block lacks name",
        ),
        ({"stream_switch": {"true": {"kind": "drop"}}}, "at.stream_switch: expected the two keys true and false"),
        ({"stream_switch": {}, "sleep": 1}, "at: stream_switch stands alone"),
    ],
)
def test_a_step_that_cannot_be_played_is_refused(raw: object, said: str) -> None:
    """An unknown kind, field or type is an error that says where it is, what was expected and what came."""
    with pytest.raises(StepError, match=said):
        parse_step(raw, "at")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_complete_without_fields(kind: str) -> None:
    """Each kind plays with nothing but its name."""
    answer = parse_step({"kind": kind}).answer(None)

    assert (answer is None) == (kind == "drop")


def test_the_corpus_may_say_more_than_a_step_knows() -> None:
    """As the server behind which it was recorded passes over that, and over upstreams without steps."""
    script = {
        "a": [{"kind": "drop", "status": 500}, {"stream_switch": {"true": {"kind": "drop"}, "false": {}}, "sleep": 1}],
        "b": [],
    }

    assert {"a": 2} == {name: len(steps) for name, steps in parse_script(script, strict=False).items()}


def test_a_message_may_end_without_a_reason_and_is_always_counted() -> None:
    """A reason that is null is one; counts that are empty are those there always are."""
    answer = parse_step({"kind": "anthropic", "stop_reason": None, "usage": {}}).answer(None)

    assert answer is not None
    body = json.loads(answer.parts[0])
    assert (None, ANTHROPIC_USAGE) == (body["stop_reason"], body["usage"])
