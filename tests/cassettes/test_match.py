"""Matching by meaning: what is the same request, what is not, and how a miss explains itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from portkey_testing.cassettes import CassetteMissError, MatchRules, Recorder, Replay
from portkey_testing.cassettes.match import differing_paths
from portkey_testing.timeline import GatewayRequest
from tests.cassettes.support import content_of, exchanged, live, question, recorded

_CONFIG: dict[str, Any] = {
    "strategy": {"mode": "fallback"},
    "targets": [
        {"provider": "openai", "api_key": "sk-recorded-key-0123456789"},
        {"provider": "anthropic", "api_key": "recorded-key-0123456789", "custom_host": "http://127.0.0.1:4711/v1"},
    ],
}


def _ok(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"ok": True})


def _matches(tmp_path: Path, body: Any, request: GatewayRequest, **rules: Any) -> bool:
    path = recorded(tmp_path / "x.yaml", _ok, body)
    return Replay(path, rules=MatchRules(**rules)).find(request, 0) is not None


_CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": 2}'}}
_CALL_RESPELT = {"type": "function", "id": "call_1", "function": {"arguments": '{"b":2,"a":1}', "name": "f"}}


@pytest.mark.parametrize(
    ("recorded_body", "live_body"),
    [
        (question(), {"messages": question()["messages"], "model": "gpt-4o"}),
        (question(), question(temperature=None, tools=None)),
        (question(), question(stream=False)),
        (question(), question(user="someone else")),
        (question(temperature=1), question(temperature=1.0)),
        (
            question(),
            {**question(), "messages": [{"role": "user", "content": [{"type": "text", "text": "Weather in Oslo?"}]}]},
        ),
        (question(), {**question(), "messages": [{"role": "user", "content": "Weather in Oslo?", "name": None}]}),
        (
            {"model": "m", "messages": [{"role": "assistant", "content": None, "tool_calls": [_CALL]}]},
            {"model": "m", "messages": [{"role": "assistant", "tool_calls": [_CALL_RESPELT], "refusal": None}]},
        ),
    ],
)
def test_what_means_the_same_matches(tmp_path: Path, recorded_body: Any, live_body: Any) -> None:
    """Key order, null members, the spelling of numbers and arguments, and fields that name the user say nothing."""
    assert _matches(tmp_path, recorded_body, live(live_body))


@pytest.mark.parametrize(
    "live_body",
    [
        question("Weather in Bergen?"),
        question(stream=True),
        question(temperature=0.1),
        question(tools=[]),
        {**question(), "model": "gpt-4o-mini"},
        {**question(), "messages": [*question()["messages"], {"role": "user", "content": "?"}]},
        {**question(), "messages": [{"role": "system", "content": "Weather in Oslo?"}]},
        question(metadata={"a": None}),
    ],
)
def test_what_means_something_else_does_not_match(tmp_path: Path, live_body: Any) -> None:
    """One changed word, option, role or turn is another request, although method and URL are the same."""
    assert not _matches(tmp_path, question(), live(live_body))


def test_the_address_of_the_gateway_means_nothing_and_the_path_does(tmp_path: Path) -> None:
    """A recording made on loopback answers the hosted address, and another endpoint does not."""
    path = recorded(tmp_path / "x.yaml", _ok, question())

    assert Replay(path).find(live(question(), url="https://api.portkey.ai/v1/chat/completions"), 0)
    assert not Replay(path).find(live(question(), url="https://api.portkey.ai/v1/completions"), 0)
    assert not Replay(path).find(live(question(), method="PUT"), 0)


def test_a_query_is_part_of_the_meaning_in_any_order(tmp_path: Path) -> None:
    """Parameters of a list request are compared."""
    path = tmp_path / "x.yaml"
    path.write_text(
        "portkey_cassette: 1\n---\nrequest:\n  method: GET\n  path: /chat/completions?after=a&limit=2\n"
        "response:\n  status: 200\n...\n"
    )

    def asked(query: str) -> GatewayRequest:
        return GatewayRequest("GET", f"http://x/v1/chat/completions?{query}", {})

    assert Replay(path).find(asked("limit=2&after=a"), 0)
    assert not Replay(path).find(asked("limit=3&after=a"), 0)


def test_another_key_matches_and_another_route_does_not(tmp_path: Path) -> None:
    """Credentials and a stand-in's loopback address are no meaning; strategy, targets and models are."""
    path = tmp_path / "x.yaml"

    def with_config(config: Any, **others: str) -> GatewayRequest:
        return live(question(), **{"x-portkey-config": json.dumps(config), **others})

    exchanged("sync", _ok, Recorder(path), question(), headers={"x-portkey-config": json.dumps(_CONFIG)})
    other_keys = {
        **_CONFIG,
        "targets": [{"provider": "openai", "api_key": "x"}, {"provider": "anthropic", "api_key": "y"}],
    }
    other_order = {**_CONFIG, "targets": _CONFIG["targets"][::-1]}

    assert Replay(path).find(with_config(other_keys), 0)
    assert Replay(path).find(
        with_config(dict(reversed(other_keys.items())), authorization="Bearer z", x_trace_id="t"), 0
    )
    assert not Replay(path).find(with_config(other_order), 0)
    assert not Replay(path).find(with_config({**_CONFIG, "strategy": {"mode": "loadbalance"}}), 0)
    assert not Replay(path).find(live(question()), 0)


