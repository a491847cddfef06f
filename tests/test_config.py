"""The typed gateway config: what it becomes, and how it says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from portkey_client import Cache, Condition, Config, ConfigError, Portkey, PortkeyError, Retry, Strategy, Target


def test_a_config_becomes_the_gateways_json() -> None:
    """Only what was given is written, under the gateway's own names, unknown provider fields included."""
    own_field = {"aws_region": "eu-north-1"}
    config = Config(
        strategy=Strategy(mode="fallback", on_status_codes=[429]),
        targets=[
            Target(provider="openai", api_key="k", retry=Retry(attempts=2), weight=1),
            Target(provider="bedrock", **own_field),  # type: ignore[arg-type]  # a provider's own
        ],
        cache=Cache(mode="simple", max_age=60),
        request_timeout=5000,
    )

    assert {
        "strategy": {"mode": "fallback", "on_status_codes": [429]},
        "targets": [
            {"provider": "openai", "api_key": "k", "retry": {"attempts": 2}, "weight": 1},
            {"provider": "bedrock", "aws_region": "eu-north-1"},
        ],
        "cache": {"mode": "simple", "max_age": 60},
        "request_timeout": 5000,
    } == json.loads(config.to_json())


def test_parts_may_be_given_as_dicts() -> None:
    """Dicts and parts mix at every level, to the same config."""
    typed = Config(
        strategy=Strategy(
            mode="conditional",
            conditions=[Condition(query={"metadata.plan": {"$eq": "paid"}}, then="big")],
            default="small",
        ),
        targets=[Target(name="big", provider="openai"), Target(name="small", provider="groq")],
    )
    plain: dict[str, Any] = json.loads(typed.to_json())

    assert typed == Config(**plain)
    assert typed == Config(**{**plain, "targets": [Target(name="big", provider="openai"), plain["targets"][1]]})


TARGET = {"provider": "openai", "api_key": "k"}
NAMED = {**TARGET, "name": "a"}


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"strategy": {"mode": "roundrobin"}, "targets": [TARGET]}, "strategy.mode", ["'loadbalance'", "'roundrobin'"]),
        ({"strategy": {}, "targets": [TARGET]}, "strategy.mode", ["required", "nothing"]),
        ({"strategy": "fallback", "targets": [TARGET]}, "strategy", ["a dict", "str 'fallback'"]),
        ({"strategy": {"mode": "single"}}, "targets", ["at least one target", "none"]),
        ({"strategy": {"mode": "single"}, "targets": []}, "targets", ["at least one target", "an empty list"]),
        ({"targets": [TARGET]}, "strategy", ["there are targets", "none"]),
        ({"provider": 3}, "provider", ["a str", "int 3"]),
        ({"api_key": 3}, "api_key", ["a str", "int (not shown)"]),
        ({"retry": {"attempts": -1}}, "retry.attempts", ["not below 0", "int -1"]),
        ({"retry": {"attempts": "3"}}, "retry.attempts", ["an int", "str '3'"]),
        ({"retry": {"attempts": 1, "on_status_codes": [42]}}, "retry.on_status_codes[0]", ["not below 100", "42"]),
        ({"retry": {"atempts": 1, "attempts": 1}}, "retry.atempts", ["use_retry_after_header", "mean 'attempts'?"]),
        ({"cache": {"mode": "simple", "maxAge": 1}}, "cache.maxAge", ["one of mode, max_age"]),
        ({"requestTimeout": 500}, "requestTimeout", ["did you mean 'request_timeout'?"]),
        ({"drop_params": "logprobs"}, "drop_params", ["a list", "str 'logprobs'"]),
        ({"passthrough": "yes"}, "passthrough", ["a bool", "str 'yes'"]),
        (
            {"strategy": {"mode": "loadbalance", "sticky": {"enabled": True}}, "targets": [TARGET]},
            "strategy.sticky.hash_fields",
            ["required"],
        ),
        (
            {"strategy": {"mode": "fallback", "cb_config": {"cooldown_interval": 10}}, "targets": [TARGET]},
            "strategy.cb_config.cooldown_interval",
            ["not below 30000", "int 10"],
        ),
        ({"cache": {"mode": "fuzzy"}}, "cache.mode", ["'semantic'", "'fuzzy'"]),
        ({"request_timeout": True}, "request_timeout", ["an int", "bool True"]),
        ({"request_timeout": 0}, "request_timeout", ["above 0"]),
        ({"custom_host": "api.openai.com"}, "custom_host", ["http or https URL", "api.openai.com"]),
        ({"stratgy": {"mode": "single"}}, "stratgy", ["did you mean 'strategy'?"]),
        (
            {"strategy": {"mode": "fallback"}, "targets": [TARGET, {**TARGET, "override_param": {}}]},
            "targets[1].override_param",
            ["did you mean 'override_params'?"],
        ),
        (
            {"strategy": {"mode": "fallback"}, "targets": [TARGET, {"strategy": {"mode": "x"}, "targets": [TARGET]}]},
            "targets[1].strategy.mode",
            ["'x'"],
        ),
        (
            {"strategy": {"mode": "loadbalance"}, "targets": [{**TARGET, "weight": 0}]},
            "targets",
            ["a weight above 0"],
        ),
        (
            {"strategy": {"mode": "loadbalance"}, "targets": [{**TARGET, "weight": -1}]},
            "targets[0].weight",
            ["not below 0"],
        ),
        ({"strategy": {"mode": "conditional"}, "targets": [TARGET]}, "strategy.conditions", ["at least one condition"]),
        (
            {
                "strategy": {"mode": "conditional", "conditions": [{"query": {}, "then": "a"}], "default": "b"},
                "targets": [{**TARGET, "name": "a"}],
            },
            "strategy.default",
            ["'a'", "'b'"],
        ),
        *(
            (
                {
                    "strategy": {"mode": "conditional", "conditions": [{"query": query, "then": "a"}]},
                    "targets": [NAMED],
                },
                f"strategy.conditions[0].query{path}",
                words,
            )
            for query, path, words in [
                ({"metadata.plan": {"$equals": "paid"}}, "['metadata.plan']['$equals']", ["$eq, $ne", "'$equals'"]),
                ({"metadata.a.b": 1}, "['metadata.a.b']", ["one name behind it", "'metadata.a.b'"]),
                ({"plan": "paid"}, "['plan']", ["'metadata.…'"]),
                ({"$and": {"metadata.a": 1}}, "['$and']", ["a list of queries", "dict {"]),
                ({"$or": [{"params.n": {"$gte": 1, "$lq": 2}}]}, "['$or'][0]['params.n']['$lq']", ["$lte", "'$lq'"]),
            ]
        ),
    ],
)
def test_a_mistake_is_named_with_its_path(fields: dict[str, Any], path: str, words: list[str]) -> None:
    """One error says where, what was expected and what came; it is ours and a ValueError."""
    with pytest.raises(ConfigError) as caught:
        Config(**fields)

    error = caught.value
    assert path == error.path
    assert issubclass(ConfigError, PortkeyError)
    assert issubclass(ConfigError, ValueError)
    assert str(error).startswith(f"Config: {path}: expected ")
    assert [] == [word for word in words if word not in str(error)]


