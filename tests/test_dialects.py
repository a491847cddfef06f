"""What each provider is sent, and what the gateway makes of its answers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from portkey_testing import DishonestReply, FakeGateway, native, status
from portkey_testing.journal import UpstreamRequest
from tests.fake_support import SYNC, Answer, body

GATEWAY = "https://api.portkey.ai"


def _target(provider: str, **options: Any) -> dict[str, Any]:
    return {"provider": provider, "api_key": "K", **options}


def _ask(provider: str, said: Any = "hi", *, options: Any = None, **fields: Any) -> tuple[Answer, UpstreamRequest]:
    """The answer to a chat completion, and what the provider was sent for it."""
    fake = FakeGateway(edition="open-source")
    fake.allow("refused_requests")
    fake.always(said)
    answer = SYNC.ask(fake, body(**fields), config=_target(provider, custom_host="http://localhost", **(options or {})))
    return answer, fake.last.route.attempts[0].request


def _call(
    method: str, path: str, said: Any, *, provider: str = "openai", edition: Any = "open-source", **more: Any
) -> tuple[httpx.Response, FakeGateway]:
    """Any request."""
    fake = FakeGateway(edition=edition)
    fake.always(said)
    given = {"x-portkey-config": json.dumps(_target(provider)), **more.pop("headers", {})}
    with httpx.Client(transport=fake.transport(), base_url=GATEWAY) as client:
        return client.request(method, path, headers=given, **more), fake


@pytest.mark.parametrize(
    ("provider", "fields", "sent"),
    [
        ("openai", {"temperature": 3, "top_p": -1, "unknown": 1}, {"temperature": 2, "top_p": 0}),
        ("openai", {"presence_penalty": -9, "max_tokens": -1}, {"presence_penalty": -2, "max_tokens": 0}),
        ("openai", {"model": "portkey-default"}, {"model": "glm-4.6"}),
        ("openai", {"messages": [{"role": "developer"}]}, {"messages": [{"role": "developer"}]}),
        ("groq", {"logprobs": True, "messages": [{"role": "developer"}]}, {"messages": [{"role": "system"}]}),
        (
            "mistral-ai",
            {"seed": 1, "safe_mode": True, "model": "mistralai.x"},
            {"random_seed": 1, "safe_prompt": True, "model": "x"},
        ),
        (
            "mistral-ai",
            {"tool_choice": "required", "max_completion_tokens": 0},
            {"tool_choice": "any", "max_tokens": 1},
        ),
        (
            "openrouter",
            {"reasoning_effort": "low", "usage": {"a": 1}},
            {"reasoning": {"effort": "low"}, "usage": {"a": 1}},
        ),
        ("openrouter", {"stream_options": {"include_usage": True}}, {"usage": {"include": True}}),
        ("deepseek", {"top_logprobs": 99, "seed": 1}, {"top_logprobs": 20}),
        ("together-ai", {"frequency_penalty": 1, "top_k": 2}, {"max_tokens": 128, "repetition_penalty": 1, "top_k": 2}),
    ],
)
def test_what_providers_like_openai_are_sent(provider: str, fields: dict[str, Any], sent: dict[str, Any]) -> None:
    """Known fields under the provider's own names, within its limits; the others are dropped without a word."""
    _, request = _ask(provider, **fields)

    usual = {"model": "gpt-4o-mini", "messages": body()["messages"]}
    assert {**usual, **sent} == request.body


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"max_completion_tokens": 5, "max_tokens": 9}, {"max_tokens": 5}),
        ({"temperature": 1.5, "top_p": 0.5, "top_k": 3}, {"temperature": 1, "top_p": 0.5, "top_k": 3}),
        ({"stop": "x", "user": "u", "seed": 1}, {"stop_sequences": "x", "metadata": {"user_id": "u"}}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        ({"tool_choice": None}, {"tool_choice": None}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tool_choice": {"type": "tool", "name": "f"}},
        ),
        (
            {"tools": [{"type": "web_search", "web_search": {"name": "v1", "uses": 2}}]},
            {"tools": [{"uses": 2, "name": "web_search", "type": "v1"}]},
        ),
        (
            {"tools": [{"function": {"description": {}}, "cache_control": {}}]},
            {
                "tools": [
                    {
                        "description": {},
                        "input_schema": {"type": "object", "properties": {}, "required": [], "$defs": {}},
                        "cache_control": {"type": "ephemeral"},
                    }
                ]
            },
        ),
        ({"model": "portkey-default"}, {"model": "claude-2.1"}),
    ],
)
def test_what_anthropic_is_sent(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each field under Anthropic's name; what Anthropic does not know is dropped."""
    _, request = _ask("anthropic", messages=[{"role": "user", "content": "hi"}], **fields)

    usual = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "system": []}
    assert {**usual, **sent} == request.body