def test_equal_requests_are_answered_in_recorded_order_and_others_in_any(tmp_path: Path) -> None:
    """Order counts among requests that mean the same, and only there."""
    answers = iter("1234")
    path = recorded(
        tmp_path / "x.yaml",
        lambda _: httpx.Response(200, json=next(answers)),
        question("a"),
        question("b"),
        question("a"),
        question("c"),
    )
    replay = Replay(path)
    got = [content_of(replay.respond(live(question(text)), 0)) for text in "caba"]

    assert [b'"4"', b'"1"', b'"2"', b'"3"'] == got
    assert [4, 1, 2, 3] == [play.number for play in replay.plays]


def test_a_request_is_answered_as_often_as_it_was_recorded(tmp_path: Path) -> None:
    """The same question once more is a miss that says so, unless repeating was allowed."""
    path = recorded(tmp_path / "x.yaml", _ok, question())
    replay, repeating = Replay(path), Replay(path, repeat=True)
    replay.respond(live(question()), 0)

    with pytest.raises(CassetteMissError, match=r"recorded once \(line 5\), and has been played as often"):
        replay.respond(live(question()), 0)
    assert [200, 200, 200] == [repeating.respond(live(question()), 0).status for _ in range(3)]


def test_a_miss_explains_itself(tmp_path: Path) -> None:
    """Reason, request, file, the closest recording with its difference, and what to do."""
    path = recorded(tmp_path / "x.yaml", _ok, question("Weather in Oslo?\nIn one line."), question("something else"))

    with pytest.raises(CassetteMissError) as caught:
        Replay(path).respond(live(question("Weather in Bergen?\nIn one line.", temperature=0)), 0)
    text = str(caught.value)

    assert "reason:   no recorded request means the same" in text
    assert "request:  POST /chat/completions model=gpt-4o" in text
    assert f"cassette: {path} (2 interactions, 0 played)" in text
    assert "The closest: interaction 1, line 5, not played" in text
    assert "-      Weather in Oslo?" in text
    assert "+      Weather in Bergen?" in text
    assert "MatchRules(ignore=('body.temperature',))" in text  # without the message there is nothing to compare
    assert "pytest --portkey-record=new" in text


def test_the_secret_of_a_request_is_not_in_the_explanation_of_its_miss(tmp_path: Path) -> None:
    """What a miss prints ends up in the logs of a build server."""
    path = recorded(tmp_path / "x.yaml", _ok, question())
    key = "sk-" + "live" * 8

    with pytest.raises(CassetteMissError) as caught:
        Replay(path).respond(
            live(question(f"my key is {key}"), authorization=f"Bearer {key}", x_portkey_virtual_key=key), 0
        )

    assert key not in str(caught.value)


