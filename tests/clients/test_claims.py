"""What holds for every SDK that is pointed at the fake, unmodified."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from portkey_testing import FakeGateway, UnscriptedRequest, error, fault, text, tool_call
from portkey_testing.replies import ReplyLike
from tests.clients import in_node
from tests.clients.conftest import Reached, sdks
from tests.clients.in_node import NodeSdk
from tests.clients.sdk import ANTHROPIC, FALLBACK, OPENAI, QUESTION, Ask, Sdk, SdkError

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather at a place.",
            "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
        },
    }
]
DENIED = {
    **OPENAI,
    "before_request_hooks": [
        {
            "id": "no-weather",
            "type": "guardrail",
            "deny": True,
            "checks": [{"id": "default.contains", "parameters": {"words": ["Weather"], "operator": "none"}}],
        }
    ],
}


@sdks()
def test_an_answer(reached: Reached) -> None:
    """Text, finish reason and usage are those of the script."""
    reached.fake.reply(text("Sunny").with_usage(prompt_tokens=5, completion_tokens=1))

    said = reached.chat()

    assert ("Sunny", "stop", 6) == (said.text, said.finish_reason, said.tokens)
    assert said.id


@sdks()
def test_a_stream(reached: Reached) -> None:
    """The words arrive as the pieces they were cut into, and the stream is read to its end."""
    reached.fake.reply(text("It is sunny").streamed(by="word"))

    said = reached.chat(Ask(stream=True))

    assert (("It", " is", " sunny"), "stop") == (said.pieces, said.finish_reason)
    assert not reached.fake.last.broke_off


@sdks()
def test_a_slow_stream(reached: Reached) -> None:
    """Minutes of it take none, in virtual time as on a port that does not wait."""
    reached.fake.reply(text("It is sunny").streamed(by="word", ttft=4, tps=0.5).delayed(2))

    assert "It is sunny" == reached.chat(Ask(stream=True)).text
    if reached.sdk.in_process:
        assert 8 < reached.fake.clock.now


@sdks()
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_tool_loop(reached: Reached, *, stream: bool) -> None:
    """A tool call, its result, and the answer: the journal puts the two together."""
    reached.fake.reply(tool_call("get_weather", location="Malmö"), "It is 21 degrees.")
    question = {"role": "user", "content": QUESTION}

    asked = reached.chat(Ask(stream=stream, params={"tools": TOOLS}))
    (call,) = asked.tool_calls
    function = {"name": call.name, "arguments": '{"location": "Malmö"}'}
    messages = (
        question,
        {
            "role": "assistant",
            "content": asked.text,
            "tool_calls": [{"id": call.id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "21"},
    )
    answer = reached.chat(Ask(messages, stream=stream, params={"tools": TOOLS}))

    assert ("get_weather", {"location": "Malmö"}, "tool_calls") == (call.name, call.arguments, asked.finish_reason)
    assert "It is 21 degrees." == answer.text
    (exchange,) = reached.fake.last.tool_exchanges
    assert ("get_weather", {"location": "Malmö"}, "21") == (exchange.name, exchange.arguments, exchange.result)


@sdks()
def test_two_tool_calls_in_one_stream(reached: Reached) -> None:
    """The fragments of parallel calls are kept apart by their index."""
    reached.fake.reply([tool_call("get_weather", location="Oslo"), tool_call("get_weather", location="Rome")])

    said = reached.chat(Ask(stream=True, params={"tools": TOOLS}))

    assert [{"location": "Oslo"}, {"location": "Rome"}] == [call.arguments for call in said.tool_calls]
    assert 2 == len({call.id for call in said.tool_calls})


@sdks()
@pytest.mark.parametrize(
    ("reply", "config", "kind", "status"),
    [
        (error("bad_request"), OPENAI, "BadRequestError", 400),
        (error("invalid_key"), OPENAI, "AuthenticationError", 401),
        (error("model_not_found"), OPENAI, "NotFoundError", 404),
        (error("rate_limited"), OPENAI, "RateLimitError", 429),
        (None, DENIED, "APIError", 446),
        (error("server_error"), OPENAI, "InternalServerError", 500),
        (error("overloaded"), ANTHROPIC, "InternalServerError", 529),
    ],
    ids=["400", "401", "404", "429", "446", "500", "529"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_error_is_the_sdks_own(
    reached: Reached, reply: ReplyLike | None, config: dict[str, Any], kind: str, status: int, *, stream: bool
) -> None:
    """Each status becomes the class that applications catch, with the gateway's words in it."""
    if reply is not None:
        reached.fake.reply(reply)

    with pytest.raises(SdkError) as caught:
        reached.chat(Ask(config=config, stream=stream))

    assert kind in caught.value.kinds
    assert status == caught.value.status
    assert reached.fake.last.response["error"]["message"] in caught.value.message


