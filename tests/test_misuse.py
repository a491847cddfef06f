"""Mistakes that everybody makes once: each is told what to do instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from portkey_client import Config, Portkey
from portkey_testing import (
    BrokenScript,
    FakeGateway,
    UnscriptedRequest,
    UnusedReplies,
    audio,
    choices,
    chunks,
    completion,
    error,
    fault,
    text,
)
from portkey_testing.cassettes import MatchRules, Redactor
from tests.fake_support import SYNC, body

SUNNY: Any = "Sunny"
FIVE: Any = 5
STATUS: Any = 429
RUN_ID: Any = "body.run_id"
OVERLOADED: Any = error("overloaded")
"""What a type checker would not let pass."""


@pytest.mark.parametrize("method", ["mount", "serve", "replay", "record"])
def test_a_block_without_with_is_told(method: str, tmp_path: Path) -> None:
    """It does nothing, so it warns at the line that wrote it; whoever goes on to use it is told at once."""
    arguments = (tmp_path / "x.yaml",) if method in {"replay", "record"} else ()
    with pytest.warns(RuntimeWarning, match=rf"write `with fake\.{method}\(\.\.\.\) as") as warned:
        getattr(FakeGateway(), method)(*arguments)

    assert __file__ == warned[0].filename
    with pytest.raises(AttributeError, match=rf"write `with fake\.{method}\(\.\.\.\).*which gives what has 'url'"):
        _ = getattr(FakeGateway(), method)(*arguments).url


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"seed": "7"}, TypeError, "--portkey-seed"),
        ({"edition": "hostd"}, ValueError, "'open-source'"),
        ({"gateway_urls": "http://h/v1"}, TypeError, r"as in \['http://h/v1'\]"),
        ({"gateway_urls": ["localhost:8787"]}, ValueError, "http://localhost:8787/v1"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(options: Any, error: type[Exception], said: str) -> None:
    """When the fake is made, not when something goes its own way later on."""
    with pytest.raises(error, match=said):
        FakeGateway(**options)


def test_a_fake_within_another_answers_alone() -> None:
    """Whoever scripted the outer one is told, and there is no such word where there is one."""
    messages: Any = [{"role": "user", "content": "Weather in Oslo?"}]
    outer, inner = FakeGateway(), FakeGateway()
    outer.reply("Sunny")

    with Portkey(api_key="k", provider="openai") as client, outer.mounted():
        with inner.mounted(), pytest.raises(UnscriptedRequest, match=r"2 fakes are mounted.*the innermost answers"):
            client.chat.completions.create(model="gpt-4o", messages=messages)
        client.chat.completions.create(model="gpt-4o", messages=messages)
        with pytest.raises(UnscriptedRequest) as alone:
            client.chat.completions.create(model="gpt-4o", messages=messages)

    assert "fakes are mounted" not in str(alone.value)


@pytest.mark.parametrize(
    "name_it",
    [
        lambda fake, name: fake.provider(name),
        lambda fake, name: fake.when(provider=name),
        lambda fake, name: fake.virtual_key("prod", provider=name),
        lambda fake, name: fake.default_provider(name),
    ],
    ids=["provider", "when", "virtual_key", "default_provider"],
)
def test_a_provider_that_the_gateway_does_not_know_is_refused(name_it: Callable[[FakeGateway, str], object]) -> None:
    """No attempt could ever be for it, so the nearest is named where it was written."""
    with pytest.raises(ValueError, match=r"no provider is called 'opena'\. Did you mean 'openai'\?"):
        name_it(FakeGateway(), "opena")


@pytest.mark.parametrize(
    ("write", "error", "said"),
    [
        (lambda fake: fake.provider("openai", model=5), TypeError, r"model=\.\.\. takes a string, not 5"),
        (lambda fake: fake.provider("openai", target="targets[0]"), ValueError, r"'config\.targets\[1\]'"),
        (lambda fake: fake.when(target="config.target[0]"), ValueError, r"'config', not 'config\.target\[0\]'"),
        (lambda fake: fake.when(tool_result="21"), TypeError, r"tool_result=.* a dict of names to values, not '21'"),
        (lambda fake: fake.when(metadata=["plan"]), TypeError, r"metadata=.* a dict"),
        (lambda fake: fake.when(json=["model"]), TypeError, r"json=.* a dict"),
        (lambda fake: fake.when(messages={"role": "user"}), TypeError, "the whole conversation, a list of dicts"),
        (lambda fake: fake.when(messages=5), TypeError, "the whole conversation, a list of dicts, not 5"),
        (lambda fake: fake.when(message=re.compile(b"Oslo")), TypeError, "a part of the text or a compiled pattern"),
        (lambda fake: fake.pick(1), ValueError, r"'config\.targets\[1\]', not 1"),
        (lambda fake: fake.allow(["unused_replies"]), TypeError, "one by one"),
        (lambda fake: fake.virtual_key(5, provider="openai"), TypeError, "'openai-prod', not 5"),
        (lambda fake: fake.virtual_key("k", provider="openai", custom_host="h"), ValueError, "a base URL .* not 'h'"),
        (lambda fake: fake.saved_config(5, {}), TypeError, "'pc-prod-1', not 5"),
        (lambda fake: fake.saved_config("pc", "pc-2"), TypeError, r"saved_config\('pc'\).*portkey_client\.Config"),
        (lambda fake: fake.default_config("pc-2"), TypeError, r"default_config\(\).*not 'pc-2'"),
        (
            lambda fake: fake.serve(port="80").__enter__(),
            TypeError,
            "serve.port=.* a number, 0 for any free port, not '80'",
        ),
        (lambda fake: fake.serve(port=99999).__enter__(), ValueError, "from 0 to 65535, not 99999"),
        (lambda fake: fake.allow("unused_reply"), ValueError, r"'unused_reply'\. Did you mean 'unused_replies'\?"),
        (lambda fake: fake.allow(), TypeError, "at least one rule"),
        (lambda fake: fake.load({"scripts": []}), TypeError, "the path of a scenario file, not {'scripts'"),
        (lambda fake: fake.replay("x.yaml", rules={}).__enter__(), TypeError, r"a MatchRules.*, not \{\}"),
        (lambda _: MatchRules(ignore=RUN_ID), TypeError, r"as in ignore=\('body\.run_id',\), not a single text"),
        (lambda _: MatchRules(normalise=RUN_ID), TypeError, r"normalise takes several"),
        (lambda _: Redactor(fields=RUN_ID), TypeError, r"fields takes several"),
        (lambda _: Redactor(off=RUN_ID), TypeError, r"off takes several"),
        (lambda _: Redactor(rules=FIVE), TypeError, r"patterns by name, .*, not 5"),
        (lambda fake: fake.reply(200), ValueError, r"status\(200\) needs a body.* scripted as a text"),
        (lambda fake: fake.reply(httpx.ReadTimeout("x")), TypeError, r"a fault.*fake\.gateway\.reply"),
        (lambda _: error(STATUS), TypeError, r"a bare status is status\(429\)"),
        (lambda _: fault("ReadTimeout"), ValueError, "the faults stall_before_headers, stall:"),
        (lambda fake: fake.record("x.yaml", "localhost").__enter__(), ValueError, "gateway takes base URLs such as"),
        (lambda _: completion(SUNNY), TypeError, "a whole chat completion as a dict, not a str"),
        (lambda _: chunks(SUNNY), TypeError, "each chunk as a dict, not a str"),
        (lambda _: choices(), TypeError, "at least one"),
        (lambda _: audio("Hello", SUNNY), TypeError, "the sound as bytes, not a str"),
        (lambda _: text("Sunny") + OVERLOADED, TypeError, "only what a model says makes up one answer"),
        (lambda _: FIVE + text("Sunny"), TypeError, r"5 \+ text\('Sunny'\): only what a model says"),
        (lambda _: text("Sunny").with_logprobs(SUNNY), TypeError, r"pairs such as \('It', -0\.1\), not 'Sunny'"),
        (lambda fake: fake.guardrail("g", "no"), TypeError, "checks by name"),
        (lambda fake: fake.guardrail("g", {"default.contain": {}}), ValueError, r"mean 'default\.contains'\?"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_line(
    write: Callable[[Any], object], error: type[Exception], said: str
) -> None:
    """With what it takes and what came."""
    with pytest.raises(error, match=said):
        write(FakeGateway())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"strategy": {"mode": "fallbak"}, "targets": []}, "path: strategy,mode, message: Invalid 'mode' value"),
        (
            {"strategy": {"mode": "loadbalance"}, "targets": [{"virtual_key": "later", "weight": "5"}]},
            "path: targets,0,weight, message: Expected number, received string",
        ),
    ],
)
def test_a_config_that_the_gateway_would_not_save_is_refused(config: dict[str, Any], said: str) -> None:
    """In the gateway's own words, at the line that registers it; in a request it is refused on the wire."""
    fake = FakeGateway()

    with pytest.raises(ValueError, match=re.escape(f"saved_config('pc'): the gateway refuses this config: {said}")):
        fake.saved_config("pc", config)
    with pytest.raises(ValueError, match=re.escape(f"default_config(): the gateway refuses this config: {said}")):
        fake.default_config(config)