def test_ignored_paths_are_not_compared(tmp_path: Path) -> None:
    """Members, items and headers can be left out by path."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "a", "name": "n1"}],
        "metadata": {"run": 1, "kind": "x"},
    }
    other = {
        "model": "m",
        "messages": [{"role": "user", "content": "a", "name": "n2"}],
        "metadata": {"run": 2, "kind": "x"},
    }

    assert not _matches(tmp_path, body, live(other))
    assert _matches(tmp_path, body, live(other), ignore=["body.metadata.run", "body.messages[*].name"])
    assert _matches(tmp_path, body, live(other), ignore=["body.metadata.*", "body.messages[0].name"])


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("uuids", "id 01234567-89ab-cdef-0123-456789abcdef", "id fedcba98-89ab-cdef-0123-456789abcdef"),
        ("timestamps", "now is 2026-11-23T10:00:00Z", "now is 2027-01-01T09:30:00+02:00"),
        ("whitespace", "a  b\n", " a b"),
    ],
)
def test_normalisers_even_out_what_is_volatile(tmp_path: Path, name: str, one: str, other: str) -> None:
    """A named normaliser makes two runs ask the same."""
    assert not _matches(tmp_path, question(one), live(question(other)))
    assert _matches(tmp_path, question(one), live(question(other)), normalise=[name])


def test_tool_call_ids_can_be_evened_out(tmp_path: Path) -> None:
    """Ids that a framework makes up anew are compared by their order, in the calls and in their results."""

    def turn(identifier: str) -> dict[str, Any]:
        call = {"id": identifier, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        return {
            "model": "m",
            "messages": [
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": identifier, "content": "21"},
            ],
        }

    assert not _matches(tmp_path, turn("call_a"), live(turn("call_b")))
    assert _matches(tmp_path, turn("call_a"), live(turn("call_b")), normalise=["tool_call_ids"])


@pytest.mark.parametrize(
    "ignore", [["body"], ["body.*"], ["body.messages"], ["path"], ["messages"], ["body.messages[x]"], [""]]
)
def test_rules_that_leave_nothing_to_compare_are_refused(ignore: list[str]) -> None:
    """A comparison of nothing would be green whatever was asked."""
    with pytest.raises(ValueError, match=r"expected"):
        MatchRules(ignore=tuple(ignore))


def test_rules_that_happen_to_leave_nothing_are_refused_with_the_cassette(tmp_path: Path) -> None:
    """Paths that together take everything out of a request are found when the cassette is read."""
    with pytest.raises(Exception, match="leave nothing of this request to compare"):
        _matches(tmp_path, question(), live(question("other")), ignore=["body.messages[*].content", "body.model"])


def test_an_unknown_normaliser_is_an_error() -> None:
    """The message lists what there is and guesses what was meant."""
    with pytest.raises(ValueError, match=r"no normaliser is called 'uuid'\. Did you mean 'uuids'"):
        MatchRules(normalise=("uuid",))


def test_the_cost_of_a_match_does_not_grow_with_the_cassette(tmp_path: Path) -> None:
    """However many recordings there are, one request is compared with those of its own meaning only."""
    path = recorded(tmp_path / "x.yaml", _ok, *(question(f"number {number}") for number in range(30)))
    compared: list[str] = []

    def counting(meaning: dict[str, Any]) -> dict[str, Any]:
        compared.append(meaning["path"])
        return meaning

    replay = Replay(path, rules=MatchRules(normalise=(counting,)))
    compared.clear()
    replay.respond(live(question("number 29")), 0)

    assert 1 == len(compared)


def test_what_differs_is_named_by_paths_that_can_be_ignored() -> None:
    """The paths are those that `MatchRules` takes."""
    one = {"body": {"a": 1, "b": [{"c": 1}, 2], "d": [1]}}
    other = {"body": {"a": 1, "b": [{"c": 2}, 2], "d": [1, 2], "e": 0}}

    assert ["body.b[0].c", "body.d", "body.e"] == differing_paths(one, other)
