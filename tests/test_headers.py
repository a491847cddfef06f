"""Options and the headers they become: the rules observed of portkey-ai 2.3.4, byte for byte."""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

import httpx
import pytest

from portkey_client import ConfigurationError, GatewayInfo, Portkey, create_headers, createHeaders
from portkey_client.headers import HEADER_OPTIONS, HeaderOptions
from tests.client_support import MESSAGES, completion


def test_the_typed_keywords_are_the_table() -> None:
    """What a type checker accepts is what the table says, in its order."""
    assert set(HEADER_OPTIONS) == set(HeaderOptions.__annotations__)


SAMPLES: dict[str, tuple[Any, str]] = {
    "text": ("v", "v"),
    "flag": (True, "true"),
    "json": ({"n": "é"}, '{"n": "\\u00e9"}'),
    "list": (["X_Foo", "x-bar"], "X_Foo,x-bar"),
    "milliseconds": (5000, "5000"),
}


@pytest.mark.parametrize("keyword", [keyword for keyword in HEADER_OPTIONS if keyword != "Authorization"])
def test_every_option_becomes_its_header(keyword: str) -> None:
    """`x-portkey-` and the keyword with hyphens; the value by its kind."""
    value, text = SAMPLES[HEADER_OPTIONS[keyword].kind]

    assert {"x-portkey-" + keyword.replace("_", "-"): text} == create_headers(**{keyword: value})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"debug": False}, {"x-portkey-debug": "false"}),
        ({"metadata": {}}, {"x-portkey-metadata": "{}"}),
        ({"metadata": '{"a":1}'}, {"x-portkey-metadata": '{"a":1}'}),
        ({"config": {"a": [1, 2], "b": {"c": None}}}, {"x-portkey-config": '{"a": [1, 2], "b": {"c": null}}'}),
        ({"config": "pc-saved-1"}, {"x-portkey-config": "pc-saved-1"}),
        ({"provider": "@my-slug"}, {"x-portkey-provider": "@my-slug"}),
        ({"trace_id": None, "virtual_key": "", "request_timeout": 0, "forward_headers": []}, {}),
        ({"some_kw": "sv", "n": 5}, {"x-portkey-some-kw": "sv", "x-portkey-n": "5"}),
        ({"some_list": ["a", "b"]}, {"x-portkey-some-list": "['a', 'b']"}),
        ({"Authorization": "key"}, {"Authorization": "Bearer key"}),
        ({"authorization": "Bearer key"}, {"authorization": "Bearer key"}),
        ({"trace_id": UUID(int=7)}, {"x-portkey-trace-id": "00000000-0000-0000-0000-000000000007"}),
        (
            {"trace_id": 7, "debug": "true", "request_timeout": "5000"},
            {
                "x-portkey-trace-id": "7",
                "x-portkey-debug": "true",
                "x-portkey-request-timeout": "5000",
            },
        ),
        ({"mode": "openai"}, {"x-portkey-mode": "proxy openai"}),
        (
            {"forward_headers": ["X_Foo", "x-bar"], "X_Foo": "foo", "x_bar": "bar", "X_BAR": "no"},
            {"x-portkey-forward-headers": "X_Foo,x-bar", "X-Foo": "foo", "x-bar": "bar", "x-portkey-X-BAR": "no"},
        ),
    ],
)
def test_values_become_text_by_the_rules(options: dict[str, Any], expected: dict[str, str]) -> None:
    """Bools in lower case, mappings as ASCII JSON with blanks, falsy values left out, unknown keywords alike."""
    assert expected == create_headers(**options)


@pytest.mark.parametrize(
    ("option", "value"),
    [("calculate_audio_duration", True), ("webhook_secret", "whsec"), ("websocket_base_url", "wss://gateway")],
)
def test_options_for_what_is_not_here_are_taken_and_sent_nowhere(option: str, value: Any) -> None:
    """portkey_ai's constructor declares them, so programs pass them; above all a secret is no header."""
    client = Portkey(api_key="PK", **{option: value})

    assert value == getattr(client.copy(trace_id="t"), option)
    assert Portkey(api_key="PK").headers == client.headers


def test_instrumentation_is_said_to_have_no_effect() -> None:
    """Whoever asks for spans hears, at the line of the constructor, that there will be none."""
    with pytest.warns(UserWarning, match="instrumentation= has no effect") as caught:
        Portkey(api_key="PK", instrumentation=True)

    assert __file__ == caught[0].filename