def test_a_typed_config_can_be_registered() -> None:
    """As the dict that it stands for."""
    fake = FakeGateway()
    fake.saved_config("pc", Config(provider="openai", api_key="K"))
    fake.always("hi")

    with Portkey(api_key="k", config="pc") as client, fake.mounted():
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello?"}])

    assert ["openai"] == fake.last.route.providers


def _broken(_attempt: Any) -> Any:
    raise LookupError("no such city")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (lambda fake: fake.reply(_broken), "_broken at .*test_misuse.py:.* raised LookupError: no such city"),
        (lambda fake: fake.when(predicate=_broken).always("hi"), "_broken at .* raised LookupError"),
        (lambda fake: fake.reply(lambda: "hi"), "raised TypeError: .* takes 0 positional arguments but 1 was given"),
        (lambda fake: fake.reply(lambda _attempt: None), "gave no reply: .* not a NoneType"),
        (lambda fake: fake.gateway.reply(_broken), "_broken at .* raised LookupError"),
    ],
)
def test_a_function_that_goes_wrong_fails_the_test(script: Callable[[FakeGateway], object], said: str) -> None:
    """Even where the application catches every exception: it must not be taken for a broken connection."""
    fake = FakeGateway()
    script(fake)

    with pytest.raises(BrokenScript, match=said):
        SYNC.ask(fake)
    with pytest.raises(BrokenScript, match=said):
        fake.verify()


def test_leftovers_say_who_was_asked_instead() -> None:
    """A script for a provider that no target uses is easily found."""
    fake = FakeGateway()
    fake.provider("anthropic").reply("hi")
    fake.provider("openai").always("hello")

    SYNC.ask_all(fake, [body(), body()])

    with pytest.raises(UnusedReplies, match=r"for provider='anthropic'.*\n2 calls came, to openai \(2 attempts\)"):
        fake.verify()


def test_leftovers_say_that_nobody_called() -> None:
    """Where the application never got that far."""
    fake = FakeGateway()
    fake.reply("hi")

    with pytest.raises(UnusedReplies, match=r"No call came\."):
        fake.verify()
