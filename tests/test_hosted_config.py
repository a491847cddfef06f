"""The fields of a config that only the hosted product follows."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from portkey_testing import FakeGateway, UnknownToGateway, error
from tests.fake_support import SYNC, TOOLS, URL, body, headers

OPENAI = {"provider": "openai", "api_key": "K"}
CLAUDE = {"provider": "anthropic", "api_key": "A"}


def _ask_beside(fake: FakeGateway, provider: str | None, config: dict[str, Any], **fields: Any) -> int:
    """The status of a request that names a provider in a header beside its config."""
    named = {} if provider is None else {"x-portkey-provider": provider}
    with httpx.Client(transport=fake.transport()) as client:
        return client.post(URL, json=body(**fields), headers={**headers(config=config), **named}).status_code


def _sent(config: dict[str, Any], **fields: Any) -> Any:
    """The body that the provider got of a request with that config."""
    fake = FakeGateway()
    fake.always("hi")
    assert 200 == SYNC.ask(fake, body(**fields), config=config).status
    return fake.last.route.attempts[-1].request.body


@pytest.mark.parametrize(
    ("retry", "edition", "providers_asked"),
    [
        ({"attempts": 1}, "hosted", 2),
        ({"attempts": 1}, "open-source", 1),
        ({"attempts": 1, "on_status_codes": [429]}, "hosted", 1),
        ({"attempts": 0}, "hosted", 1),
    ],
)
def test_an_overload_is_retried_by_default(retry: dict[str, Any], edition: Any, providers_asked: int) -> None:
    """529 is one of the hosted product's own defaults."""
    fake = FakeGateway(edition=edition)
    fake.provider("anthropic").always(error("overloaded"))

    answer = SYNC.ask(fake, body(model="claude-sonnet-4-5", max_tokens=9), config={**CLAUDE, "retry": retry})

    assert (529, providers_asked) == (answer.status, len(fake.last.route.attempts))


@pytest.mark.parametrize(
    ("name", "edition", "waited"),
    [
        ("use_retry_after_headers", "hosted", 20),
        ("use_retry_after_header", "hosted", 20),
        ("use_retry_after_header", "open-source", 20),
        ("use_retry_after_headers", "open-source", 1),
    ],
)
def test_retry_after_goes_by_two_names(name: str, edition: Any, waited: float) -> None:
    """The open-source gateway does not know the one in the product's documentation, and backs off."""
    fake = FakeGateway(edition=edition)
    fake.reply(error("rate_limited", retry_after=20), "hi")

    SYNC.ask(fake, config={**OPENAI, "retry": {"attempts": 1, name: True}})

    assert [waited] == [wait.seconds for wait in fake.last.route.waits]


@pytest.mark.parametrize(
    ("outer", "inner", "fields", "expected"),
    [
        ({"default_params": {"seed": 1}}, {}, {}, 1),
        ({"default_params": {"seed": 1}}, {}, {"seed": 2}, 2),
        ({"default_params": {"seed": 1}}, {"override_params": {"seed": 3}}, {}, 3),
        ({"default_params": {"seed": 1}}, {"default_params": {"seed": 4}}, {}, 4),
        ({"override_params": {"seed": 3}}, {"default_params": {"seed": 4}}, {}, 3),
        ({"drop_params": ["seed"]}, {"override_params": {"seed": 3}}, {"seed": 2}, None),
        ({"drop_params": ["seed"]}, {"drop_params": ["user"]}, {"seed": 2}, 2),
    ],
)
def test_defaults_then_overrides_then_drops(
    outer: dict[str, Any], inner: dict[str, Any], fields: dict[str, Any], expected: int | None
) -> None:
    """A default fills a gap, an override replaces, a drop takes away; targets inherit all three."""
    config = {"strategy": {"mode": "single"}, "targets": [{**OPENAI, **inner}], **outer}

    assert expected == _sent(config, **fields).get("seed")


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("tools[0].function.parameters", [False, True]),
        ("tools[*].function.parameters", [False, False]),
        ("tools[7].function.parameters", [True, True]),
        ("tools.function.parameters", [True, True]),
        ("tools[1]", [True]),
    ],
)
def test_a_path_leads_into_lists(path: str, kept: list[bool]) -> None:
    """To one element, or to all of them; a path that leads nowhere is ignored."""
    functions = [tool["function"] for tool in _sent({**OPENAI, "drop_params": [path]}, tools=TOOLS)["tools"]]

    assert kept == ["parameters" in function for function in functions]


def test_an_element_of_a_list_is_taken_out() -> None:
    """That one, and no other."""
    tools = _sent({**OPENAI, "drop_params": ["tools[0]"]}, tools=TOOLS)["tools"]

    assert ["get_time"] == [tool["function"]["name"] for tool in tools]


