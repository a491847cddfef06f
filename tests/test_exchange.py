"""One call through the core: answers, failures and what is sent again, sync and async alike."""

from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import portkey_client as p
from tests.client_support import GATEWAY_HEADERS, SIDES, URL, Body, Gateway, Side, completion

sides = pytest.mark.parametrize("side", SIDES, ids=["sync", "async"])
JSON = {"content-type": "application/json"}


def error_of(side: Side, gateway: Gateway, **params: Any) -> p.APIError:
    """What the call raises."""
    with pytest.raises(p.APIError) as caught:
        side.create(side.client(gateway), **params)
    return caught.value


def status(code: int, body: Any = None, **headers: str) -> httpx.Response:
    """An answer with this status; bytes are the body as it is."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(
        code, content=content, headers={**JSON, **{k.replace("_", "-"): v for k, v in headers.items()}}
    )


@sides
def test_an_answer_carries_the_gateways_facts(side: Side) -> None:
    """A success is parsed, and knows which target answered after how many retries."""
    answer = side.create(side.client(Gateway(completion())))

    assert "It is raining" == answer.choices[0].message.content
    assert p.GatewayInfo("trace-1", "anthropic", "config.targets[1]", 2, "MISS") == answer.gateway
    assert "config.targets[1]" == answer.get_headers()["last-used-option-index"]


@sides
def test_guardrails_that_let_a_request_through_are_a_success(side: Side) -> None:
    """246 says that a check failed without denying: the answer is there, with the verdicts."""
    body = {**completion(), "hook_results": {"before_request_hooks": [{"verdict": False}]}}

    answer = side.create(side.client(Gateway(status(246, body))))

    assert [{"verdict": False}] == answer["hook_results"]["before_request_hooks"]


@sides
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400, p.BadRequestError),
        (401, p.AuthenticationError),
        (402, p.APIStatusError),
        (403, p.PermissionDeniedError),
        (404, p.NotFoundError),
        (408, p.GatewayTimeoutError),
        (409, p.ConflictError),
        (413, p.APIStatusError),
        (422, p.UnprocessableEntityError),
        (429, p.RateLimitError),
        (446, p.GuardrailError),
        (499, p.APIStatusError),
        (500, p.InternalServerError),
        (529, p.InternalServerError),
    ],
)
def test_each_status_has_its_class(side: Side, code: int, expected: type[p.APIStatusError]) -> None:
    """An error of the gateway is raised as the class of its status, at once, with body and facts."""
    body = {
        "error": {"message": "anthropic error: no", "type": "some_error", "param": "model", "code": "c1"},
        "provider": "anthropic",
        "hook_results": {"after_request_hooks": []},
    }
    gateway = Gateway(httpx.Response(code, json=body, headers={**GATEWAY_HEADERS, "x-request-id": "req-1"}))

    error = error_of(side, gateway)

    assert expected is type(error)
    assert isinstance(error, p.APIStatusError)
    assert (code, "req-1", body) == (error.status_code, error.request_id, error.response.json())
    assert (body["error"], "c1", "some_error", "model") == (error.body, error.code, error.type, error.param)
    assert ("config.targets[1]", {"after_request_hooks": []}) == (error.gateway.target, error.hook_results)
    assert str(error).startswith(f"Error code: {code} - anthropic error: no")
    assert "config.targets[1]" in str(error)
    assert 1 == len(gateway.requests)


@sides
def test_a_404_of_no_gateway_says_where_nothing_was(side: Side) -> None:
    """The URL shows what is missing in it, most often the /v1."""
    error = error_of(side, Gateway(httpx.Response(404, text="Not Found")))

    assert f"Error code: 404 - Not Found (POST {URL}/chat/completions)" == str(error)


def test_a_gateway_timeout_is_a_timeout() -> None:
    """One `except APITimeoutError` covers a slow provider, whoever noticed it."""
    assert issubclass(p.GatewayTimeoutError, p.APITimeoutError)


@sides
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b'[{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]',
            "API key not valid.",
        ),
        (b'{"error": "model is overloaded"}', "model is overloaded"),
        (
            b'{"object": "error", "message": "Requests rate limit exceeded", "type": "1300"}',
            "Requests rate limit exceeded",
        ),
        (b'{"detail": "Unauthorized"}', "Unauthorized"),
        (b'{"detail": [{"loc": ["body", "model"], "msg": "field required"}]}', "field required"),
        (b'{"status": "failure", "message": "Invalid config passed", "errors": ["path: cache"]}', "path: cache"),
        (b'{"message": {"detail": [{"type": "string_type"}]}}', "string_type"),
        (b'{"html-message": "<h1>Bad Gateway</h1>"}', "Bad Gateway"),
        (b'"just text in JSON"', "just text in JSON"),
        (b'{"strange": {"shape": "of things"}}', "of things"),
        (b"<html><title>502 Bad Gateway</title></html>", "502 Bad Gateway"),
        (b"upstream connect error", "upstream connect error"),
        (b"null", "Error code: 400"),
        (b"", "Error code: 400"),
    ],
)
def test_the_providers_words_survive_any_shape(side: Side, content: bytes, words: str) -> None:
    """Whatever an error body looks like, its text is in the error."""
    error = error_of(side, Gateway(status(400, content)))

    assert isinstance(error, p.BadRequestError)
    assert words in str(error)


@sides
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty body"),
        (b"<html>login</html>", "<html>login</html>"),
        (b'{"id": "x", "choices": [{"ind', "EOF"),
        (b"null", "null"),
        (b"[]", "[]"),
        (b'"text"', "text"),
        (b"{}", "choices"),
        (b'{"choices": null}', "choices"),
        (b'{"choices": [{"message": "hi"}]}', "choices.0.message"),
        (b"[" * 100_000, "recursion"),
        (b'{"error": {"message": "boom-4711", "type": "server_error"}}', "boom-4711"),
        (b'{"status": "failure", "message": "Invalid provider passed"}', "Invalid provider passed"),
    ],
)
def test_a_success_that_is_no_answer_is_an_error(side: Side, content: bytes, words: str) -> None:
    """Empty, HTML, broken, misshapen or an error in disguise: a 200 is one typed error, with an excerpt."""
    error = error_of(side, Gateway(status(200, content)))

    assert isinstance(error, p.APIResponseValidationError)
    assert 200 == error.status_code
    assert words in str(error)
    assert str(error).startswith("Error code: 200 - ")
    assert content[:64] == error.response.content[:64]


@sides
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308, 304])
def test_redirects_are_refused(side: Side, code: int) -> None:
    """A redirect is an error that names its target; nothing is sent there."""
    gateway = Gateway(status(code, b"", location="http://elsewhere.test/"))

    error = error_of(side, gateway)

    assert isinstance(error, p.RedirectError)
    assert "http://elsewhere.test/" in str(error)
    assert 1 == len(gateway.requests)


@sides
@pytest.mark.parametrize(
    ("cause", "expected", "requests"),
    [
        (httpx.ConnectError("refused"), p.APIConnectionError, 2),
        (httpx.ConnectTimeout("slow"), p.APITimeoutError, 2),
        (httpx.ReadError("reset"), p.APIConnectionError, 2),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), p.APIConnectionError, 2),
        (httpx.RemoteProtocolError("illegal status line"), p.APIConnectionError, 1),
        (httpx.ReadTimeout("stalled"), p.APITimeoutError, 1),
        (httpx.WriteTimeout("stalled"), p.APITimeoutError, 1),
        (httpx.PoolTimeout("full"), p.PoolTimeoutError, 1),
        (httpx.UnsupportedProtocol("ftp"), p.APIConnectionError, 1),
        (TimeoutError("late"), p.APITimeoutError, 1),
        (OSError("odd"), p.APIConnectionError, 1),
    ],
)
def test_a_failure_before_an_answer_is_typed_and_sent_again_only_if_safe(
    side: Side, cause: Exception, expected: type[p.APIError], requests: int
) -> None:
    """What never got an answer is sent once more, but for timeouts after sending and local faults."""
    gateway = Gateway(*[cause] * 2)

    error = error_of(side, gateway)

    assert expected is type(error)
    assert requests == len(gateway.requests) == error.attempts
    assert cause is error.__cause__


def test_a_full_pool_is_not_a_slow_provider() -> None:
    """`except APITimeoutError` does not take a lack of local connections for a slow answer."""
    assert not issubclass(p.PoolTimeoutError, p.APITimeoutError)


@sides
def test_a_certificate_failure_is_told_apart_and_not_retried(side: Side) -> None:
    """What the TLS layer refused will be refused again."""
    cause = httpx.ConnectError("certificate verify failed")
    cause.__cause__ = ssl.SSLCertVerificationError("certificate has expired")
    gateway = Gateway(cause)

    error = error_of(side, gateway)

    assert p.TLSError is type(error)
    assert "certificate" in str(error)


@sides
def test_a_test_doubles_own_failure_passes_untouched(side: Side) -> None:
    """An exception that is no Exception is nobody's to catch."""

    class Strict(BaseException):
        pass

    strict = Strict("not scripted")
    gateway = Gateway(strict)

    with pytest.raises(Strict) as caught:
        side.create(side.client(gateway))
    assert strict is caught.value
    assert 1 == len(gateway.requests)


