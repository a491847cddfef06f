"""The comparison with the truth: it agrees with itself and notices every aspect."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.conformance.compare import ASPECTS, Agreement, differences, explain
from tests.conformance.results import Normaliser, Result, half_seconds, parse_events, untimed
from tests.conformance.scenarios import (
    load_scenario,
    load_truth,
    names,
    placeholders,
    requests_of,
    wire_request,
)

URLS = {"{{host:a}}": "http://127.0.0.1:9000/u/k/a/v1", "{{root:ab}}": "http://127.0.0.1:9000/u/k/ab"}


def answer() -> Result:
    """A result that has something in every aspect."""
    return {
        "status": 200,
        "headers": {"content-type": "application/json; charset=utf-8", "x-portkey-provider": "openai"},
        "body": {"id": "x", "n": 1},
        "attempts": [
            {
                "upstream": "a",
                "method": "POST",
                "path": "/v1",
                "auth": "Bearer k",
                "headers": {"accept": "*/*", "content-type": "application/json"},
                "body": {"model": "m"},
            }
        ],
        "elapsed": 1.0,
    }


def changed(*path: Any, to: Any) -> Result:
    """The same with another value at `path`."""
    result = answer()
    place: Any = result
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return result


@pytest.mark.parametrize("name", names())
def test_every_scenario_is_complete_and_agrees_with_itself(name: str) -> None:
    """Each scenario has a truth, one result per request (one in all when repeated), which agrees with itself."""
    scenario, truth = load_scenario(name), load_truth(name)

    assert scenario["id"] == name
    assert len(truth) == (1 if "repeat" in scenario else len(requests_of(scenario)))
    assert differences(truth, deepcopy(truth), scenario.get("compare")) == {}


@pytest.mark.parametrize(
    ("aspect", "got"),
    [
        ("status", changed("status", to=500)),
        ("headers", changed("headers", "x-portkey-provider", to="anthropic")),
        ("body", changed("body", "n", to=2)),
        ("attempts", changed("attempts", 0, "path", to="/v2")),
        ("upstream_auth", changed("attempts", 0, "auth", to=None)),
        ("upstream_body", changed("attempts", 0, "body", "model", to="other")),
        ("upstream_headers", changed("attempts", 0, "headers", "content-type", to="text/plain")),
        ("timing", changed("elapsed", to=2.0)),
        ("timing", changed("elapsed", to=0.5)),
    ],
)
def test_each_aspect_is_noticed_alone(aspect: str, got: Result) -> None:
    """A change in one aspect is a difference of that aspect, and is explained with what changed."""
    found = differences([answer()], [got])

    assert list(found) == [aspect]
    assert explain(found).startswith(f"{aspect} of answer 1:\n")
    assert "\n    -" in explain(found)
    assert "\n    +" in explain(found)


@pytest.mark.parametrize(
    "got",
    [
        changed("headers", "content-type", to="application/json"),
        changed("headers", "cache-control", to="no-cache"),
        changed("attempts", 0, "headers", "accept", to="text/html"),
        changed("elapsed", to=1.5),
        changed("elapsed", to=None),
    ],
)
def test_what_is_not_the_gateways_doing_agrees(got: Result) -> None:
    """Parameters of the content type, the client's own headers and half a second of delay are no difference."""
    assert differences([answer()], [got]) == {}


def test_a_missing_answer_differs_in_everything_it_had() -> None:
    """Fewer results than recorded are a difference, of the request that has none."""
    found = differences([answer(), answer()], [answer()])

    assert set(found) == set(ASPECTS) - {"timing"}
    assert {each.request for differing in found.values() for each in differing} == {1}


def test_the_end_of_a_stream_is_part_of_its_body() -> None:
    """The same events with another end are a difference of the body."""
    clean = {"status": 200, "sse": [{"data": "x"}], "stream_end": "clean"}

    assert list(differences([clean], [{**clean, "stream_end": "aborted"}])) == ["body"]


def test_the_hint_shape_compares_keys_and_types() -> None:
    """With `body: shape` another text agrees, another type does not."""
    other_text, other_type = changed("body", "id", to="y"), changed("body", "id", to=None)

    assert differences([answer()], [other_text], {"body": "shape"}) == {}
    assert list(differences([answer()], [other_type], {"body": "shape"})) == ["body"]


@pytest.mark.parametrize(
    ("got", "aspects"),
    [
        ({"client_error": "no answer"}, []),
        ({"status": 500}, []),
        ({"status": 200}, ["status"]),
        ({"status": 500, "attempts": answer()["attempts"]}, ["attempts"]),
    ],
)
def test_the_hint_failure_asks_for_any_failure_without_calls(got: Result, aspects: list[str]) -> None:
    """With `outcome: failure` a 5xx or no answer agrees, a success or a call to a provider does not."""
    assert list(differences([{"client_error": "no answer"}], [got], {"outcome": "failure"})) == aspects


