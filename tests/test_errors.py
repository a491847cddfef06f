"""The tree of errors: drawn as it is, importable, picklable, and able to read any provider's words."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import portkey_client
from portkey_client import errors
from tests.client_support import GATEWAY_HEADERS, SIDES, Gateway, Side

DATA = Path(__file__).parent / "data" / "provider_errors.yaml"


def classes() -> dict[str, type[errors.PortkeyError]]:
    """Every public class of the module."""
    return {name: getattr(errors, name) for name in errors.__all__}


def drawn() -> dict[str, str | None]:
    """Each class of the drawing in the module's docstring, and the one it hangs from."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"([│ ]*(?:[├└]── )?)([A-Z]\w+Error)\b", line):
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else None
    return parents


def test_the_drawing_is_the_tree() -> None:
    """The docstring shows every class once, under the class it derives from."""
    parents = drawn()

    assert set(classes()) == set(parents)
    for name, parent in parents.items():
        assert parent is None or issubclass(classes()[name], classes()[parent]), name


def test_every_error_is_exported_under_one_name() -> None:
    """The package exports each class, and tracebacks name it as users import it."""
    for name, cls in classes().items():
        assert cls is getattr(portkey_client, name)
        assert f"portkey_client.{name}" == f"{cls.__module__}.{cls.__qualname__}"


def test_configuration_errors_are_value_errors() -> None:
    """Code that expects Python's own error for a bad argument gets one."""
    assert issubclass(errors.ConfigurationError, ValueError)


@pytest.mark.parametrize("clone", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"])  # noqa: S301  # our own bytes
def test_errors_survive_pickling(clone: Any) -> None:
    """An error that crosses a process keeps its class, text, facts and response."""
    request = httpx.Request("POST", "http://gateway.test/")
    response = httpx.Response(429, headers=GATEWAY_HEADERS, json={"error": {"message": "slow"}}, request=request)
    error = errors.RateLimitError("Error code: 429", response=response, body={"error": {"message": "slow", "code": 1}})
    error.attempts = 2

    twin = clone(error)

    assert errors.RateLimitError is type(twin)
    assert ("Error code: 429", 429, "1", "trace-1", 2) == (
        str(twin), twin.status_code, twin.code, twin.gateway.trace_id, twin.attempts,
    )  # fmt: skip
    assert {"error": {"message": "slow"}} == twin.response.json()


def test_errors_can_be_made_by_hand_as_with_the_openai_sdk() -> None:
    """Tests of applications build errors themselves, with the OpenAI SDK's arguments."""
    request = httpx.Request("POST", "http://gateway.test/")
    response = httpx.Response(400, request=request)

    assert request is errors.BadRequestError("no", response=response, body=None).request
    assert "Connection error." == str(errors.APIConnectionError(request=request))
    assert "Request timed out." == str(errors.APITimeoutError(request))
    assert {"code": "x"} == errors.APIError("m", request, body={"error": {"code": "x"}}).body
    assert 200 == errors.APIResponseValidationError(httpx.Response(200), None).status_code
    assert {} == errors.APIError("m").get_headers()


def test_get_headers_of_an_error_are_the_gateways() -> None:
    """As on answers: the gateway's own headers, without their prefix."""
    error = errors.NotFoundError("no", response=httpx.Response(404, headers={**GATEWAY_HEADERS, "server": "x"}))

    assert {"trace-id", "provider", "last-used-option-index", "retry-attempt-count", "cache-status"} == set(
        error.get_headers()
    )


def test_a_long_body_is_shortened_in_the_text_only() -> None:
    """A page of HTML does not flood a log, and is whole in the response."""
    text = errors.describe("Error code: 502", "x" * 100_000, portkey_client.GatewayInfo())

    assert len(text) < 3_000
    assert "100,000 characters" in text


def provider_rows() -> list[Any]:
    """Every recorded error of every provider."""
    document = yaml.load(DATA.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return [
        pytest.param(row, id=f"{provider}-{row['id']}")
        for provider, rows in document["providers"].items()
        for row in rows
    ]


def words_of(body: Any) -> str:
    """The text in a provider's body that a person would look for."""
    match body:
        case [first]:
            return words_of(first)
        case {"error": {"message": str(message)}} | {"message": str(message)} | {"error": str(message)}:
            return message
        case {"detail": str(detail)}:
            return detail
        case {"detail": [{"msg": str(message)}, *_]}:
            return message
        case str():
            return body.strip()
        case _:
            return ""


@pytest.mark.parametrize("side", SIDES, ids=["sync", "async"])
@pytest.mark.parametrize("row", provider_rows())
def test_every_providers_error_keeps_its_words(side: Side, row: dict[str, Any]) -> None:
    """The text of an error begins with its status and holds the provider's own words, whatever the shape."""
    body, status = row["body"], row["status"]
    if isinstance(body, dict) and "sse" in body:
        content = "\n".join(body["sse"]).encode() + b"\n\n"
    else:
        content = body.encode() if isinstance(body, str) else httpx.Response(200, json=body).content
    headers = {
        "content-type": "text/event-stream" if "sse" in str(body)[:9] else "application/json",
        **row.get("headers", {}),
    }
    gateway = Gateway(*[httpx.Response(status, content=content, headers={**headers, "x-portkey-trace-id": "t"})] * 2)
    if status == 246:
        return  # a success: the guardrails let the request through

    call = side.read if "sse" in str(body)[:9] else side.create
    with pytest.raises(errors.APIError) as caught:
        call(side.client(gateway))

    assert str(caught.value).startswith(f"Error code: {status} - ")
    assert words_of(body)[:1500] in str(caught.value)
    assert "trace id t" in str(caught.value)