def test_both_names_are_one_function() -> None:
    """`createHeaders` is what portkey_ai calls it."""
    assert createHeaders is create_headers


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trace_id": "é"}, ["trace_id=", "x-portkey-trace-id", "ASCII", "'é'"]),
        ({"trace_id": "a\r\nX: y"}, ["trace_id=", "'\\r'"]),
        ({"trace_id": ["t"]}, ["trace_id=", "a str", "list"]),
        ({"trace_id": object()}, ["trace_id=", "a str", "object"]),
        ({"api_key": b"123"}, ["api_key=", "a str", "bytes", "not shown"]),
        ({"debug": 0.5}, ["debug=", "a bool", "float", "0.5"]),
        ({"metadata": ["a"]}, ["metadata=", "a mapping or a str", "list"]),
        ({"metadata": {"a": object()}}, ["metadata=", "JSON", "object"]),
        ({"metadata": {"a": float("nan")}}, ["metadata=", "JSON"]),
        ({"request_timeout": [1]}, ["request_timeout=", "an int, in milliseconds", "list"]),
        ({"request_timeout": True}, ["request_timeout=", "bool"]),
        ({"forward_headers": "X-Foo"}, ["forward_headers=", "a list of str", "str"]),
        ({"forward_headers": [1]}, ["forward_headers=", "a list of str"]),
    ],
)
def test_a_value_no_header_can_carry_is_refused(options: dict[str, Any], words: list[str]) -> None:
    """The error names the keyword, what was expected and what came, before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        create_headers(**options)

    assert [] == [word for word in words if word not in str(caught.value)]


def test_the_client_says_who_it_is_and_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what was asked for and the facts about the client: no invented Authorization, nothing of OpenAI's."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-leak")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-leak")

    headers = Portkey(api_key="PK", trace_id="t").headers

    version = ".".join(map(str, sys.version_info[:3]))
    assert "CPython" == headers.pop("x-portkey-runtime")
    assert version == headers.pop("x-portkey-runtime-version")
    assert headers.pop("user-agent").startswith("portkey-client/")
    assert headers.pop("x-portkey-package-version").startswith("portkey-client-")
    assert {
        "accept": "application/json",
        "accept-encoding": "gzip",
        "content-type": "application/json",
        "x-portkey-api-key": "PK",
        "x-portkey-strict-open-ai-compliance": "false",
        "x-portkey-trace-id": "t",
    } == headers


def test_headers_of_the_users_http_client_are_those_of_the_moment() -> None:
    """They may change between calls; the gateway's own win where both name one, in any case of the letters."""
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json=completion())

    http = httpx.Client(transport=httpx.MockTransport(answer), headers={"X-Team": "one", "X-PORTKEY-trace-id": "no"})
    client = Portkey(api_key="PK", trace_id="t", http_client=http)
    client.chat.completions.create(messages=MESSAGES)
    http.headers["X-Team"] = "two"
    client.chat.completions.create(messages=MESSAGES, extra_headers={"x-call": "2"})
    client.chat.completions.create(messages=MESSAGES, extra_headers={"x-team": "three"})

    assert ["one", "two", "three"] == [headers["x-team"] for headers in seen]
    assert [["t"]] * 3 == [headers.get_list("x-portkey-trace-id") for headers in seen]
    assert [None, "2", None] == [headers.get("x-call") for headers in seen]
    assert {seen[0]["content-length"]} == {headers["content-length"] for headers in seen}


def test_what_the_options_became_can_be_read() -> None:
    """Programs written for portkey_ai hand these to other clients."""
    client = Portkey(api_key="PK", trace_id="t", Authorization="k")

    assert {
        "x-portkey-api-key": "PK",
        "x-portkey-strict-open-ai-compliance": "false",
        "x-portkey-trace-id": "t",
        "Authorization": "Bearer k",
    } == client.custom_headers
    assert client.headers == client.allHeaders


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, GatewayInfo()),
        ({"x-portkey-trace-id": ""}, GatewayInfo()),
        ({"x-portkey-retry-attempt-count": "-1"}, GatewayInfo(retry_attempts=-1)),
        ({"x-portkey-retry-attempt-count": "many"}, GatewayInfo()),
        ({"x-portkey-cache-status": "HIT", "x-portkey-trace-id": "t"}, GatewayInfo(trace_id="t", cache_status="HIT")),
    ],
)
def test_gateway_facts_are_read_from_response_headers(headers: dict[str, str], expected: GatewayInfo) -> None:
    """An empty or odd header is no fact."""
    assert expected == GatewayInfo.from_headers(headers)


def test_known_facts_read_as_one_line() -> None:
    """For error texts: only what is known, in words."""
    info = GatewayInfo("t-1", "openai", "config.targets[0]", 2, "MISS")

    assert "provider openai, target config.targets[0], gateway retries 2, trace id t-1" == str(info)
