"""No secret survives into a file, matching goes on, and a user can teach further kinds."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from portkey_testing.cassettes import (
    BinaryBody,
    CassetteError,
    Interaction,
    JsonBody,
    RecordedRequest,
    RecordedResponse,
    Recorder,
    RecordingTransport,
    Redactor,
    Replay,
    TextBody,
)
from portkey_testing.cassettes.events import pack
from portkey_testing.cassettes.exchange import Exchange
from portkey_testing.cassettes.scan import scan
from portkey_testing.cassettes.secrets import Secret, names_a_secret, pattern_of
from portkey_testing.timeline import GatewayRequest
from tests.cassettes.secret_cases import Case, cases, planted, readings
from tests.cassettes.support import DONE, Body, Ticks, chunk, content_of, live, pieces_of, question, streaming

S = planted()
URL = "https://api.example.test/v1/chat/completions"
JSON = {"content-type": "application/json"}
KEEP = b'{"choices":[{"message":{"content":"KEEP-ME"}}]}'


def _case(
    name: str,
    secrets: str,
    *,
    url: str = URL,
    headers: dict[str, str] | None = None,
    body: Any = None,
    answer: bytes = KEEP,
    **answer_headers: str,
) -> Case:
    content = body if isinstance(body, bytes) else json.dumps(body or question()).encode()
    named = {"content-type": "application/json"} | {
        key.replace("_", "-"): value for key, value in answer_headers.items()
    }
    values = tuple(S[secret] for secret in secrets.split())
    return Case(name, "must", values, ("KEEP-ME",), url, JSON | (headers or {}), content, 200, named, answer)


def _says(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": f"KEEP-ME {text} KEEP-ME"}}]}).encode()


def _stream(*texts: str, key: str = "content") -> bytes:
    return b"".join([*(chunk({key: text}) for text in ("KEEP-ME ", *texts, " KEEP-ME")), chunk({}, "stop"), DONE])


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _thirds(text: str) -> list[str]:
    third = -(-len(text) // 3)
    return [text[:third], text[third : 2 * third], text[2 * third :]]


_AUTH = {"authorization": f"Bearer {S['mistral']}"}
_PORTKEY = {"x-portkey-api-key": S["portkey"]}
_SIGV4 = (
    f"AWS4-HMAC-SHA256 Credential={S['aws_access']}/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, "
    "Signature=0fa40fa40fa40fa40fa4"
)
_SHAPED = (
    "openai_legacy openai_project openai_svcacct anthropic aws_access bedrock_key google_key google_oauth "
    "azure_entra_secret jwt groq huggingface openrouter perplexity github slack webhook_secret pem"
)
_MORE = [
    _case(
        "basic",
        "basic_password",
        headers={"authorization": "Basic " + base64.b64encode(f"u:{S['basic_password']}".encode()).decode()},
    ),
    _case("sigv4", "aws_access", headers={"authorization": _SIGV4}, answer=_says(S["aws_access"])),
    _case("api-key", "azure_key", headers={"api-key": S["azure_key"]}, answer=_says(S["azure_key"])),
    _case("x-goog-api-key", "google_key", headers={"x-goog-api-key": S["google_key"]}),
    _case(
        "aws headers",
        "aws_access aws_secret aws_session",
        headers={
            "x-portkey-aws-access-key-id": S["aws_access"],
            "x-portkey-aws-secret-access-key": S["aws_secret"],
            "x-portkey-aws-session-token": S["aws_session"],
        },
        answer=_says(f"{S['aws_secret']} {S['aws_session']}"),
    ),
    _case(
        "azure headers",
        "azure_entra_secret jwt",
        headers={"x-portkey-azure-entra-client-secret": S["azure_entra_secret"], "x-portkey-azure-ad-token": S["jwt"]},
        answer=_says(S["azure_entra_secret"]),
    ),
    _case(
        "oracle headers",
        "passphrase pem",
        headers={
            "x-portkey-oracle-key-passphrase": S["passphrase"],
            "x-portkey-oracle-private-key": json.dumps(S["pem"]),
        },
        answer=_says(S["passphrase"]),
    ),
    _case(
        "organisation",
        "org_id project_id",
        headers={"openai-organization": S["org_id"], "openai-project": S["project_id"]},
        answer=_says(f"{S['org_id']} {S['project_id']}"),
    ),
    _case(
        "slug",
        "virtual_key",
        headers={"x-portkey-provider": f"@{S['virtual_key']}"},
        answer=_says(f"no provider {S['virtual_key']}"),
    ),
    _case(
        "slug in config", "virtual_key", headers={"x-portkey-config": json.dumps({"provider": f"@{S['virtual_key']}"})}
    ),
    _case(
        "broken config",
        "mistral",
        headers={"x-portkey-config": f'{{"api_key": "{S["mistral"]}", "retry": '},
        answer=_says(S["mistral"]),
    ),
    _case("slug in model", "virtual_key", body=question() | {"model": f"@{S['virtual_key']}/gpt-4o"}),
    _case(
        "camel case",
        "mistral aws_secret",
        headers={"x-portkey-config": json.dumps({"apiKey": S["mistral"], "awsSecretAccessKey": S["aws_secret"]})},
        answer=_says(S["mistral"]),
    ),
    _case(
        "escaped config",
        "mistral",
        headers={
            "x-portkey-config": '{"targets":[{"api_key":"' + "".join(f"\\u{ord(c):04x}" for c in S["mistral"]) + '"}]}'
        },
        answer=_says(S["mistral"]),
    ),
    _case(
        "forwarded header",
        "short_key",
        headers={"x-portkey-forward-headers": "X_Internal, x-other", "x-internal": S["short_key"]},
        answer=_says(S["short_key"]),
    ),
    _case(
        "metadata",
        "end_user email",
        headers={"x-portkey-metadata": json.dumps({"_user": S["end_user"], "mail": S["email"]})},
        answer=_says(f"{S['end_user']} {S['email']}"),
    ),
    _case("user", "end_user", body=question(user=S["end_user"]), answer=_says(S["end_user"])),
    _case("query key", "google_key", url=f"{URL}?key={S['google_key']}&alt=sse", answer=_says(S["google_key"])),
    _case("query token", "passphrase", url=f"{URL}?access_token={S['passphrase']}", answer=_says(S["passphrase"])),
    _case("personal data", "email phone card", body=question(f"{S['email']}, {S['phone']}, {S['card']}")),
    _case(
        "tool headers",
        "passphrase",
        body=question(
            tools=[
                {
                    "type": "mcp",
                    "server_url": "https://x.test",
                    "headers": {"Authorization": f"Bearer {S['passphrase']}"},
                }
            ]
        ),
        answer=_says(S["passphrase"]),
    ),
    _case(
        "tool arguments",
        "passphrase",
        answer=json.dumps(
            {
                "note": "KEEP-ME",
                "choices": [
                    {
                        "message": {
                            "tool_calls": [
                                {
                                    "function": {
                                        "name": "f",
                                        "arguments": json.dumps({"password": S["passphrase"], "x": 1}),
                                    }
                                }
                            ]
                        }
                    }
                ],
            }
        ).encode(),
    ),
    _case(
        "form",
        "short_key",
        headers={"content-type": "application/x-www-form-urlencoded"},
        body=f"model=x&api_key={S['short_key']}&note=KEEP-ME".encode(),
    ),
    _case("new key", "together", answer=json.dumps({"note": "KEEP-ME", "api_key": S["together"]}).encode()),
    _case(
        "new key under `key`",
        "together",
        answer=json.dumps({"note": "KEEP-ME", "object": "api_key", "key": S["together"]}).encode(),
    ),
    _case("echo, percent", "portkey", headers=_PORTKEY, answer=_says(quote(S["portkey"], safe=""))),
    _case(
        "echo, percent twice", "portkey", headers=_PORTKEY, answer=_says(quote(quote(S["portkey"], safe=""), safe=""))
    ),
    _case(
        "echo, html",
        "portkey",
        headers=_PORTKEY,
        answer=f"<p>KEEP-ME {html.escape(S['portkey']).replace('+', '&#x2B;')}</p>".encode(),
        content_type="text/html",
    ),
    _case(
        "echo, json in json",
        "portkey",
        headers=_PORTKEY,
        answer=_says(json.dumps({"detail": json.dumps({"key": S["portkey"].replace("/", "\\/")})})),
    ),
    _case(
        "echo, base64",
        "portkey",
        headers=_PORTKEY,
        answer=_says(base64.b64encode(f"x-portkey-api-key: {S['portkey']}".encode()).decode()),
    ),
    _case(
        "echo, base64 url-safe, shifted",
        "portkey",
        headers=_PORTKEY,
        answer=_says("k" + base64.urlsafe_b64encode(f"ab{S['portkey']}c".encode()).decode().rstrip("=")),
    ),
    _case(
        "echo, zipped in base64",
        "portkey",
        headers=_PORTKEY,
        answer=_says(base64.b64encode(gzip.compress(S["portkey"].encode())).decode()),
    ),
    _case(
        "shape in base64", "groq", body=question("KEEP-ME " + base64.b64encode(f"key={S['groq']}".encode()).decode())
    ),
    _case("shape, percent", "anthropic", answer=_says("".join(f"%{ord(c):02X}" for c in S["anthropic"]))),
    _case("echo in a key", "mistral", headers=_AUTH, answer=json.dumps({"note": "KEEP-ME", S["mistral"]: 1}).encode()),
    _case(
        "echo in binary",
        "mistral",
        headers=_AUTH,
        answer=b"\xff\x00" + S["mistral"].encode() + b"\xfe KEEP-ME",
        content_type="audio/mpeg",
    ),
    _case("echo in an allowed header", "mistral", headers=_AUTH, x_request_id=f"req-{S['mistral']}"),
    _case(
        "echo in pieces",
        "mistral",
        headers=_AUTH,
        answer=_stream(*_thirds(S["mistral"])),
        content_type="text/event-stream",
    ),
    _case(
        "echo in pieces of reasoning",
        "mistral",
        headers=_AUTH,
        answer=_stream(*_thirds(S["mistral"]), key="reasoning_content"),
        content_type="text/event-stream",
    ),
    _case(
        "echo in an event that is no chunk",
        "mistral",
        headers=_AUTH,
        answer=_stream() + f"event: error\ndata: bad key {S['mistral']}\n\n".encode(),
        content_type="text/event-stream",
    ),
    _case(
        "echo in the error of a stream",
        "mistral",
        headers=_AUTH,
        answer=b'data: {"error":{"message":"KEEP-ME ' + S["mistral"].encode() + b'"}}\n\n',
        content_type="text/event-stream",
    ),
    _case(
        "echo in a zipped stream",
        "mistral",
        headers=_AUTH,
        answer=gzip.compress(_stream(S["mistral"])),
        content_type="text/event-stream",
        content_encoding="gzip",
    ),
    _case(
        "echo in a broken stream",
        "mistral",
        headers=_AUTH,
        answer=_stream(S["mistral"])[:-90] + S["mistral"].encode(),
        content_type="text/event-stream",
    ),
    *(
        _case(f"custom host, {kind}", "together", headers={"x-portkey-custom-host": host}, answer=_says(S["together"]))
        for kind, host in (
            ("password", f"https://me:{S['together']}@host.example/v1"),
            ("query", f"https://host.example/v1?api-key={S['together']}"),
        )
    ),
    *(
        _case(f"field {name}", "cohere", body=question(extra={name: S["cohere"]}), answer=_says(S["cohere"]))
        for name in ("hf_token", "service_key", "subscription-key", "masterKey")
    ),
    *(
        _case(f"words before: {words}", "cohere", body=question(f"KEEP-ME {words}{S['cohere']}"))
        for words in ("session_token=", "azure_ad_token: ", "token = ", 'account-key":"')
    ),
    _case(
        "upload, echoed",
        "cohere",
        headers={"content-type": "multipart/form-data; boundary=B"},
        body=f'--B\r\nContent-Disposition: form-data; name="password"\r\n\r\n{S["cohere"]}\r\n--B--\r\n'.encode(),
        answer=_says(S["cohere"]),
    ),
    _case(
        "form, echoed",
        "portkey",
        headers={"content-type": "application/x-www-form-urlencoded"},
        body=f"client_secret={quote(S['portkey'], safe='')}".encode(),
        answer=_says(S["portkey"]),
    ),
    _case("header of another name", "aws_secret", headers={"x-corp": S["aws_secret"]}, answer=_says(S["aws_secret"])),
    _case("echo, base64 twice", "mistral", headers=_AUTH, answer=_says(_base64(_base64(S["mistral"])))),
    _case(
        "arguments in pieces",
        "mistral",
        answer=_stream(*_thirds(json.dumps({"token": S["mistral"]})), key="arguments"),
        content_type="text/event-stream",
    ),
    _case(
        "a token that looks like one in pieces, too",
        "jwt",
        answer=_stream(*_thirds(json.dumps({"token": S["jwt"]})), key="arguments"),
        content_type="text/event-stream",
    ),
    _case(
        "who asks, in the metadata",
        "end_user",
        headers={"x-portkey-metadata": json.dumps({"user_id": S["end_user"], "env": "prod"})},
        body=question(metadata={"customer": S["end_user"]}),
        answer=_says(f"Hello {S['end_user']}"),
    ),
    *(
        _case(f"shape: {name}", name, body=question(f"KEEP-ME {S[name]}, you see"), answer=_says(S[name]))
        for name in _SHAPED.split()
    ),
]


def _recorded(case: Case, path: Path, **options: Any) -> Path:
    def server(_: httpx.Request) -> httpx.Response:
        headers = [(name.encode(), value.encode()) for name, value in case.answer_headers.items()]
        return httpx.Response(case.status, headers=headers, stream=Body(case.answer))

    headers = [(name.encode(), value.encode()) for name, value in case.headers.items()]
    with (
        Recorder(path, clock=Ticks(), **options) as recorder,
        httpx.Client(transport=RecordingTransport(httpx.MockTransport(server), recorder, Ticks())) as client,
    ):
        _drain(client, case, headers)
    return path


def _drain(client: httpx.Client, case: Case, headers: list[tuple[bytes, bytes]]) -> None:
    with client.stream("POST", case.url, headers=headers, content=case.body) as response:
        for _ in response.iter_raw():
            pass


ALL = pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in (*cases(), *_MORE)])


@ALL
def test_no_secret_survives_in_any_encoding(tmp_path: Path, case: Case) -> None:
    """The file holds none of the secrets, whatever encoding is undone, and everything that has to stay."""
    _recorded(case, tmp_path / "x.yaml")
    replayed = content_of(Replay(tmp_path / "x.yaml").respond(_live(case), 0))
    seen = [(tmp_path / "x.yaml").read_text(), replayed.decode("utf-8", "replace"), _joined(replayed)]
    found = {reading for source in seen for reading in readings(source)}

    assert [] == [place for place, secret in enumerate(case.secrets) if any(secret in reading for reading in found)]
    assert [] == [kept for kept in case.keep if not any(kept in source for source in seen)]


def _joined(stream: bytes) -> str:
    """The texts of all deltas of a stream, as a client would show them."""
    texts = []
    for line in stream.decode("utf-8", "replace").splitlines():
        if line.startswith("data: {") and line.endswith("}"):
            choices = json.loads(line[6:]).get("choices", ())
            texts += [str(value) for choice in choices for value in choice["delta"].values()]
    return "".join(texts)


def _live(case: Case) -> GatewayRequest:
    return GatewayRequest("POST", case.url, case.headers, case.body)


@pytest.mark.parametrize("key", ["dummy", "PORTKEY_API_KEY", "sk-" + "other" * 6])
def test_a_request_with_another_key_still_matches(tmp_path: Path, key: str) -> None:
    """Placeholders do not depend on the secret, so a replay needs no key of its own, or any."""
    real = "sk-" + "real" * 8
    case = _case("echoed", "mistral", headers={"authorization": f"Bearer {real}"}, body=question(f"use {real} to ask"))
    path = _recorded(case, tmp_path / "x.yaml")
    again = live(question(f"use {key} to ask"), authorization=f"Bearer {key}")

    assert (Replay(path).find(again, 0) is not None) is (key != "dummy")
    assert Replay(path).find(_live(case), 0)


@pytest.mark.parametrize("key", ["test", "openai", "dummy", "12345678", "x"])
def test_a_dummy_key_spoils_no_text(tmp_path: Path, key: str) -> None:
    """A word that serves as a key is not looked for in answers."""
    case = _case(
        "dummy", "mistral", headers={"authorization": f"Bearer {key}"}, answer=_says("test openai dummy 12345678 x")
    )

    assert "test openai dummy 12345678 x" in _recorded(case, tmp_path / "x.yaml").read_text()


def test_what_is_no_secret_stays(tmp_path: Path) -> None:
    """Counts, log probabilities, ids, names of people and schemas that speak of keys and tokens are left alone."""
    answer = {
        "id": "chatcmpl-9f8e7d6c5b4a39281706f5e4d3c2b1a0",
        "choices": [
            {
                "logprobs": {"content": [{"token": "secret", "logprob": -0.1}]},
                "message": {"content": "Your password policy: at least 12."},
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 34, "max_tokens": "many"},
        "system_fingerprint": "fp_44709d6fcb",
    }
    tools = [
        {
            "type": "function",
            "function": {
                "name": "f",
                "parameters": {"properties": {"api_key": {"type": "string"}, "token": {"type": "string"}}},
            },
        }
    ]
    others = {"metadata": {"env": "prod"}, "prediction": {"type": "content", "content": "Dear", "customer": "Ann"}}
    body = question("@ann, is it raining?", tools=tools, max_tokens=5, **others)
    case = _case("plain", "mistral", body=body, answer=json.dumps(answer).encode())
    path = _recorded(case, tmp_path / "x.yaml")
    replayed = content_of(Replay(path).respond(_live(case), 0))

    assert answer == json.loads(replayed)
    assert "<redacted" not in path.read_text()


def test_events_without_a_secret_keep_their_bytes_beside_one_that_has_it(tmp_path: Path) -> None:
    """Only the event that is changed is spelt anew, and every event stays in the read that brought it."""
    key = S["mistral"]
    pieces = [chunk({"content": "a"}), chunk({"content": f"key {key}!"}) + chunk({"content": "b"}), DONE]
    case = _case("stream", "mistral", headers=_AUTH)
    path = tmp_path / "x.yaml"
    with (
        Recorder(path) as recorder,
        httpx.Client(
            transport=RecordingTransport(httpx.MockTransport(streaming(*pieces)), recorder, Ticks())
        ) as client,
    ):
        _drain(client, case, [(name.encode(), value.encode()) for name, value in case.headers.items()])
    reads = pieces_of(Replay(path).respond(_live(case), 0))

    assert [pieces[0], pieces[1].replace(key.encode(), b"<redacted>"), pieces[2]] == reads


def test_users_add_rules_and_fields_by_name_and_switch_others_off(tmp_path: Path) -> None:
    """A project's own kinds of secrets are redacted, and built-in rules can be left out."""
    body = question("ACME-123456 and jane@example.com", tenant="blue")
    redactor = Redactor(rules={"acme": r"ACME-\d+"}, fields=["tenant"], off=["email"])
    text = _recorded(_case("own", "mistral", body=body), tmp_path / "x.yaml", redactor=redactor).read_text()

    assert "content: <redacted-acme> and jane@example.com" in text
    assert "tenant: <redacted>" in text