@pytest.mark.parametrize(
    ("message", "blocks"),
    [
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_audio"}]},
            [{"type": "text", "text": "a"}],
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            [{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}],
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}]},
            [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}}],
        ),
        (
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:application/pdf;base64,QQ=="}}],
            },
            [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="}}],
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "t", "mime_type": "text/plain"}}]},
            [{"type": "document", "source": {"type": "text", "data": "t", "media_type": "text/plain"}}],
        ),
        (
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "x"}}]},
            [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
        ),
        ({"role": "assistant", "content": "a"}, [{"type": "text", "text": "a"}]),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": ""}}],
            },
            [{"type": "tool_use", "name": "f", "id": "c", "input": {}}],
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"arguments": {"a": 1}}}]},
            [{"type": "tool_use", "input": {}}],
        ),
        ({"role": "tool"}, [{"type": "tool_result", "tool_use_id": ""}]),
        (
            {"role": "assistant", "content_blocks": [{"type": "thinking", "thinking": "h"}], "content": "a"},
            [{"type": "thinking", "thinking": "h"}],
        ),
        (
            {"role": "tool", "tool_call_id": "c", "content": "21"},
            [{"type": "tool_result", "tool_use_id": "c", "content": "21"}],
        ),
    ],
)
def test_messages_become_content_blocks(message: dict[str, Any], blocks: list[Any]) -> None:
    """Part by part; what Anthropic has no block for is dropped."""
    _, request = _ask("anthropic", messages=[message], max_tokens=5)

    assert blocks == request.body["messages"][0]["content"]


def test_a_request_that_cannot_be_translated_is_an_exception() -> None:
    """Tool arguments that are no JSON make the gateway fail before it calls anyone."""
    call = {"id": "c", "function": {"name": "f", "arguments": "{"}}
    fake = FakeGateway(edition="open-source")
    fake.always("hi")

    answer = SYNC.ask(fake, body(messages=[{"role": "assistant", "tool_calls": [call]}]), config=_target("anthropic"))

    assert (500, "true") == (answer.status, answer.headers["x-portkey-gateway-exception"])
    assert [] == fake.last.route.attempts


@pytest.mark.parametrize(
    ("provider", "said", "expected"),
    [
        ("openai", [1, 2], {"0": 1, "1": 2}),
        ("openai", "text", {"0": "t", "1": "e", "2": "x", "3": "t"}),
        ("openai", 0, 0),
        ("groq", {"a": 1}, {"a": 1, "provider": "groq"}),
        ("azure-openai", {"a": 1}, {"a": 1, "provider": "azure-openai"}),
        ("deepseek", {"a": 1}, "Invalid response received from deepseek"),
        ("anthropic", {"content": [], "usage": {}, "id": "m"}, "chat.completion"),
        ("anthropic", {"content": "text", "usage": {}}, "Something went wrong"),
        ("anthropic", {"content": []}, "Something went wrong"),
        ("anthropic", 5, "Something went wrong"),
    ],
)
def test_what_the_gateway_makes_of_a_200(provider: str, said: Any, expected: Any) -> None:
    """OpenAI's body passes as an object, others are rebuilt, and what cannot be is a failure."""
    answer, _ = _ask(provider, native(json.dumps(said)))

    if isinstance(expected, str):
        assert expected in answer.text
    else:
        assert expected == answer.json