@pytest.mark.parametrize(
    ("make", "start"),
    [
        (lambda: Strategy(mode="x"), "Strategy: mode: "),  # type: ignore[arg-type]  # the mistake
        (lambda: Retry(attempts=-1), "Retry: attempts: "),
        (lambda: Cache(mode="simple", max_age=0), "Cache: max_age: "),
        (lambda: Target(weight=-1), "Target: weight: "),
    ],
)
def test_a_part_is_checked_where_it_is_made(make: Callable[[], object], start: str) -> None:
    """A mistake in a part is found on its own line of the program."""
    with pytest.raises(ConfigError) as caught:
        make()

    assert str(caught.value).startswith(start)


@pytest.mark.parametrize(
    "fields",
    [
        {"provider": "@openai-prod", "retry": {"attempts": 3, "use_retry_after_headers": True}},
        {
            "strategy": {
                "mode": "loadbalance",
                "sticky": {"enabled": True, "hash_fields": ["metadata.user_id"], "ttl": 3600},
                "cb_config": {"failure_threshold": 5, "cooldown_interval": 60000, "failure_status_codes": [429]},
            },
            "targets": [{"passthrough": True, "weight": 0.5}, {"virtual_key": "v", "weight": 0.5}],
        },
        {
            "strategy": {
                "mode": "conditional",
                "conditions": [{"query": {"$and": [{"url.pathname": "/v1"}, {"params.n": {"$gt": 1}}]}, "then": "a"}],
                "default": "a",
            },
            "targets": [{**NAMED, "default_params": {"n": 1}, "drop_params": ["tools[*].function.strict"]}],
        },
    ],
)
def test_what_only_the_hosted_gateway_follows_is_known(fields: dict[str, Any]) -> None:
    """Its fields are typed and go out as they are written."""
    assert fields == Config(**fields).to_dict()


def test_keys_do_not_show_in_a_config() -> None:
    """A config that is printed or logged keeps its credentials to itself."""
    shown = repr(Config(provider="openai", api_key="s3cret", virtual_key="s3cret"))

    assert "openai" in shown
    assert "s3cret" not in shown


def test_a_config_goes_out_as_a_header() -> None:
    """The client sends a typed config as the header that a dict would have become."""
    config = Config(provider="openai", api_key="k")

    assert Portkey(api_key="PK", config=config).headers == Portkey(api_key="PK", config=config.to_dict()).headers