def test_a_rule_that_does_not_exist_cannot_be_switched_off() -> None:
    """The message lists the rules there are."""
    with pytest.raises(ValueError, match=r"no rule is called emial\. There are: .*email"):
        Redactor(off=["emial"])


def test_a_pattern_that_is_none_is_an_error() -> None:
    """The rule is named by its pattern."""
    with pytest.raises(ValueError, match=r"not a pattern: '\('"):
        Redactor(rules={"mine": "("})


def test_a_random_boundary_means_nothing(tmp_path: Path) -> None:
    """Two uploads of the same form are the same request."""

    def form(boundary: str) -> tuple[dict[str, str], bytes]:
        part = 'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch'
        body = f"--{boundary}\r\n{part}\r\n--{boundary}--\r\n"
        return {"content-type": f"multipart/form-data; boundary={boundary}"}, body.encode()

    headers, body = form("abc123")
    path = _recorded(_case("form", "mistral", headers=headers, body=body), tmp_path / "x.yaml")

    assert Replay(path).find(GatewayRequest("POST", URL, *form("zyx987")), 0)


def test_ids_that_trace_a_request_stay(tmp_path: Path) -> None:
    """They look random and are no credentials, whoever made them up."""
    trace = "5f0c8a9e2b7d4e1fa3c6b8d9e0f1a2b3"
    case = _case("trace", "mistral", headers={"x-portkey-trace-id": trace}, x_portkey_trace_id=trace)

    assert f"x-portkey-trace-id: '{trace}'" in _recorded(case, tmp_path / "x.yaml").read_text()