@pytest.mark.parametrize(
    ("provider", "said", "message"),
    [
        ("openai", {"error": "text"}, "openai error: undefined"),
        ("openai", {"error": {"message": None}}, "openai error: null"),
        ("groq", {"error": {"message": "m", "type": "t"}}, "groq error: m"),
        ("mistral-ai", {"message": "m", "code": "c"}, "mistral-ai error: m"),
        ("mistral-ai", {"error": "m"}, 'Invalid response received from mistral-ai: {"error":"m"}'),
        ("openrouter", {"message": "m"}, "openrouter error: m"),
        ("together-ai", {"error": "m"}, "together-ai error: m"),
        ("together-ai", {"message": "m"}, "together-ai error: m"),
        ("together-ai", {"error": []}, "together-ai error: "),
        ("anthropic", {"error": None}, "anthropic error: undefined"),
        ("anthropic", [], "Invalid response received from anthropic: []"),
    ],
)
def test_errors_are_reworded(provider: str, said: Any, message: str) -> None:
    """With the provider's name in front, or as a whole where the gateway does not know the shape."""
    answer, _ = _ask(provider, native(json.dumps(said), status=400))

    assert (400, message) == (answer.status, answer.json["error"]["message"])
    assert provider == answer.json["provider"]


def test_ollama_needs_no_key_and_answers_under_its_name() -> None:
    """At a path of its own, with the fields it knows, whole or streamed."""
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}], "usage": None}

    whole, request = _ask("ollama", thinking={"type": "disabled"}, max_completion_tokens=-1, logprobs=True)
    stream, _ = _ask("ollama", native(events=[{"data": chunk}, {"data": "[DONE]"}]), stream=True)

    assert ("http://localhost/v1/chat/completions", None) == (request.url, request.headers.get("authorization"))
    assert {"think": False, "max_tokens": 0}.items() <= request.body.items()
    assert "logprobs" not in request.body
    assert "ollama" == whole.json["provider"] == stream.chunks[0]["provider"]
    assert "usage" not in stream.chunks[0]


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ({"error": {"message": "m"}}, 404, "ollama error: m"),
        ({"message": "m"}, 404, 'Invalid response received from ollama: {"message":"m"}'),
        ({}, 200, "Invalid response received from ollama: {}"),
    ],
)
def test_errors_of_ollama_are_reworded(said: Any, code: int, message: str) -> None:
    """What is neither a completion nor an error is one, too."""
    answer, _ = _ask("ollama", native(said, status=code))

    assert (code, message) == (answer.status, answer.json["error"]["message"])


def test_mapping_that_no_recording_proves_is_marked() -> None:
    """The journal says which providers are taken to be like OpenAI."""
    fake = FakeGateway(edition="open-source")
    fake.always("hi")

    SYNC.ask(fake, config=_target("azure-openai"))

    assert not fake.last.route.attempts[0].mapping_recorded
    assert "not recorded: how the real gateway maps azure-openai" in str(fake.last)


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (["data: 1\n\ndata: 2\n\n"], "data: 1\n\ndata: 2\n\n"),
        (["data: 1", "\n", "\n\n\ndata: 2"], "data: 1\n\ndata: 2"),
        (["data: 1\r\n\r\ndata: 2\r\n\r\n"], "data: 1\r\n\r\ndata: 2\r\n\r\n"),
        ([": comment\n\n", "data: {oops\n\n"], ": comment\n\ndata: {oops\n\n"),
        ([], ""),
    ],
)
def test_a_stream_is_split_at_blank_lines(events: list[str], text: str) -> None:
    """However it arrives; empty events are dropped, and the rest comes at the end."""
    answer, _ = _ask("openai", native(events=events), stream=True)

    assert text == answer.text


def test_half_an_event_is_lost_where_a_stream_breaks() -> None:
    """The application sees a clean end after the last whole event."""
    answer, _ = _ask("openai", native(events=["data: 1\n\n", "data: 2", "\n\n"]).cut(chunks=2), stream=True)

    assert ("data: 1\n\n", None) == (answer.text, answer.error)


def test_a_web_page_in_place_of_a_stream_passes() -> None:
    """A 200 to a request for a stream is taken for a stream, whatever it is."""
    answer, _ = _ask("openai", native("<b>hi</b>", content_type="text/html"), stream=True)

    assert ("<b>hi</b>", "text/html") == (answer.text, answer.headers["content-type"])


@pytest.mark.parametrize("content_type", ["application/octet-stream", "audio/mpeg", "image/png"])
def test_bytes_pass_untouched(content_type: str) -> None:
    """The gateway does not read them."""
    answer, _ = _ask("openai", native("bytes", content_type=content_type))

    assert ("bytes", content_type) == (answer.text, answer.headers["content-type"])


