"""Options and the headers they become: the rules observed of portkey-ai 2.3.4, byte for byte."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from portkey_client import ConfigurationError, GatewayInfo, Portkey, create_headers, createHeaders
from portkey_client.headers import HEADER_OPTIONS, HeaderOptions


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
        ({"authorization": "Bearer key"}, {"Authorization": "Bearer key"}),
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


def test_both_names_are_one_function() -> None:
    """`createHeaders` is what portkey_ai calls it."""
    assert createHeaders is create_headers


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trace_id": "é"}, ["trace_id=", "x-portkey-trace-id", "ASCII", "'é'"]),
        ({"trace_id": "a\r\nX: y"}, ["trace_id=", "'\\r'"]),
        ({"trace_id": 3}, ["trace_id=", "a str", "int"]),
        ({"api_key": 123}, ["api_key=", "a str", "int", "not shown"]),
        ({"debug": "yes"}, ["debug=", "a bool", "str", "'yes'"]),
        ({"metadata": ["a"]}, ["metadata=", "a mapping or a str", "list"]),
        ({"metadata": {"a": object()}}, ["metadata=", "JSON", "object"]),
        ({"metadata": {"a": float("nan")}}, ["metadata=", "JSON"]),
        ({"request_timeout": 1.5}, ["request_timeout=", "an int, in milliseconds", "float"]),
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