class _Forgetful(Redactor):
    """A redactor with a hole: it lets through what it should have replaced."""

    def interaction(self, exchange: Exchange) -> tuple[Interaction, Sequence[Secret]]:
        interaction, secrets = super().interaction(exchange)
        request = RecordedRequest("POST", "/chat/completions", {}, JsonBody({"messages": [{"content": S["groq"]}]}))
        return Interaction(request, interaction.response), secrets


def test_a_secret_that_slips_through_refuses_the_write(tmp_path: Path) -> None:
    """The last look names the place and the kind, not the secret, and the old file stays as it was."""
    path = _recorded(_case("good", "mistral"), tmp_path / "x.yaml")
    before = path.read_bytes()

    with pytest.raises(CassetteError, match=r"request\.body\.messages\[0\]\.content holds a groq-key") as caught:
        _recorded(_case("bad", "groq", body=question("other")), path, mode="all", redactor=_Forgetful())

    assert S["groq"] not in str(caught.value)
    assert before == path.read_bytes()


@pytest.mark.parametrize(
    "disguise",
    [
        str,
        lambda key: json.dumps(json.dumps(key)),
        lambda key: quote(quote(key, safe=""), safe=""),
        html.escape,
        lambda key: base64.b64encode(f"abc {key}".encode()).decode(),
        lambda key: base64.b64encode(base64.b64encode(key.encode())).decode(),
        lambda key: base64.b64encode(gzip.compress(key.encode())).decode(),
    ],
)
def test_the_last_look_undoes_encodings_on_its_own(disguise: Callable[[str], str]) -> None:
    """What the redactor might overlook is found by the scan, inside two layers of encoding."""
    response = RecordedResponse(200, body=JsonBody({"a": [{"b": disguise(S["openai_project"])}]}))
    finding = scan(Interaction(RecordedRequest("GET", "/"), response), (), Redactor().shapes)

    assert finding == "response.body.a[0].b holds a sk-key"