def test_groq_streams_are_rebuilt() -> None:
    """Its usage moves to where OpenAI has it."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "queue_time": 1}
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": usage}}

    answer, _ = _ask("groq", native(events=[{"data": chunk}, {"data": "[DONE]"}]), stream=True)

    del usage["queue_time"]
    assert (usage, "groq") == (answer.chunks[0]["usage"], answer.chunks[0]["provider"])
    assert "[DONE]" == answer.events[-1]


@pytest.mark.parametrize(
    ("code", "location", "method", "url", "authorization"),
    [
        (307, "/other", "POST", "https://api.openai.com/other", "Bearer K"),
        (302, "other", "GET", "https://api.openai.com/v1/chat/other", "Bearer K"),
        (308, "https://elsewhere.example/x", "POST", "https://elsewhere.example/x", None),
    ],
)
def test_a_redirect_is_followed(code: int, location: str, method: str, url: str, authorization: str | None) -> None:
    """By the rules of the web: the method may change, and credentials stay with their host."""
    asked: list[UpstreamRequest] = []
    fake = FakeGateway(edition="open-source")

    def reply(attempt: Any) -> Any:
        asked.append(attempt.request)
        return status(code).with_headers({"location": location}) if len(asked) == 1 else "there"

    fake.always(reply)

    assert "there" == SYNC.ask(fake, config=_target("openai")).said
    assert (method, url) == (asked[1].method, asked[1].url)
    assert authorization == asked[1].headers.get("authorization")
    assert (url,) == fake.last.route.attempts[0].redirects


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models"])
def test_a_head_is_answered_without_a_body(path: str) -> None:
    """Whether a provider answers, the gateway itself or nobody."""
    answer, _ = _call("HEAD", path, native({"a": 1}))

    assert b"" == answer.content


def test_a_proxys_call_for_credentials_counts_as_a_broken_connection() -> None:
    """Fetches of the gateway's runtime fail on a 407, so it is retried whatever the codes."""
    answer, _ = _ask("openai", status(407))

    assert (500, "Message: fetch failed Cause: Error Name: TypeError") == (answer.status, answer.json["html-message"])


@pytest.mark.parametrize("location", ["/again", ""])
def test_redirects_that_never_end_are_a_broken_connection(location: str) -> None:
    """After twenty the gateway gives up; no location is where it already is."""
    answer, _ = _ask("openai", status(307).with_headers({"location": location}))

    assert 500 == answer.status
    assert "redirect count exceeded" in answer.json["html-message"]


@pytest.mark.parametrize(
    ("method", "path", "url"),
    [
        ("GET", "/v1/models?limit=2", "https://api.openai.com/v1/models?limit=2"),
        ("DELETE", "/v1/chat/completions/c1", "https://api.openai.com/v1/chat/completions/c1"),
        ("POST", "/v1/proxy/things", "https://api.openai.com/v1/things"),
        ("GET", "/v1/files/f1/content", "https://api.openai.com/v1/files/f1/content"),
        ("GET", "/v1/responses/r1?a=1", "https://api.openai.com/v1/responses/r1?a=1"),
        ("POST", "/v1/batches/b1/cancel", "https://api.openai.com/v1/batches/b1/cancel"),
        ("PUT", "/v1/fine_tuning/jobs/j1", "https://api.openai.com/v1/fine_tuning/jobs/j1"),
    ],
)
def test_other_routes_reach_the_provider(method: str, path: str, url: str) -> None:
    """With their path and query, the same routing, and an answer that scripts give like any other."""
    answer, fake = _call(method, path, native({"done": True}), json={} if method in ("POST", "PUT") else None)

    assert (200, True) == (answer.status_code, answer.json()["done"])
    assert (method, url) == (fake.last.route.attempts[0].request.method, fake.last.route.attempts[0].request.url)


def test_proxied_requests_keep_the_clients_headers() -> None:
    """They win over the target's own key; those of the gateway stay behind."""
    _, fake = _call("POST", "/v1/nope", native({}), json={"a": 1}, headers={"authorization": "Bearer C", "x-foo": "1"})

    sent = fake.last.route.attempts[0].request
    assert ("Bearer C", "1", {"a": 1}) == (sent.headers["authorization"], sent.headers["x-foo"], sent.body)
    assert not [name for name in sent.headers if name.startswith("x-portkey-")]