def test_a_repeated_scenario_is_compared_by_its_summary() -> None:
    """Another share of the upstreams is a difference."""
    summary = {"statuses": {"200": 10}, "shares_ok": True, "upstreams": ["a", "b"]}

    assert differences([summary], [dict(summary)]) == {}
    assert list(differences([summary], [{**summary, "shares_ok": False}])) == ["status"]


def test_the_table_counts_by_group_and_aspect() -> None:
    """The table has a row per group and one for all, and is complete only without differences."""
    agreement = Agreement()
    agreement.add("single", {})
    complete = agreement.complete
    agreement.add("single", differences([answer()], [changed("status", to=500)]))

    assert (complete, agreement.complete) == (True, False)
    rows = [line.split() for line in str(agreement).splitlines()]
    assert rows[0] == ["group", "agree", *ASPECTS]
    assert rows[1] == ["single", "1/2", "1", "2", "2", "2", "2", "2", "2", "2"]
    assert rows[2] == ["all", "1/2"]


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ("see http://127.0.0.1:9000/u/k/a/v1/chat", "see {{host:a}}/chat"),
        ("http://127.0.0.1:9000/u/k/ab", "{{root:ab}}"),
        ("connect 127.0.0.1:4711", "connect 127.0.0.1:<port>"),
        ({"created": 1763856000}, {"created": "<created>"}),
        ({"created": 1700000000}, {"created": 1700000000}),
        ({"created_at": "2025-01-01"}, {"created_at": "<ts>"}),
        ([{"execution_time": 3}], [{"execution_time": "<ms>"}]),
        ('{"created": 1763856000}', '{"created":"<created>"}'),
        ('{"created": 1700000000}', '{"created": 1700000000}'),
        ("portkey-1763856000123", "portkey-<ms>"),
        ("input_guardrail_4xz", "input_guardrail_<rand>"),
        ({"n": 5, "flag": True, "none": None}, {"n": 5, "flag": True, "none": None}),
    ],
)
def test_volatile_values_are_replaced(value: Any, normal: Any) -> None:
    """URLs become their placeholders; times and generated ids become marks; all else stays."""
    assert Normaliser(URLS).value(value) == normal


def test_events_are_read_as_results_list_them() -> None:
    """Data is parsed where it is JSON, lines of other fields are kept, and either line ending separates."""
    text = ': hello\n\nevent: ping\r\ndata: {"a": 1}\r\n\r\ndata: one\ndata: two\n\ndata: [DONE]\n\n'

    assert parse_events(text) == [
        {"other": ": hello"},
        {"event": "ping", "data": {"a": 1}},
        {"data": "one\ntwo"},
        {"data": "[DONE]"},
    ]


@pytest.mark.parametrize(("seconds", "rounded"), [(0.0, 0.0), (0.43, 0.0), (0.45, 0.5), (0.99, 1.0), (1.2, 1.0)])
def test_seconds_are_rounded_down_to_a_half(seconds: float, rounded: float) -> None:
    """A delay counts once it is there, give or take the earliness of timers."""
    assert half_seconds(seconds) == rounded


def test_results_without_their_times() -> None:
    """Only the times go, and what is given stays as it was."""
    timed = [{"status": 200, "elapsed": 1.0, "attempts": [{"upstream": "a", "gap": 0.5}]}]

    assert untimed(timed) == [{"status": 200, "attempts": [{"upstream": "a"}]}]
    assert timed[0]["elapsed"] == 1.0


def test_a_request_is_completed_and_its_placeholders_resolved() -> None:
    """Config becomes a header, the body JSON, and placeholders anywhere in them URLs."""
    urls = placeholders({"upstreams": {"a": []}}, lambda name: f"http://x/{name}", "http://refused/v1")

    wire = wire_request(
        {"config": {"custom_host": "{{host:a}}"}, "headers": {"X-Root": "{{root:a}}"}, "body": ["{{refused}}"]}, urls
    )

    assert (wire.method, wire.path, wire.body) == ("POST", "/v1/chat/completions", b'["http://refused/v1"]')
    assert wire.headers == {
        "content-type": "application/json",
        "x-portkey-config": '{"custom_host": "http://x/a/v1"}',
        "x-root": "http://x/a",
    }


def test_a_request_can_be_sent_raw() -> None:
    """A raw body and config are sent as they are, and `content_type: null` sends none."""
    wire = wire_request({"method": "PUT", "path": "/x", "raw_body": "{", "config_raw": "[", "content_type": None}, {})

    assert (wire.method, wire.path, wire.headers, wire.body) == ("PUT", "/x", {"x-portkey-config": "["}, b"{")
