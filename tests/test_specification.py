"""The chat completions page of the Portkey Python SDK, example by example, with nothing but the import changed.

Each example runs in process and against a served fake, sync and, where the page has it or a reader would try it, async.
Where a real provider would refuse an example, its test says so.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

import portkey_client
from portkey_client import AsyncPortkey, BadRequestError, ChatCompletionChunk, ChatCompletions, NotFoundError, Portkey
from portkey_testing import FakeGateway, RefusedRequest, error, text, tool_call

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The page uses asyncio."""
    return "asyncio"


@pytest.fixture(params=["in process", "served"])
def fake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    """A gateway that knows the page's virtual key, reached without a word in the examples."""
    monkeypatch.delenv("PORTKEY_PROXY", raising=False)
    gateway = FakeGateway()
    gateway.virtual_key("VIRTUAL_KEY", provider="openai")
    if request.param == "in process":
        with gateway.mount():
            yield gateway
    else:
        with gateway.serve(time_scale=0) as server:
            monkeypatch.setenv("PORTKEY_PROXY", server.url)
            yield gateway


@pytest.fixture
def portkey(fake: FakeGateway) -> Iterator[Portkey]:
    """The page's client."""
    with Portkey(api_key="PORTKEY_API_KEY", virtual_key="VIRTUAL_KEY") as client:
        yield client


@pytest.fixture
async def aportkey(fake: FakeGateway) -> AsyncIterator[AsyncPortkey]:
    """The page's client, asynchronous."""
    async with AsyncPortkey(api_key="PORTKEY_API_KEY", virtual_key="VIRTUAL_KEY") as client:
        yield client


Ask = Callable[..., Awaitable[ChatCompletions]]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """`portkey.chat.completions.create`, of either client."""
    if request.param == "async":
        asynchronous: AsyncPortkey = request.getfixturevalue("aportkey")
        return asynchronous.chat.completions.create
    synchronous: Portkey = request.getfixturevalue("portkey")

    async def create(**options: Any) -> ChatCompletions:
        answer: ChatCompletions = synchronous.chat.completions.create(**options)
        return answer

    return create


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get weather information for a location",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {"type": "string", "description": "City name"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "Temperature unit"},
                },
                "required": ["location"],
            },
        },
    }
]


async def test_basic_chat_completion(fake: FakeGateway, ask: Ask) -> None:
    """A client made from an API key and a virtual key alone answers a question."""
    fake.provider("openai").reply("Machines that learn.")

    response = await ask(messages=[{"role": "user", "content": "What is machine learning?"}], model="gpt-4")

    assert response.choices[0].message.content == "Machines that learn."
    assert fake.last.request.headers["x-portkey-virtual-key"] == "VIRTUAL_KEY"
    assert fake.last.request.headers["x-portkey-api-key"] == "PORTKEY_API_KEY"


async def test_multi_turn_conversation(fake: FakeGateway, ask: Ask) -> None:
    """A conversation of system, user and assistant messages goes as it is, with its parameters."""
    fake.when(turn=2).reply("Cryptography.")
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Explain quantum computing"},
        {"role": "assistant", "content": "Quantum computing is..."},
        {"role": "user", "content": "What are its main applications?"},
    ]

    response = await ask(messages=messages, model="gpt-4", max_tokens=500, temperature=0.7)

    assert response.choices[0].message.content == "Cryptography."
    sent = fake.last.route.attempts[0].request.body
    assert (sent["messages"], sent["max_tokens"], sent["temperature"]) == (messages, 500, 0.7)


def test_streaming_response(fake: FakeGateway, portkey: Portkey, capsys: pytest.CaptureFixture[str]) -> None:
    """A loop over the chunks prints the story as it comes."""
    fake.provider("openai").reply("Once upon a time")

    stream = portkey.chat.completions.create(
        messages=[{"role": "user", "content": "Write a story about AI"}], model="gpt-4", stream=True
    )
    for chunk in stream:
        if chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content, end="")  # noqa: T201  # the example prints

    assert capsys.readouterr().out == "Once upon a time"