@pytest.mark.parametrize(
    ("method", "path", "provider", "code", "message"),
    [
        ("POST", "/v1/messages", "openai", 500, "messages is not supported by openai"),
        ("POST", "/v1/embeddings", "anthropic", 500, "embed is not supported by anthropic"),
        ("POST", "/v1/chat/completions", "triton", 500, "chatComplete is not supported by triton"),
        ("POST", "/v1/prompts/p/completions", "openai", 500, "prompt completions error: Something went wrong"),
        ("POST", "/v1/proxy", None, 500, "Provider  not found"),
        ("POST", "/v1/proxy/x", None, 500, "Provider  not found"),
        ("PATCH", "/v1/chat/completions", "openai", 404, "Not Found"),
        ("GET", "/v2/x", "openai", 404, "Not Found"),
        ("GET", "/v1/realtime/x", "openai", 404, "Not Found"),
    ],
)
def test_what_the_gateway_has_no_route_for(
    method: str, path: str, provider: str | None, code: int, message: str
) -> None:
    """It says so in its own ways."""
    fake = FakeGateway(edition="open-source")
    given = {} if provider is None else {"x-portkey-config": json.dumps(_target(provider))}
    with httpx.Client(transport=fake.transport(), base_url=GATEWAY) as client:
        answer = client.request(method, path, headers=given, json={})

    assert (code, message) == (answer.status_code, answer.json()["message"])


def test_broken_json_on_a_proxied_route_is_explained() -> None:
    """In the words of the gateway's runtime."""
    answer, _ = _call("POST", "/v1/nope", native({}), content=b"", headers={"content-type": "application/json"})

    assert (500, "Proxy error: Unexpected end of JSON input") == (answer.status_code, answer.json()["message"])


def test_anthropics_own_route_speaks_anthropic() -> None:
    """A scripted text becomes a message, and fields of OpenAI's are dropped."""
    request = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], "seed": 1}

    answer, fake = _call("POST", "/v1/messages", "hello", provider="anthropic", json=request)

    assert [{"type": "text", "text": "hello"}] == answer.json()["content"]
    assert "seed" not in fake.last.route.attempts[0].request.body


def test_what_a_model_says_is_no_answer_to_other_requests() -> None:
    """The test is told to script the provider's own answer."""
    with pytest.raises(DishonestReply, match=r"with native\(\.\.\.\) or status"):
        _call("POST", "/v1/embeddings", "text", json={"model": "m", "input": "x"})


def test_nothing_is_sent_without_a_content_type() -> None:
    """The gateway reads the body all the same."""
    fake = FakeGateway(edition="open-source")
    fake.always(native({"choices": []}))
    with httpx.Client(transport=fake.transport(), base_url=GATEWAY) as client:
        request = client.build_request(
            "POST",
            "/v1/chat/completions",
            content=json.dumps(body()).encode(),
            headers={"x-portkey-config": json.dumps(_target("openai"))},
        )
        client.send(request)

    assert None is fake.last.route.attempts[0].request.body


@pytest.mark.parametrize(("code", "exception"), [(400, False), (503, False), (206, False), (200, True), (205, True)])
def test_an_answer_without_a_body(code: int, *, exception: bool) -> None:
    """One the gateway puts together anew is a text and passes; a 200 is no JSON and fails."""
    answer, _ = _ask("openai", status(code, ""))

    assert exception is ("x-portkey-gateway-exception" in answer.headers)
    assert (500 if exception else code) == answer.status
    if not exception:
        assert {"html-message": ""} == answer.json


def test_a_known_endpoint_that_a_provider_lacks() -> None:
    """Without a body to translate the gateway calls the bare host."""
    answer, fake = _call("GET", "/v1/files/f1", native({"a": 1}), provider="anthropic")

    assert (200, {"a": 1}) == (answer.status_code, answer.json())
    assert "https://api.anthropic.com/v1" == fake.last.route.attempts[0].request.url


@pytest.mark.parametrize(
    ("path", "said", "answered"),
    [
        (
            "/v1/embeddings",
            {"object": "list", "data": [{"embedding": [0.5], "more": 1}], "model": "m", "usage": {"total_tokens": 9}},
            {
                "object": "list",
                "data": [{"embedding": [0.5]}],
                "model": "m",
                "usage": {"prompt_tokens": 0, "total_tokens": 0},
                "provider": "together-ai",
            },
        ),
        (
            "/v1/completions",
            {"id": "c", "choices": [{"text": "x", "more": 1}]},
            {
                "id": "c",
                "provider": "together-ai",
                "choices": [{"text": "x", "index": 0, "logprobs": None}],
                "usage": {},
            },
        ),
        (
            "/v1/completions",
            {"a": 1},
            {
                "error": {
                    "message": 'Invalid response received from together-ai: {"a":1}',
                    "type": None,
                    "param": None,
                    "code": None,
                },
                "provider": "together-ai",
            },
        ),
    ],
)
def test_other_interfaces_that_the_gateway_rebuilds(path: str, said: Any, answered: Any) -> None:
    """What it does not know is left out."""
    answer, _ = _call("POST", path, native(said), provider="together-ai", json={"input": "x", "prompt": "x"})

    assert answered == answer.json()