def test_the_last_look_goes_through_every_kind_of_body() -> None:
    """Texts, bytes, zipped bytes and streams, their joined texts too, are searched."""
    key = S["groq"]
    pieces = [(0, chunk({"content": part})) for part in _thirds(key)]
    bodies: tuple[Any, ...] = (
        TextBody(key),
        BinaryBody(b"\xff" + key.encode()),
        BinaryBody(gzip.compress(key.encode())),
        pack(pieces),
    )
    found = [
        scan(Interaction(RecordedRequest("GET", "/"), RecordedResponse(200, body=body)), (), Redactor().shapes)
        for body in bodies
    ]

    assert [
        "response.text holds a groq-key",
        "response.base64 holds a groq-key",
        "response.base64 holds a groq-key",
        "response.message.content holds a groq-key",
    ] == found


_SECRET_NAMES = """
    api_key apiKey API_KEY x-api-key x-goog-api-key aws_secret_access_key awsSecretAccessKey password client_secret
    access_token refreshToken id_token Authorization Set-Cookie virtual_key virtualKey private_key openai_api_key token
    X-Amz-Signature
"""
_OTHER_NAMES = """
    max_tokens prompt_tokens completion_tokens tokens tokenizer key keys monkey author secretary model content
    token_count sign passwordless_login name
"""


@pytest.mark.parametrize("name", _SECRET_NAMES.split())
def test_a_name_that_says_secret_in_any_case_is_known(name: str) -> None:
    """Snake, kebab and camel case are the same name."""
    assert names_a_secret(name)


@pytest.mark.parametrize("name", _OTHER_NAMES.split())
def test_a_name_that_only_sounds_like_a_secret_is_left_alone(name: str) -> None:
    """Counts of tokens, and words that merely begin alike, name no credentials."""
    assert not names_a_secret(name)


def test_a_secret_is_found_in_mixed_spellings() -> None:
    """One character may be plain and the next escaped."""
    mixed = r"p\u004bfA%6bE7&#x78;Yz%252BQ&#119;\\\/3"

    assert pattern_of("pKfAkE7xYz+Qw/3").fullmatch(mixed)
