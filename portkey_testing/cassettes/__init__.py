"""Cassettes: exchanges with a real gateway, recorded once and replayed for ever."""

from __future__ import annotations

from portkey_testing.cassettes.match import NORMALISERS, MatchRules
from portkey_testing.cassettes.model import (
    BinaryBody,
    Cassette,
    CassetteError,
    EventStream,
    Header,
    Interaction,
    JsonBody,
    Mode,
    RecordedFailure,
    RecordedRequest,
    RecordedResponse,
    TextBody,
)
from portkey_testing.cassettes.recorder import MODES, AsyncRecordingTransport, Recorder, RecordingTransport, Sink
from portkey_testing.cassettes.redact import Redactor
from portkey_testing.cassettes.replay import CassetteMissError, Play, Replay
from portkey_testing.cassettes.store import load as load_cassette
from portkey_testing.cassettes.store import located, name_of

__all__ = [
    "MODES",
    "NORMALISERS",
    "AsyncRecordingTransport",
    "BinaryBody",
    "Cassette",
    "CassetteError",
    "CassetteMissError",
    "EventStream",
    "Header",
    "Interaction",
    "JsonBody",
    "MatchRules",
    "Mode",
    "Play",
    "RecordedFailure",
    "RecordedRequest",
    "RecordedResponse",
    "Recorder",
    "RecordingTransport",
    "Redactor",
    "Replay",
    "Sink",
    "TextBody",
    "load_cassette",
    "located",
    "name_of",
]
