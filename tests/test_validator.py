"""Which requests the gateway refuses, and in which words."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from portkey_testing import FakeGateway
from portkey_testing._custom_hosts import valid_custom_host
from portkey_testing._known_providers import known_providers
from portkey_testing._validator import INCOMPLETE, MODES
from tests.fake_support import URL, body

KEY = {"provider": "openai", "api_key": "K"}


def _refused(headers: dict[str, str], content_type: str = "application/json") -> dict[str, Any]:
    fake = FakeGateway(edition="open-source")
    fake.always("hi")
    with httpx.Client(transport=fake.transport()) as client:
        answer = client.post(URL, json=body(), headers={"content-type": content_type, **headers})
    assert 400 == answer.status_code
    assert [] == fake.last.route.attempts
    said: dict[str, Any] = answer.json()
    return said


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "Either x-portkey-config or x-portkey-provider header is required"),
        ({"x-portkey-provider": "OpenAI"}, "Invalid provider passed"),
        ({"x-portkey-provider": "@openai-prod"}, "Invalid provider passed"),
        ({"x-portkey-provider": "openai", "x-portkey-custom-host": "http://10.0.0.1"}, "Invalid custom host"),
        ({"x-portkey-config": "pc-saved-1"}, "Invalid config passed. You need to pass a valid json"),
        ({"x-portkey-config": "null"}, "Invalid config passed. You need to pass a valid json"),
        ({"x-portkey-config": '{"a": NaN}'}, "Invalid config passed. You need to pass a valid json"),
    ],
)
def test_what_is_refused_at_once(headers: dict[str, str], message: str) -> None:
    """Providers, hosts and configs are checked before anything is routed."""
    assert {"status": "failure", "message": message} == _refused(headers)


@pytest.mark.parametrize("content_type", ["text/plain", "Application/JSON", "application/jsonl", "application/json ;a"])
def test_other_content_types_are_refused(content_type: str) -> None:
    """The gateway compares the content type to the letter."""
    said = _refused({"x-portkey-provider": "openai"}, content_type)

    assert "Invalid content type passed" == said["message"]


@pytest.mark.parametrize("config", ["{}", "[]", '"text"', "5", '{"targets": ""}', '{"mode": "fallback"}'])
def test_a_config_without_a_provider_needs_the_header(config: str) -> None:
    """So does anything that is no object."""
    said = _refused({"x-portkey-config": config})

    assert said["message"].startswith("Either x-portkey-provider needs to be passed.")


@pytest.mark.parametrize(
    ("config", "errors"),
    [
        ({"provider": "openai"}, [f"path: , message: {INCOMPLETE}"]),
        ({"provider": "openai", "request_timeout": 0}, [f"path: , message: {INCOMPLETE}"]),
        ({**KEY, "weight": "1"}, ["path: weight, message: Expected number, received string"]),
        ({**KEY, "retry": {}}, ["path: retry,attempts, message: Required"]),
        ({**KEY, "retry": None}, ["path: retry, message: Expected object, received null"]),
        (
            {**KEY, "retry": {"attempts": 1, "use_retry_after_header": "yes"}},
            ["path: retry,use_retry_after_header, message: Expected boolean, received string"],
        ),
        ({**KEY, "cache": {"mode": True}}, ["path: cache,mode, message: Expected string, received boolean"]),
        (
            {**KEY, "cache": {"mode": "exact"}},
            ["path: cache,mode, message: Invalid 'cache.mode' value. Must be one of: simple, semantic"],
        ),
        (
            {**KEY, "strategy": {"mode": "random", "on_status_codes": ["429"], "default": 1}},
            [
                f"path: strategy,mode, message: Invalid 'mode' value. Must be one of: {', '.join(MODES)}",
                "path: strategy,on_status_codes,0, message: Expected number, received string",
                "path: strategy,default, message: Expected string, received number",
            ],
        ),
        (
            {"strategy": {"mode": "conditional", "conditions": [{"query": []}]}, "targets": []},
            [
                "path: strategy,conditions,0,query, message: Expected object, received array",
                "path: strategy,conditions,0,then, message: Required",
            ],
        ),
        (
            {"strategy": {"mode": "single"}, "targets": [{"virtual_key": "v"}, {**KEY, "weight": []}]},
            [
                f"path: targets,0, message: {INCOMPLETE}",
                "path: targets,1,weight, message: Expected number, received array",
            ],
        ),
        ({**KEY, "input_guardrails": [1]}, ["path: input_guardrails, message: Invalid input"]),
        ({**KEY, "input_guardrails": ["a", {}]}, ["path: input_guardrails, message: Invalid input"]),
        (
            {**KEY, "before_request_hooks": ["a"]},
            ["path: before_request_hooks,0, message: Expected object, received string"],
        ),
        ({**KEY, "custom_host": "http://a.internal"}, ["path: , message: Invalid custom host"]),
        ({**KEY, "aws_region": 1}, ["path: aws_region, message: Expected string, received number"]),
    ],
    ids=json.dumps,
)
def test_the_schema_says_what_is_wrong_where(config: dict[str, Any], errors: list[str]) -> None:
    """Every problem is listed, those of whole objects only where no type in them is wrong."""
    said = _refused({"x-portkey-config": json.dumps(config)})

    assert {"status": "failure", "message": "Invalid config passed", "errors": errors} == said


def test_an_unknown_provider_is_told_the_known_ones() -> None:
    """The message lists them in the gateway's own order."""
    (error,) = _refused({"x-portkey-config": json.dumps({**KEY, "provider": "acme"})})["errors"]

    assert error.endswith(", ".join(known_providers()))


def test_the_old_form_of_a_config_is_refused() -> None:
    """`options` belongs to a version that the route no longer takes."""
    said = _refused({"x-portkey-config": json.dumps({**KEY, "options": [{}]})})

    assert said["message"].startswith("This version of config is not supported in this route.")


def test_a_config_that_is_no_object_fails_the_schema_where_a_header_names_the_provider() -> None:
    """Then the config need not hold a provider, and what it is comes to light."""
    said = _refused({"x-portkey-provider": "openai", "x-portkey-config": "null"})

    assert ["path: , message: Expected object, received null"] == said["errors"]


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "http://localhost:8787/v1",
        "https://a.localhost/v1",
        "http://127.0.0.1/",
        "http://127.1",
        "http://2130706433",
        "http://host.docker.internal:1",
        "https://api.example.com/v1?x=1",
        "http://exämple.com",
        "http://%6cocalhost",
        "HTTPS://API.EXAMPLE.COM",
        "http://8.8.8.8",
    ],
)
def test_hosts_that_may_be_called(url: str) -> None:
    """Public hosts and this machine, in any notation a URL parser reads."""
    assert valid_custom_host(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "ftp://localhost",
        "http://",
        "http://user@localhost",
        "http://localhost/@",
        "http://127.0.0.2",
        "http://10.1",
        "http://0xA000001",
        "http://192.168.1.1",
        "http://100.64.0.1",
        "http://169.254.169.254",
        "http://224.0.0.1",
        "http://256.1.1.1",
        "http://1.2.3.4.5",
        "http://09.1.1.1",
        "http://[::1]",
        "http://a.internal",
        "http://a.test",
        "http://metadata",
        "http://example.com.",
        "http://a.b.c.d.e.f.g.h.i.j.k",
        "http://localhost:0",
        "http://localhost:70000",
        "http://local\thost",
        "http://a_b.com",
        "https://api.portkey.ai",
    ],
)
def test_hosts_that_may_not_be_called(url: str) -> None:
    """Private networks, other schemes, credentials, and names that are no host's."""
    assert not valid_custom_host(url)
