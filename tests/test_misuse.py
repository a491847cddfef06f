"""Mistakes that everybody makes once: each is told what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portkey_client import Portkey
from portkey_testing import FakeGateway, UnscriptedRequest


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