async def test_async_streaming(fake: FakeGateway, aportkey: AsyncPortkey) -> None:
    """`async for chunk in await ...create(stream=True)` works as the page writes it."""
    fake.provider("openai").reply("1 2 3")
    said = ""

    async for chunk in await aportkey.chat.completions.create(
        messages=[{"role": "user", "content": "Count to 10"}], model="gpt-4", stream=True
    ):
        if chunk.choices[0].delta.content:
            said += chunk.choices[0].delta.content

    assert said == "1 2 3"


async def test_function_calling(fake: FakeGateway, ask: Ask) -> None:
    """A tool that is offered can be called, and its call reads as the page reads it."""
    fake.provider("openai").reply(tool_call("get_weather", location="San Francisco"))

    response = await ask(
        messages=[{"role": "user", "content": "What's the weather in San Francisco?"}],
        model="gpt-4",
        tools=TOOLS,
        tool_choice="auto",
    )

    assert response.choices[0].message.tool_calls
    call = response.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"location":"San Francisco"}')
    assert fake.last.route.attempts[0].request.body["tool_choice"] == "auto"


async def test_json_response_format(fake: FakeGateway, ask: Ask) -> None:
    """`response_format` reaches the provider."""
    fake.provider("openai").reply('{"colors": ["red", "green", "blue"]}')

    response = await ask(
        messages=[{"role": "user", "content": "List 3 colors in JSON format"}],
        model="gpt-4",
        response_format={"type": "json_object"},
    )

    assert response.choices[0].message.content == '{"colors": ["red", "green", "blue"]}'
    assert fake.last.route.attempts[0].request.body["response_format"] == {"type": "json_object"}


async def test_seed(fake: FakeGateway, ask: Ask) -> None:
    """A seed and a temperature of 0 are sent as they are."""
    fake.provider("openai").reply("7")

    await ask(
        messages=[{"role": "user", "content": "Generate a random number"}], model="gpt-4", seed=12345, temperature=0
    )

    sent = fake.last.route.attempts[0].request.body
    assert (sent["seed"], sent["temperature"]) == (12345, 0)


async def test_message_structure(fake: FakeGateway, ask: Ask) -> None:
    """Names, tool calls and tool results are messages like any other."""
    fake.when(tool_result={"get_weather": "21"}).reply("21 degrees.")
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"location":"Oslo"}'}}

    response = await ask(
        messages=[
            {"role": "user", "content": "Weather?", "name": "ada"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "21"},
        ],
        model="gpt-4",
        tools=TOOLS,
    )

    assert response.choices[0].message.content == "21 degrees."
    assert fake.last.tool_exchanges[0].name == "get_weather"


async def test_multimodal_content(fake: FakeGateway, ask: Ask) -> None:
    """Text and image parts reach the provider as they are."""
    fake.provider("openai").reply("A cat.")
    parts = [
        {"type": "text", "text": "What's in this image?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/image.jpg", "detail": "high"}},
    ]

    response = await ask(messages=[{"role": "user", "content": parts}], model="gpt-4")

    assert response.choices[0].message.content == "A cat."
    assert fake.last.route.attempts[0].request.body["messages"][0]["content"] == parts


async def test_openai_parameters(fake: FakeGateway, ask: Ask) -> None:
    """Logprobs go through, and the integer keys of `logit_bias` become the text that JSON has."""
    fake.provider("openai").reply("Yes")

    await ask(
        messages=[{"role": "user", "content": "Yes or no?"}],
        model="gpt-4",
        logprobs=True,
        top_logprobs=3,
        logit_bias={50256: -100},
    )

    sent = fake.last.route.attempts[0].request.body
    assert (sent["logprobs"], sent["top_logprobs"], sent["logit_bias"]) == (True, 3, {"50256": -100})