@sdks()
@pytest.mark.parametrize("name", ["reset_before_headers", "closed_before_headers"])
def test_a_broken_connection_is_the_sdks_own(reached: Reached, name: str) -> None:
    """A connection that breaks before the answer is a connection error, not a status."""
    reached.fake.gateway.always(fault(name))

    with pytest.raises(SdkError) as caught:
        reached.chat()

    assert {"APIConnectionError", "APIConnectionTimeoutError"} & set(caught.value.kinds)
    assert caught.value.status is None


@sdks(lambda sdk: sdk.has_timeout)
def test_silence_runs_into_the_sdks_timeout(reached: Reached) -> None:
    """The SDK gives up when its own timeout says so: in virtual time, or after that many real seconds."""
    reached.fake.gateway.always(fault("stall_before_headers"))
    seconds = 60.0 if reached.sdk.in_process else 0.3

    with pytest.raises(SdkError) as caught:
        reached.chat(Ask(timeout=seconds))

    assert {"APITimeoutError", "APIConnectionTimeoutError"} & set(caught.value.kinds)
    if reached.sdk.in_process:
        assert seconds == reached.fake.clock.now


@sdks()
def test_a_stream_that_is_reset_raises(reached: Reached) -> None:
    """What came before is not taken for the whole answer."""
    reached.fake.gateway.reply(text("It is raining cats and dogs").cut(chunks=2, fault="reset"))

    with pytest.raises(SdkError):
        reached.chat(Ask(stream=True))

    assert reached.fake.last.broke_off


@sdks()
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_fallback(reached: Reached, *, stream: bool) -> None:
    """The config in the headers is evaluated for any client, and the SDK sees one answer."""
    reached.fake.provider("openai").reply(error("rate_limited"))
    reached.fake.provider("anthropic").reply("Sunny")

    said = reached.chat(Ask(config=FALLBACK, stream=stream))

    assert "Sunny" == said.text
    assert ["openai", "anthropic"] == reached.fake.last.route.providers
    assert "config.targets[1]" == reached.fake.last.route.target


@sdks()
def test_the_sdks_own_retries(reached: Reached) -> None:
    """An SDK that tries again does so, as soon as the provider allows it; Portkey's leave that to the gateway."""
    reached.fake.reply(error("rate_limited", retry_after=0.01))
    reached.fake.always("Sunny")

    if reached.sdk.retries_429:
        assert "Sunny" == reached.chat(Ask(max_retries=2)).text
    else:
        with pytest.raises(SdkError):
            reached.chat(Ask(max_retries=2))

    assert (2 if reached.sdk.retries_429 else 1) == len(reached.fake.calls)


@sdks(lambda sdk: sdk.in_process)
def test_an_unscripted_request_gets_past_the_sdk(sdk: Sdk) -> None:
    """In process the fake's failure arrives as itself, and is not retried; an SDK that swallows it only delays it."""
    fake = FakeGateway()

    with fake.mounted(), pytest.raises(SdkError if sdk.swallows else UnscriptedRequest):
        sdk.chat("https://api.portkey.ai/v1", Ask(max_retries=2))
    with pytest.raises(UnscriptedRequest, match="no script answers openai"):
        fake.verify()

    assert 1 == len(fake.calls)


@sdks()
def test_an_unscripted_request_on_a_port_is_explained(sdk: Sdk) -> None:
    """There it is an error that the SDK does not retry, whose text says what to script."""
    fake = FakeGateway()

    with ExitStack() as stack:
        stack.enter_context(pytest.raises(UnscriptedRequest))
        server = stack.enter_context(fake.serve(time_scale=0))
        caught = stack.enter_context(pytest.raises(SdkError, match="no script answers openai"))
        sdk.chat(server.url, Ask(max_retries=2))

    assert (True, 400) == ("BadRequestError" in caught.value.kinds, caught.value.status)
    assert 1 == len(fake.calls)


@sdks()
def test_the_environment_points_the_sdk_at_a_port(sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is given the server's variables reaches it as it is."""
    fake = FakeGateway()
    fake.reply("Sunny")

    with ExitStack() as stack:
        server = stack.enter_context(fake.serve(time_scale=0))
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        if isinstance(sdk, NodeSdk):
            sdk = replace(sdk, node=stack.enter_context(in_node.running()))
        said = sdk.chat(None, Ask())

    assert "Sunny" == said.text