@sides
@pytest.mark.parametrize(
    ("headers", "requests"),
    [
        ({}, 2),
        ({"x-portkey-trace-id": ""}, 1),
        ({"x-portkey-request-id": "r"}, 1),
        ({"x-portkey-gateway-exception": "true"}, 1),
    ],
)
def test_a_server_error_is_retried_unless_the_gateway_sent_it(
    side: Side, headers: dict[str, str], requests: int
) -> None:
    """The gateway has retried by its config; what stands in front of it has not."""
    gateway = Gateway(*[httpx.Response(503, text="busy", headers=headers)] * 2)

    error = error_of(side, gateway)

    assert p.InternalServerError is type(error)
    assert requests == len(gateway.requests) == error.attempts


@sides
def test_a_retry_can_succeed(side: Side) -> None:
    """The second answer is the answer; the wait before it was on the request's own clock."""
    gateway = Gateway(httpx.Response(502, text="bad gateway"), completion("fine"))

    answer = side.create(side.client(gateway))

    assert "fine" == answer.choices[0].message.content
    assert 1 == len(gateway.clock.sleeps)
    assert 0.375 <= gateway.clock.sleeps[0] <= 0.5


@sides
@pytest.mark.parametrize(
    ("name", "value", "slept"),
    [
        ("retry-after", "20", 20.0),
        ("retry-after-ms", "250", 0.25),
        ("retry-after", "Mon, 23 Nov 2026 08:00:10 GMT", 10.0),
    ],
)
def test_a_server_may_say_how_long_to_wait(side: Side, name: str, value: str, slept: float) -> None:
    """Retry-After is heeded as seconds, as milliseconds and as a date."""
    headers = {name: value, "date": "Mon, 23 Nov 2026 08:00:00 GMT"}
    gateway = Gateway(httpx.Response(503, headers=headers), completion())

    side.create(side.client(gateway))

    assert [slept] == gateway.clock.sleeps


