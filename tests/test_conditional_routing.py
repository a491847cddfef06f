"""Conditional routing: which target a query chooses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portkey_testing import FakeGateway
from tests.fake_support import SYNC, body

HIT = "config.targets[0]"
DEFAULT = "config.targets[1]"


def _config(strategy: dict[str, Any]) -> dict[str, Any]:
    targets = [{"name": name, "provider": "openai", "api_key": "K"} for name in ("hit", "default")]
    return {"strategy": {"mode": "conditional", **strategy}, "targets": targets}


def _routed(query: Any, metadata: Any = None, **fields: Any) -> str | None:
    fake = FakeGateway(edition="open-source")
    fake.always("hi")
    config = _config({"conditions": [{"query": query, "then": "hit"}], "default": "default"})
    SYNC.ask(fake, body(**fields), config=config, metadata=json.dumps(metadata))
    return fake.last.route.target


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"metadata.plan": "paid"},
        {"metadata.plan": {"$eq": "paid"}},
        {"metadata.plan.ignored": "paid"},
        {"metadata.age": {"$gt": "17 years", "$lte": 18}},
        {"metadata.plan": {"$in": ["paid", "free"]}},
        {"metadata.missing": {"$ne": "x"}},
        {"metadata.missing": {"$nin": ["x"]}},
        {"metadata.missing": {"$regex": "^undefined$"}},
        {"metadata.plan": {"$regex": "(?<start>p).*d$", "$like": "what follows $regex is not looked at"}},
        {"$or": [{"metadata.plan": "free"}, {"params.model": "gpt-4o-mini"}], "metadata.plan": "not looked at"},
        {"$and": [{"metadata.plan": "paid"}, {"url.pathname": "/v1/chat/completions"}]},
        {"params.temperature": 1},
        {"params.stream": {"$eq": False}},
        {"metadata.plan": {}},
        {"metadata.plan": []},
    ],
    ids=str,
)
def test_a_query_holds(query: Any) -> None:
    """The target it names answers."""
    assert HIT == _routed(query, {"plan": "paid", "age": 18}, temperature=1.0, stream=False)


@pytest.mark.parametrize(
    "query",
    [
        {"metadata.age": "18"},
        {"metadata.age": {"$gt": "years"}},
        {"metadata.flag": 1},
        {"metadata.flag": {"$eq": 1}},
        {"metadata.list": {"$eq": [1]}},
        {"metadata.plan": {"$in": "paid"}},
        {"metadata.plan": {"$nin": "free"}},
        {"metadata.plan": {"$regex": "("}},
        {"metadata": {"$regex": "paid"}},
        {"unknown.plan": "paid"},
        {"metadata.plan": "free", "$or": [{}]},
        {"$or": []},
        {"metadata.nothing": {"$eq": "null"}},
        {"metadata.plan": None},
    ],
    ids=str,
)
def test_a_query_does_not_hold(query: Any) -> None:
    """The default target answers: types are not converted, and a list is never equal to another."""
    assert DEFAULT == _routed(query, {"plan": "paid", "age": 18, "flag": True, "list": [1], "nothing": None})


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({}, "No conditions passed in the query router"),
        ({"conditions": []}, "Query router did not resolve to any valid target"),
        ({"conditions": [], "default": ""}, "Query router did not resolve to any valid target"),
        ({"conditions": [], "default": "nobody"}, "Invalid target name found in the query router: nobody"),
        (
            {"conditions": [{"query": {"metadata.a": {"$like": "b"}}, "then": "hit"}]},
            "Unsupported operator used in the query router: $like",
        ),
        (
            {"conditions": [{"query": {"metadata.a": ["b"]}, "then": "hit"}]},
            "Unsupported operator used in the query router: 0",
        ),
    ],
)
def test_a_router_that_leads_nowhere_is_a_400(strategy: dict[str, Any], message: str) -> None:
    """The gateway says why, without headers of its own, and calls nobody."""
    fake = FakeGateway(edition="open-source")

    answer = SYNC.ask(fake, config=_config(strategy))

    assert (400, {"status": "failure", "message": message}) == (answer.status, answer.json)
    assert not [name for name in answer.headers if name.startswith("x-portkey-")]
    assert [] == fake.last.route.attempts


def test_overrides_are_not_seen() -> None:
    """Queries look at what the application sent."""
    fake = FakeGateway(edition="open-source")
    fake.always("hi")
    config = _config({"conditions": [{"query": {"params.model": "other"}, "then": "hit"}], "default": "default"})

    SYNC.ask(fake, config={**config, "override_params": {"model": "other"}})

    assert DEFAULT == fake.last.route.target
    assert "other" == fake.last.route.attempts[0].request.body["model"]