def test_openrouters_word_for_waiting_is_an_empty_chunk() -> None:
    """A comment to everybody else; its id is the time in milliseconds, and so is its time."""
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
    events = [": OPENROUTER PROCESSING\n\n", f"data: {json.dumps(chunk)}\n\n"]

    answer, _ = _ask("openrouter", native(events=events), stream=True)

    first, second = (json.loads(event) for event in answer.events)
    assert ({"role": "assistant", "content": ""}, "hi") == (
        first["choices"][0]["delta"],
        second["choices"][0]["delta"]["content"],
    )
    assert (str(first["created"]), "gpt-4o-mini") == (first["id"], first["model"])


def test_a_provider_the_gateway_only_lists() -> None:
    """It lets a config name it, and does not find it."""
    answer, _ = _call("POST", "/v1/embeddings", native({}), provider="portkey", json={"input": "x"})

    assert (500, "Provider portkey not found") == (answer.status_code, answer.json()["message"])


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/images/edits", "/v1/uploads"])
def test_a_form_that_is_none(path: str) -> None:
    """The gateway fails on it before it asks anybody."""
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer, fake = _call("POST", path, native({}), content=b"--b\r\n", headers=headers)

    assert (500, []) == (answer.status_code, fake.last.route.attempts)


@pytest.mark.parametrize(
    ("provider", "path", "message"),
    [
        ("openai", "/v1/audio/translations", "openai error: m"),
        ("openai", "/v1/images/edits", "m"),
        ("groq", "/v1/audio/translations", "m"),
    ],
)
def test_errors_of_interfaces_that_take_forms(provider: str, path: str, message: str) -> None:
    """Reworded for some, passed on as they are for others."""
    form = {"file": ("a.mp3", b"sound", "audio/mpeg")}
    answer, fake = _call("POST", path, native({"error": {"message": "m"}}, status=400), provider=provider, files=form)

    assert message == answer.json()["error"]["message"]
    sent = fake.last.route.attempts[0].request.headers["content-type"]
    assert sent.startswith("multipart/form-data; boundary=")


def test_speech_of_groq_names_the_provider_and_nothing_else() -> None:
    """Its errors are not reworded."""
    answer, _ = _call(
        "POST", "/v1/audio/speech", native({"error": {"message": "m"}}, status=400), provider="groq", json={}
    )

    assert {"error": {"message": "m"}, "provider": "groq"} == answer.json()


def test_the_purpose_of_a_file_reaches_the_provider() -> None:
    """It is the one header of the gateway's own that does."""
    headers = {"x-portkey-file-purpose": "batch"}
    _, fake = _call("POST", "/v1/files", native({}), files={"file": ("a", b"x")}, headers=headers)

    assert "batch" == fake.last.route.attempts[0].request.headers["x-portkey-file-purpose"]


def test_the_old_interface_of_anthropic() -> None:
    """Completions reach it as text in turns, and come back in OpenAI's shape."""
    said = native({"log_id": "c1", "model": "claude-2", "completion": "hi", "stop_reason": "max_tokens"})
    asked = {"model": "claude-2", "prompt": "x", "max_tokens": 3, "stop": None, "user": "u"}
    answer, fake = _call("POST", "/v1/completions", said, provider="anthropic", json=asked)

    request = fake.last.route.attempts[0].request
    assert "https://api.anthropic.com/v1/complete" == request.url
    assert {
        "model": "claude-2",
        "prompt": "\n\nHuman: x\n\nAssistant:",
        "max_tokens_to_sample": 3,
        "stop_sequences": [],
        "metadata": {"user_id": "u"},
    } == request.body
    choice = {"text": "hi", "index": 0, "logprobs": None, "finish_reason": "length"}
    assert {"id": "c1", "object": "text_completion", "choices": [choice]} == {
        name: answer.json()[name] for name in ("id", "object", "choices")
    }
