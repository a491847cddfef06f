"""A fake Portkey gateway for tests, offline and in virtual time.

The names load when they are first used, so that a pytest run that does not use them pays nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portkey_testing.chaos import fault_matrix
    from portkey_testing.clock import VirtualClock
    from portkey_testing.failures import (
        BrokenScript,
        CassetteMiss,
        DishonestReply,
        EscapedRequest,
        HangingRequest,
        NotRecorded,
        NotSimulated,
        PortkeyTestFailure,
        RefusedRequest,
        SeveralFailures,
        UnknownToGateway,
        UnplayedInteractions,
        UnscriptedRequest,
        UnusedReplies,
    )
    from portkey_testing.gateway import FakeGateway
    from portkey_testing.replies import (
        audio,
        choices,
        chunks,
        completion,
        error,
        fault,
        native,
        parsed,
        reasoning,
        recorded,
        refusal,
        status,
        text,
        tool_call,
    )
    from portkey_testing.scenario import ScenarioError

__all__ = [
    "BrokenScript",
    "CassetteMiss",
    "DishonestReply",
    "EscapedRequest",
    "FakeGateway",
    "HangingRequest",
    "NotRecorded",
    "NotSimulated",
    "PortkeyTestFailure",
    "RefusedRequest",
    "ScenarioError",
    "SeveralFailures",
    "UnknownToGateway",
    "UnplayedInteractions",
    "UnscriptedRequest",
    "UnusedReplies",
    "VirtualClock",
    "audio",
    "choices",
    "chunks",
    "completion",
    "error",
    "fault",
    "fault_matrix",
    "native",
    "parsed",
    "reasoning",
    "recorded",
    "refusal",
    "status",
    "text",
    "tool_call",
]

_HOMES = {"FakeGateway": "gateway", "ScenarioError": "scenario", "VirtualClock": "clock", "fault_matrix": "chaos"}
"""Modules of the names that are neither replies, which are in lower case, nor failures."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = _HOMES.get(name) or ("replies" if name.islower() else "failures")
        value = getattr(import_module(f"{__name__}.{home}"), name)
    except ModuleNotFoundError as cause:
        if cause.name is None or cause.name.startswith("portkey_"):
            raise
        raise ModuleNotFoundError(
            f'portkey_testing needs {cause.name}, which comes with: pip install "portkey-testing[testing]"',
            name=cause.name,
        ) from cause
    globals()[name] = value
    return value