def test_the_open_source_gateway_ignores_them() -> None:
    """Without a word, as every field it does not know."""
    fake = FakeGateway(edition="open-source")
    fake.always("hi")

    SYNC.ask(fake, body(user="u"), config={**OPENAI, "default_params": {"seed": 1}, "drop_params": ["user"]})

    sent = fake.last.route.attempts[0].request.body
    assert ("u", None) == (sent["user"], sent.get("seed"))


PASSING = {"strategy": {"mode": "fallback"}, "targets": [{"passthrough": True}, CLAUDE]}


@pytest.mark.parametrize(
    ("model", "provider", "key"),
    [
        ("@prod/gpt-4o", None, "Bearer key-of-prod"),
        ("gpt-4o", "@prod", "Bearer key-of-prod"),
        ("gpt-4o", "openai", "Bearer KEY"),
    ],
)
def test_a_target_passes_the_provider_of_the_request_through(model: str, provider: str | None, key: str) -> None:
    """From the model, from a slug in the header, or from a provider's name with the key beside it."""
    fake = FakeGateway()
    fake.virtual_key("prod", provider="openai")
    fake.always("hi")

    _ask_beside(fake, provider, PASSING, model=model)

    sent = fake.last.route.attempts[0].request
    assert (key, "gpt-4o") == (sent.headers["authorization"], sent.body["model"])


def test_a_request_that_names_no_provider_has_none_to_pass_through() -> None:
    """It fails the test, with what to write."""
    with pytest.raises(UnknownToGateway, match=r'"passthrough": true.*provider="@slug"'):
        SYNC.ask(FakeGateway(), config=PASSING)


def _sticky(ttl: float | None = None, **settings: Any) -> dict[str, Any]:
    sticky = {"enabled": True, "hash_fields": ["metadata.user"], **({} if ttl is None else {"ttl": ttl}), **settings}
    return {"strategy": {"mode": "loadbalance", "sticky": sticky}, "targets": [OPENAI] * 8}


def _targets(fake: FakeGateway, config: dict[str, Any], *users: str) -> list[str | None]:
    for user in users:
        SYNC.ask(fake, config=config, metadata=f'{{"user": "{user}"}}')
    return [call.route.target for call in fake.calls[-len(users) :]]


def test_a_sticky_group_keeps_a_user_at_one_target() -> None:
    """And others at others, as they were drawn."""
    fake = FakeGateway(seed=3)
    fake.always("hi")

    found = _targets(fake, _sticky(), *"abc" * 4)

    assert found == found[:3] * 4
    assert 1 < len(set(found))


@pytest.mark.parametrize(("ttl", "seconds", "targets"), [(60, 59, 1), (60, 60, 2), (None, 3599, 1), (None, 3600, 2)])
def test_a_user_is_kept_for_a_while(ttl: float | None, seconds: float, targets: int) -> None:
    """For `ttl` seconds of the fake's clock, an hour if not given; then the target is drawn anew."""
    fake = FakeGateway(seed=1)
    fake.always("hi")

    first = _targets(fake, _sticky(ttl), "a")
    fake.clock.sleep(seconds)
    later = _targets(fake, _sticky(ttl), "a")

    assert targets == len({*first, *later})


def test_a_forced_draw_moves_a_user() -> None:
    """Who stays at the new target."""
    fake = FakeGateway()
    fake.always("hi")
    found = []

    for target in ("config.targets[2]", "config.targets[5]"):
        fake.pick(target)
        found += _targets(fake, _sticky(), "a", "a")

    assert ["config.targets[2]"] * 2 + ["config.targets[5]"] * 2 == found


@pytest.mark.parametrize("settings", [{"enabled": False}, {"hash_fields": ["metadata.team"]}, {"hash_fields": "user"}])
def test_a_group_that_is_not_sticky_draws_each_time(settings: dict[str, Any]) -> None:
    """It is switched off, or the request has nothing to tell users apart by."""
    fake = FakeGateway()
    fake.always("hi")

    assert 1 < len(set(_targets(fake, _sticky(**settings), *"aaaaaaaaaa")))


@pytest.mark.parametrize("field", [{"forward_headers": ["x"]}, {"default_params": {}}, {"drop_params": []}])
def test_more_fields_make_a_whole_config(field: dict[str, Any]) -> None:
    """With the provider in a header; the open-source gateway asks for one in the config."""
    statuses = []
    for edition in ("hosted", "open-source"):
        fake = FakeGateway(edition=edition)
        fake.always("hi")
        statuses.append(_ask_beside(fake, "openai", field))

    assert [200, 400] == statuses