async def test_anthropic_parameters(fake: FakeGateway, ask: Ask) -> None:
    """`anthropic_version` as a keyword goes into the body; with a key of OpenAI the model is one OpenAI does not have.

    The page shows this example with its OpenAI client; a real OpenAI answers 404.
    """
    fake.allow("refused_requests")

    with pytest.raises(NotFoundError, match="claude-3-sonnet-20240229"):
        await ask(
            messages=[{"role": "user", "content": "Hi"}],
            model="claude-3-sonnet-20240229",
            max_tokens=1000,
            anthropic_version="2023-06-01",
        )
    assert fake.last.request.body["anthropic_version"] == "2023-06-01"


def test_anthropic_parameters_at_anthropic(fake: FakeGateway) -> None:
    """The same example with an Anthropic key works, and the version becomes Anthropic's header."""
    fake.virtual_key("ANTHROPIC_KEY", provider="anthropic")
    fake.provider("anthropic").reply("Hello")

    with Portkey(api_key="PORTKEY_API_KEY", virtual_key="ANTHROPIC_KEY") as portkey:
        response = portkey.chat.completions.create(
            messages=[{"role": "user", "content": "Hi"}],
            model="claude-3-sonnet-20240229",
            max_tokens=1000,
            anthropic_version="2023-06-01",
        )

    assert response.choices[0].message.content == "Hello"
    assert fake.last.route.attempts[0].request.headers["anthropic-version"] == "2023-06-01"


FALLBACK = {
    "strategy": {"mode": "fallback"},
    "targets": [
        {"provider": "openai", "api_key": "OPENAI_KEY"},
        {"provider": "anthropic", "api_key": "ANTHROPIC_KEY"},
    ],
}


def test_fallback_config(fake: FakeGateway) -> None:
    """The page's fallback answers from OpenAI."""
    fake.provider("openai").reply("Hello")

    with Portkey(api_key="PORTKEY_API_KEY", config=FALLBACK) as portkey:
        response = portkey.chat.completions.create(messages=[{"role": "user", "content": "Hi"}], model="gpt-4")

    assert response.choices[0].message.content == "Hello"
    assert response.gateway.target == "config.targets[0]"


def test_fallback_config_that_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's fallback does not work once OpenAI fails: Anthropic knows no `gpt-4` and insists on `max_tokens`."""
    monkeypatch.delenv("PORTKEY_PROXY", raising=False)
    fake = FakeGateway()
    fake.provider("openai").reply(error("rate_limited"))

    with pytest.raises(RefusedRequest, match="max_tokens"), fake.mount():
        _fail_over()


def _fail_over() -> None:
    with Portkey(api_key="PORTKEY_API_KEY", config=FALLBACK) as portkey, pytest.raises(BadRequestError):
        portkey.chat.completions.create(messages=[{"role": "user", "content": "Hi"}], model="gpt-4")


def test_load_balanced_config(fake: FakeGateway) -> None:
    """Weights of 0.7 and 0.3 share the calls like that."""
    fake.provider("openai").always("from openai")
    fake.provider("anthropic").always("from anthropic")
    fake.allow("refused_requests")
    config = {
        "strategy": {"mode": "loadbalance"},
        "targets": [
            {"provider": "openai", "api_key": "OPENAI_KEY", "weight": 0.7},
            {"provider": "anthropic", "api_key": "ANTHROPIC_KEY", "weight": 0.3},
        ],
    }
    served = {"openai": 0, "anthropic": 0}

    with Portkey(api_key="PORTKEY_API_KEY", config=config) as portkey:
        for _ in range(100):
            try:
                portkey.chat.completions.create(messages=[{"role": "user", "content": "Hi"}], model="gpt-4")
            except BadRequestError:
                # A real Anthropic refuses the page's request: no max_tokens, and a model it does not have.
                assert fake.last.route.providers == ["anthropic"]
            served[fake.last.route.providers[-1]] += 1

    assert 60 <= served["openai"] <= 80
    assert served["openai"] + served["anthropic"] == 100