@sides
def test_retries_are_set_per_client_and_per_call(side: Side) -> None:
    """`max_retries` takes a number or a policy, and the call has the last word."""
    down: list[Any] = [httpx.ConnectError("refused")] * 9

    gateway = Gateway(*down)
    with pytest.raises(p.APIConnectionError):
        side.create(side.client(gateway, max_retries=0))
    assert 1 == len(gateway.requests)

    gateway = Gateway(*down)
    with pytest.raises(p.APIConnectionError):
        side.create(side.client(gateway, max_retries=0), max_retries=3)
    assert 4 == len(gateway.requests)

    policy = p.RetryPolicy(max_retries=1, on_status_codes=frozenset({429}), after_timeout=True)
    gateway = Gateway(httpx.Response(429), httpx.ReadTimeout("stalled"))
    with pytest.raises(p.APITimeoutError):
        side.create(side.client(gateway), max_retries=policy)
    assert 2 == len(gateway.requests)


@sides
def test_an_error_of_the_second_answer_counts_both_attempts(side: Side) -> None:
    """`attempts` is how often was sent, whatever went wrong in the end."""
    error = error_of(side, Gateway(httpx.Response(502), status(200, b"{}")))

    assert (p.APIResponseValidationError, 2) == (type(error), error.attempts)


@sides
def test_the_provider_in_a_body_is_a_fact_of_the_gateway(side: Side) -> None:
    """Without the header, the gateway's error bodies still name their provider."""
    error = error_of(side, Gateway(status(400, {"error": {"message": "no"}, "provider": "groq"})))

    assert "groq" == error.gateway.provider
    assert "provider groq" in str(error)


@sides
def test_a_broken_error_body_does_not_hide_the_status(side: Side) -> None:
    """A 429 whose body never comes whole is still a 429."""
    body = Body(b'{"error": {"mess', httpx.ReadError("reset"))
    error = error_of(side, Gateway(httpx.Response(429, stream=body, headers=JSON)))

    assert isinstance(error, p.RateLimitError)
    assert '{"error": {"mess' in str(error)
    assert "did not come whole" in str(error)
    assert isinstance(error.__cause__, httpx.ReadError)
    assert body.closed


