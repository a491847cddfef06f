"""What is known of models by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final

from portkey_testing._data import table

OVERRIDE: Final = 'give the target its own with "override_params": {"model": ...}'
"""What to do about a model that a provider does not have."""


@lru_cache(maxsize=256)
def foreign_to(provider: str, model: str) -> str | None:
    """Whose model it is, if it is known to be another provider's."""
    return next(
        (
            owner
            for owner, beginnings in _known()["families"].items()
            if owner != provider and model.startswith(tuple(beginnings))
        ),
        None,
    )


@lru_cache(maxsize=256)
def reasons(model: str) -> bool:
    """It is one of OpenAI's reasoning models, which fix the sampling parameters."""
    return _pattern("reasoning").fullmatch(model) is not None


def refuses_system_messages(model: str) -> bool:
    return _pattern("without_system_message").fullmatch(model) is not None


def refuses_parallel_tool_calls(model: str) -> bool:
    return _pattern("without_parallel_tool_calls").fullmatch(model) is not None


def refuses_reasoning_effort(model: str) -> bool:
    return _pattern("without_reasoning_effort").fullmatch(model) is not None


def refuses_images(model: str) -> bool:
    return _pattern("without_images").fullmatch(model) is not None


@lru_cache(maxsize=256)
def output_limit(model: str) -> int | None:
    """The most tokens a model can be asked for; None if that is not known."""
    limits = _known()["output_limits"].items()
    return next((limit for pattern, limit in limits if re.fullmatch(pattern, model)), None)


@cache
def _known() -> Mapping[str, Any]:
    return table("model_families")


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(_known()[name])