async def test_metadata_in_the_call(fake: FakeGateway, ask: Ask) -> None:
    """`metadata` of a call goes into its body.

    OpenAI takes it beside `store` only, and refuses it otherwise, so the test stores the completion.
    """
    fake.provider("openai").reply("Hello")
    metadata = {"user_id": "user123", "session_id": "session456", "environment": "production"}

    await ask(messages=[{"role": "user", "content": "Hi"}], model="gpt-4", metadata=metadata, store=True)

    assert fake.last.route.attempts[0].request.body["metadata"] == metadata


async def test_the_default_model(fake: FakeGateway, ask: Ask) -> None:
    """A call without a model asks for `portkey-default`, and says so on the wire."""
    fake.allow("refused_requests")
    fake.provider("openai").reply("Hello")
    fake.allow("unused_replies")

    # OpenAI has no such model; the hosted gateway replaces it where a config names a default.
    with contextlib.suppress(NotFoundError):
        await ask(messages=[{"role": "user", "content": "Hi"}])
    assert fake.last.request.body["model"] == "portkey-default"


def test_the_named_parameters_of_create() -> None:
    """`create` names the page's parameters, keyword-only, with its defaults, for both clients."""
    optional = (
        "stream", "temperature", "max_tokens", "top_p", "audio", "max_completion_tokens", "metadata", "modalities",
        "prediction", "reasoning_effort", "store",
    )  # fmt: skip
    for cls in (portkey_client.Completions, portkey_client.AsyncCompletions):
        parameters = inspect.signature(cls.create).parameters
        assert parameters["messages"].default is inspect.Parameter.empty
        for name in optional:
            assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY, name
        assert parameters["model"].default == "portkey-default"
        assert any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        ("Completions", ("create",)),
        ("AsyncCompletions", ("create",)),
        ("ChatCompletionsMessages", ("create", "list", "retrieve", "update", "delete")),
        ("AsyncChatCompletionsMessages", ("create", "list", "retrieve", "update", "delete")),
    ],
)
def test_the_class_names_of_the_page(owner: str, names: Iterable[str]) -> None:
    """The page's classes exist, with its methods, and the async ones are coroutines."""
    cls = getattr(portkey_client, owner)
    for name in names:
        method = getattr(cls, name)
        assert inspect.iscoroutinefunction(method) == owner.startswith("Async"), name


async def test_the_resources_are_where_the_page_has_them(portkey: Portkey, aportkey: AsyncPortkey) -> None:
    """`chat.completions.messages` hangs together as the page declares it."""
    assert isinstance(portkey.chat, portkey_client.ChatCompletion)
    assert isinstance(portkey.chat.completions, portkey_client.Completions)
    assert isinstance(portkey.chat.completions.messages, portkey_client.ChatCompletionsMessages)
    assert isinstance(aportkey.chat, portkey_client.AsyncChatCompletion)
    assert isinstance(aportkey.chat.completions, portkey_client.AsyncCompletions)
    assert isinstance(aportkey.chat.completions.messages, portkey_client.AsyncChatCompletionsMessages)


async def test_answers_are_of_the_page_s_classes(fake: FakeGateway, ask: Ask, portkey: Portkey) -> None:
    """`create` returns `ChatCompletions`, and its stream yields `ChatCompletionChunk`."""
    fake.provider("openai").reply("one", text("two"))

    answer = await ask(messages=[{"role": "user", "content": "Hi"}], model="gpt-4")
    chunks = list(
        portkey.chat.completions.create(messages=[{"role": "user", "content": "Hi"}], model="gpt-4", stream=True)
    )

    assert type(answer) is ChatCompletions
    assert {type(chunk) for chunk in chunks} == {ChatCompletionChunk}


async def test_messages_may_be_any_iterable(fake: FakeGateway, ask: Ask) -> None:
    """The page declares `Iterable[dict]`, so a generator will do."""
    fake.provider("openai").reply("Hello")

    def conversation() -> Iterator[Mapping[str, str]]:
        yield {"role": "user", "content": "Hi"}

    await ask(messages=conversation(), model="gpt-4")

    assert fake.last.request.messages == [{"role": "user", "content": "Hi"}]