@sides
@pytest.mark.parametrize(
    ("cause", "expected"),
    [(httpx.ReadError("reset"), p.APIConnectionError), (httpx.ReadTimeout("stalled"), p.APITimeoutError)],
)
def test_an_answer_that_breaks_off_is_an_error(side: Side, cause: Exception, expected: type[p.APIError]) -> None:
    """Half a body is no answer, and is not asked for again: it was paid for."""
    body = Body(b'{"id": "x", ', cause)
    gateway = Gateway(httpx.Response(200, stream=body, headers={**JSON, **GATEWAY_HEADERS}))

    error = error_of(side, gateway)

    assert expected is type(error)
    assert "trace-1" == error.gateway.trace_id
    assert cause is error.__cause__
    assert (1, True) == (len(gateway.requests), body.closed)


@sides
def test_a_body_that_drips_runs_into_the_read_timeout(side: Side) -> None:
    """Each byte comes in time, the answer does not."""
    gateway = Gateway()
    tick: Callable[[], None] = lambda: gateway.clock.sleep(0.4)  # noqa: E731  # a piece of the body that only takes time
    pieces = [part for byte in json.dumps(completion()).encode() for part in (tick, bytes([byte]))]
    gateway.replies.append(httpx.Response(200, stream=Body(*pieces), headers=JSON))

    error = error_of(side, gateway, timeout=2.0)

    assert p.APITimeoutError is type(error)
    assert 2.0 < gateway.clock.now < 3.0


@sides
def test_gzip_is_undone_and_checked_to_its_end(side: Side) -> None:
    """A whole gzip body is an answer, a truncated or corrupt one is not."""
    whole = gzip.compress(json.dumps(completion()).encode())
    headers = {**JSON, "content-encoding": "gzip"}

    assert (
        "It is raining"
        == side.create(side.client(Gateway(httpx.Response(200, stream=Body(whole[:9], whole[9:]), headers=headers))))
        .choices[0]
        .message.content
    )
    for broken in (whole[:-9], whole[: len(whole) // 2], whole[:-8] + bytes(8), b"not gzip at all"):
        error = error_of(side, Gateway(httpx.Response(200, stream=Body(broken), headers=headers)))
        assert isinstance(error, p.APIResponseValidationError)
        assert "gzip" in str(error)


@sides
def test_an_oversized_body_is_refused(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small body that inflates without end stops at the cap."""
    monkeypatch.setattr("portkey_client._drive.MAX_BODY_BYTES", 1_000_000)
    bomb = gzip.compress(bytes(50_000_000))
    headers = {**JSON, "content-encoding": "gzip"}

    error = error_of(side, Gateway(httpx.Response(200, stream=Body(bomb), headers=headers)))

    assert "larger than 1,000,000 bytes" in str(error)


@sides
def test_an_unknown_coding_is_named(side: Side) -> None:
    """A coding that was not asked for cannot be undone."""
    response = httpx.Response(200, stream=Body(b"x"), headers={**JSON, "content-encoding": "zstd"})

    assert "'zstd'" in str(error_of(side, Gateway(response)))


@sides
def test_timeouts_reach_the_transport(side: Side) -> None:
    """Connect in 5 seconds and read in 600 unless the client or the call says otherwise; None is for ever."""

    def sent(gateway: Gateway) -> Any:
        return gateway.requests[-1].extensions["timeout"]

    gateway = Gateway(*[completion()] * 5)
    side.create(side.client(gateway))
    assert {"connect": 5.0, "read": 600.0, "write": 600.0, "pool": 600.0} == sent(gateway)
    side.create(side.client(gateway, timeout=3))
    assert {"connect": 3, "read": 3, "write": 3, "pool": 3} == sent(gateway)
    side.create(side.client(gateway, timeout=3), timeout=httpx.Timeout(7, connect=1))
    assert {"connect": 1, "read": 7, "write": 7, "pool": 7} == sent(gateway)
    side.create(side.client(gateway, timeout=3), timeout=p.NOT_GIVEN)
    assert 3 == sent(gateway)["read"]
    side.create(side.client(gateway, timeout=3), timeout=None)
    assert {"connect": None, "read": None, "write": None, "pool": None} == sent(gateway)


@sides
def test_an_error_names_the_url_without_its_query(side: Side) -> None:
    """A query may hold a key, so error texts leave it out."""
    error = error_of(side, Gateway(*[httpx.ConnectError("refused")] * 2), extra_query={"key": "s3cret"})

    assert f"{URL}/chat/completions" in str(error)
    assert "s3cret" not in str(error)
