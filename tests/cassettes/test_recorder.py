"""Recording what goes over the wire while it goes, and playing it again."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, NoReturn

import httpx
import httpx2
import pytest

from portkey_testing.cassettes import (
    MODES,
    BinaryBody,
    CassetteError,
    JsonBody,
    RecordedFailure,
    RecordedResponse,
    Recorder,
    RecordingTransport,
    Replay,
    TextBody,
    load_cassette,
)
from portkey_testing.cassettes.recorder import fault_of
from portkey_testing.faults import CATALOGUE
from portkey_testing.timeline import Cut, Frame
from tests.cassettes.support import (
    DONE,
    TOOL_CALL,
    Handler,
    Style,
    Ticks,
    answering,
    chunk,
    content_of,
    exchanged,
    live,
    pieces_of,
    question,
    recorded,
    streaming,
)

BOTH = pytest.mark.parametrize("style", ["sync", "async"])


@BOTH
def test_a_streamed_tool_call_and_its_follow_up_are_replayed_as_they_were(tmp_path: Path, style: Style) -> None:
    """Two turns of an agent come back read for read, with the recorded times between the reads."""
    path = tmp_path / "agent.yaml"
    follow_up = question("Weather in Oslo?", stream=False)

    def gateway(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("stream"):
            return streaming(TOOL_CALL[0], TOOL_CALL[1] + TOOL_CALL[2], TOOL_CALL[3][:30], TOOL_CALL[3][30:] + DONE)(
                request
            )
        return httpx.Response(200, json={"choices": [{"message": {"content": "21 degrees"}}]})

    recorder = Recorder(path)
    exchanged(style, gateway, recorder, question(stream=True), follow_up)
    replay = Replay(path)
    first = replay.respond(live(question(stream=True)), 0)
    second = replay.respond(live(follow_up), 1)

    assert [TOOL_CALL[0], TOOL_CALL[1] + TOOL_CALL[2], TOOL_CALL[3][:30], TOOL_CALL[3][30:] + DONE] == pieces_of(first)
    assert 0.01 == first.delay
    assert (("content-type", "text/event-stream"),) == first.headers
    assert {"choices": [{"message": {"content": "21 degrees"}}]} == json.loads(content_of(second))
    assert [] == replay.unplayed


@BOTH
def test_the_gaps_between_the_reads_are_kept(tmp_path: Path, style: Style) -> None:
    """Each read is replayed as long after the one before it as it was recorded."""
    path = tmp_path / "x.yaml"
    exchanged(style, streaming(chunk({"content": "a"}), chunk({"content": "b"}), DONE), Recorder(path), question())
    frames = list(Replay(path).respond(live(question()), 0).frames)

    assert [0.01, 0.01, 0.01] == [frame.gap for frame in frames]


@BOTH
def test_bytes_reach_the_program_while_they_are_recorded(tmp_path: Path, style: Style) -> None:
    """The recording client gets every piece on its own, unchanged."""
    pieces = [chunk({"content": "Hel"}), chunk({"content": "lo"})[:7], chunk({"content": "lo"})[7:], DONE]

    assert pieces == exchanged(style, streaming(*pieces), Recorder(tmp_path / "x.yaml"), question())


@BOTH
def test_a_client_that_hangs_up_is_recorded_as_that(tmp_path: Path, style: Style) -> None:
    """What the client had read is kept; a replay that reads on fails instead of inventing an end."""
    path = tmp_path / "x.yaml"
    exchanged(style, streaming(*TOOL_CALL), Recorder(path), question(), stop_after=2)
    frames = iter(Replay(path, on_miss=_told).respond(live(question()), 0).frames)

    assert [Frame(0.01, TOOL_CALL[0]), Frame(0.01, TOOL_CALL[1])] == [next(frames), next(frames)]
    with pytest.raises(LookupError, match="hung up"):
        next(frames)


def _told(explanation: str) -> NoReturn:
    raise LookupError(explanation)


@BOTH
def test_hanging_up_at_done_is_a_complete_stream(tmp_path: Path, style: Style) -> None:
    """Clients that stop reading at `[DONE]` have read everything there is."""
    path = tmp_path / "x.yaml"
    exchanged(style, streaming(*TOOL_CALL, b": trailing\n\n"), Recorder(path), question(), stop_after=len(TOOL_CALL))

    assert list(TOOL_CALL) == pieces_of(Replay(path).respond(live(question()), 0))


@BOTH
@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (httpx.ReadError("reset"), "reset"),
        (httpx.RemoteProtocolError("incomplete"), "dropped"),
        (httpx.ReadTimeout("slow"), "stall"),
    ],
)
def test_a_connection_that_breaks_in_the_body_is_recorded_as_that(
    tmp_path: Path, style: Style, error: Exception, fault: str
) -> None:
    """The bytes before the break are replayed, and then the break."""
    path = tmp_path / "x.yaml"
    with pytest.raises(type(error)):
        exchanged(style, streaming(TOOL_CALL[0], error), Recorder(path), question())
    frames = list(Replay(path).respond(live(question()), 0).frames)

    assert [Frame(0.01, TOOL_CALL[0]), Cut(0.01, fault)] == frames


@BOTH
@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), "refused"),
        (httpx.ConnectError("[Errno -2] Name or service not known"), "dns"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "tls"),
        (httpx.ConnectTimeout("slow"), "connect_timeout"),
        (httpx.ReadTimeout("slow"), "stall_before_headers"),
        (httpx.ReadError("reset"), "reset_before_headers"),
        (httpx.RemoteProtocolError("disconnected"), "closed_before_headers"),
    ],
)
def test_a_connection_that_never_answers_is_recorded_as_that(
    tmp_path: Path, style: Style, error: Exception, fault: str
) -> None:
    """A failure in the place of the headers is an interaction too."""
    path = tmp_path / "x.yaml"

    def broken(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(type(error)):
        exchanged(style, broken, Recorder(path), question())
    timeline = Replay(path).respond(live(question()), 0)

    assert RecordedFailure(fault, 10) == load_cassette(path).interactions[0].response
    assert Cut(0.01, fault) == timeline.cut


def test_every_fault_that_is_recorded_can_be_played() -> None:
    """The names come from the catalogue of wire faults."""
    errors = [
        httpx.ConnectError("x"),
        httpx.ConnectTimeout("x"),
        httpx.ReadTimeout("x"),
        httpx.ReadError("x"),
        httpx.RemoteProtocolError("x"),
    ]
    names = {fault_of(error, before_headers=before) for error in errors for before in (True, False)}

    assert set() == names - CATALOGUE.keys()


@BOTH
def test_a_mistake_of_the_caller_is_no_interaction(tmp_path: Path, style: Style) -> None:
    """An exception that nothing on the wire caused is not recorded."""
    path = tmp_path / "x.yaml"

    def mistaken(_: httpx.Request) -> httpx.Response:
        raise httpx.UnsupportedProtocol("ftp")

    with pytest.raises(httpx.UnsupportedProtocol):
        exchanged(style, mistaken, Recorder(path), question())

    assert not path.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "kept"),
    [
        (b'{"a": 1, "b": [true, null, 1.5]}', "application/json", JsonBody({"a": 1, "b": [True, None, 1.5]})),
        (b"<html>\r\n<p>Bad\tGateway</p>\n", "text/html", TextBody("<html>\r\n<p>Bad\tGateway</p>\n")),
        (b'{"a": 1, "a": 2}', "application/json", TextBody('{"a": 1, "a": 2}')),
        (b'{"a": NaN}', "application/json", TextBody('{"a": NaN}')),
        (b'{"a": "\\ud800"}', "application/json", TextBody('{"a":"\\ud800"}')),
        (b'{"a": 1', "application/json", TextBody('{"a": 1')),
        (b"\x00\xff\xfe", "audio/mpeg", BinaryBody(b"\x00\xff\xfe")),
        (b"null", "application/json", JsonBody(None)),
        (b"", "application/json", None),
    ],
)
def test_each_kind_of_body_has_its_form(tmp_path: Path, body: bytes, content_type: str, kept: object) -> None:
    """JSON becomes YAML where that loses nothing; everything else keeps its bytes."""
    path = recorded(tmp_path / "x.yaml", answering(body, content_type=content_type), question())
    response = load_cassette(path).interactions[0].response

    assert isinstance(response, RecordedResponse)
    assert kept == response.body


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_stream_is_kept_unpacked_and_read_for_read(tmp_path: Path, encoding: str) -> None:
    """What was compressed on the wire is readable in the file, and is replayed without its coding."""
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    pieces = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in TOOL_CALL] + [packer.flush()]
    path = recorded(tmp_path / "x.yaml", streaming(*pieces, content_encoding=encoding), question())
    timeline = Replay(path).respond(live(question()), 0)

    assert list(TOOL_CALL) == pieces_of(timeline)
    assert (("content-type", "text/event-stream"),) == timeline.headers


def test_a_compressed_request_matches_its_plain_self(tmp_path: Path) -> None:
    """The coding of a body says nothing about what it means."""
    path = tmp_path / "x.yaml"
    packed = gzip.compress(json.dumps(question()).encode())
    with Recorder(path) as recorder:
        transport = RecordingTransport(
            httpx.MockTransport(answering(b"{}", content_type="application/json")), recorder, Ticks()
        )
        httpx.Client(transport=transport).post(
            "http://x/v1/chat/completions", content=packed, headers={"content-encoding": "gzip"}
        )

    assert 200 == Replay(path).respond(live(question()), 0).status


def test_an_encoding_that_cannot_be_searched_is_not_recorded(tmp_path: Path) -> None:
    """A body that nobody can look into might hold a secret, so closing the recorder says that it was left out."""
    path = tmp_path / "x.yaml"

    with pytest.raises(CassetteError, match="content-encoding 'br'"):
        recorded(path, answering(b"\x0b", content_encoding="br"), question())

    assert not path.exists()


def test_a_body_that_only_claims_to_be_compressed_is_replayed_as_it_was(tmp_path: Path) -> None:
    """The replaying client meets the same broken coding that the recording one met."""
    path = recorded(tmp_path / "x.yaml", answering(b"not zipped", content_encoding="gzip"), question())
    timeline = Replay(path).respond(live(question()), 0)

    assert (("content-encoding", "gzip"),) == timeline.headers
    assert [b"not zipped"] == pieces_of(timeline)


def test_a_compression_bomb_is_not_recorded(tmp_path: Path) -> None:
    """Unpacking stops long before memory does."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(80)) + packer.flush()

    with pytest.raises(CassetteError, match="grows to more than 64 MiB"):
        recorded(tmp_path / "x.yaml", answering(bomb, content_encoding="gzip"), question())


def test_recording_asks_for_encodings_it_can_read(tmp_path: Path) -> None:
    """Codings that could not be searched for secrets are not offered to the server."""
    seen = []

    def gateway(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["accept-encoding"])
        return httpx.Response(200, json={})

    recorded_with = {"accept-encoding": "gzip, deflate, br, zstd"}
    exchanged("sync", gateway, Recorder(tmp_path / "x.yaml"), question(), headers=recorded_with)

    assert ["gzip, deflate"] == seen


def test_a_client_on_httpx2_is_recorded_too(tmp_path: Path) -> None:
    """The transport hands back answers of the library that the client uses."""
    path = tmp_path / "x.yaml"
    inner: Any = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"a": 1}))
    with Recorder(path) as recorder:
        # The transports of the two libraries are alike, which no type says.
        transport: Any = RecordingTransport(inner, recorder, Ticks())
        client = httpx2.Client(transport=transport)
        answer = client.post("http://x/v1/chat/completions", json=question()).json()

    assert {"a": 1} == answer
    assert 200 == Replay(path).respond(live(question()), 0).status


def test_an_unread_answer_is_kept_as_hung_up(tmp_path: Path) -> None:
    """Closing the recorder ends what is still under way."""
    path = tmp_path / "x.yaml"
    recorder = Recorder(path, clock=Ticks())
    transport = RecordingTransport(httpx.MockTransport(streaming(*TOOL_CALL)), recorder, Ticks())
    client = httpx.Client(transport=transport)
    client.send(client.build_request("POST", "http://x/v1/chat/completions", json=question()), stream=True)
    recorder.close()
    response = load_cassette(path).interactions[0].response

    assert isinstance(response, RecordedResponse)
    assert "closed" == response.ended


# Modes


def _answers(path: Path) -> list[object]:
    bodies = [interaction.response for interaction in load_cassette(path).interactions]
    return [
        response.body.value["answer"]
        for response in bodies
        if isinstance(response, RecordedResponse)
        and isinstance(response.body, JsonBody)
        and isinstance(response.body.value, dict)
    ]


def _says(text: str) -> httpx.Response:
    return httpx.Response(200, json={"answer": text})


@pytest.mark.parametrize(
    ("mode", "asked", "kept"),
    [
        ("new", ["c"], ["old a", "old b", "new c"]),
        ("all", ["b", "c"], ["old a", "new b", "new c"]),
        ("rewrite", ["b", "c"], ["new b", "new c"]),
    ],
)
def test_each_mode_keeps_what_it_promises(tmp_path: Path, mode: str, asked: list[str], kept: list[str]) -> None:
    """`new` adds, `all` replaces what was asked again, `rewrite` starts anew."""

    def saying(age: str) -> Handler:
        return lambda request: _says(f"{age} {json.loads(request.content)['messages'][0]['content']}")

    path = recorded(tmp_path / "x.yaml", saying("old"), question("a"), question("b"))
    recorded(path, saying("new"), *map(question, asked), mode=mode)

    assert kept == _answers(path)


def test_all_replaces_the_nth_of_equal_requests_by_the_nth(tmp_path: Path) -> None:
    """Equal requests keep their order when they are recorded again."""
    path = recorded(tmp_path / "x.yaml", _in_turn("1", "2"), question(), question())
    recorded(path, _in_turn("3", "4", "5"), question(), question(), question(), mode="all")

    assert ["3", "4", "5"] == _answers(path)


def _in_turn(*texts: str) -> Handler:
    left = iter(texts)
    return lambda _: _says(next(left))


def test_what_replays_and_what_records_follows_the_mode(tmp_path: Path) -> None:
    """A recorder says which requests it answers itself and whether others may go live."""
    path = recorded(tmp_path / "x.yaml", _in_turn("1"), question())
    modes = {mode: Recorder(path, mode) for mode in MODES}

    assert {"none": True, "once": True, "new": True, "all": False, "rewrite": False} == {
        mode: recorder.replay is not None for mode, recorder in modes.items()
    }
    assert {"none": False, "once": False, "new": True, "all": True, "rewrite": True} == {
        mode: recorder.is_recording for mode, recorder in modes.items()
    }
    assert Recorder(tmp_path / "other.yaml", "once").is_recording


def test_replay_mode_needs_a_file(tmp_path: Path) -> None:
    """Without a cassette the mode `none` says how to make one."""
    with pytest.raises(CassetteError, match="--portkey-record=once"):
        Recorder(tmp_path / "x.yaml", "none")


def test_a_misspelt_mode_is_an_error(tmp_path: Path) -> None:
    """The message lists what there is and guesses what was meant."""
    with pytest.raises(ValueError, match=r"no record mode is called 'onec'\. Did you mean 'once'"):
        Recorder(tmp_path / "x.yaml", "onec")


def test_processes_of_one_session_rewrite_together(tmp_path: Path) -> None:
    """Two workers that rewrite the same file start it anew once, and keep each other's recordings."""
    path = recorded(tmp_path / "x.yaml", _in_turn("old"), question("a"))
    first, second = (Recorder(path, "rewrite", session="run-1") for _ in range(2))
    exchanged("sync", _in_turn("1"), first, question("b"))
    exchanged("sync", _in_turn("2"), second, question("c"))

    assert ["1", "2"] == _answers(path)


def test_what_cannot_be_written_is_not_lost(tmp_path: Path) -> None:
    """The application never sees the failure; closing the recorder does, and the recording is still there."""
    path = tmp_path / "x.yaml"
    path.mkdir()
    recorder = Recorder(path, "rewrite")
    transport = RecordingTransport(httpx.MockTransport(_in_turn("1")), recorder, Ticks())

    assert {"answer": "1"} == httpx.Client(transport=transport).post(
        "http://x/v1/chat/completions", json=question()
    ).json()
    with pytest.raises(CassetteError, match="ordinary file"):
        recorder.close()
    assert 1 == len(recorder.unsaved)


def test_a_damaged_file_is_never_recorded_over(tmp_path: Path) -> None:
    """Adding to a file that was cut off fails and leaves it as it is."""
    path = recorded(tmp_path / "x.yaml", _in_turn("1"), question())
    cut = path.read_bytes()[:-20]
    path.write_bytes(cut)
    with pytest.raises(CassetteError, match="cut off"):
        recorded(path, _in_turn("2"), question("b"), mode="all")

    assert cut == path.read_bytes()


def test_the_header_says_when_and_what_was_recorded(tmp_path: Path) -> None:
    """The first document has the version of the format, the date and the gateway."""
    path = recorded(tmp_path / "x.yaml", _in_turn("1"), question(), gateway="open-source 1.15.2")

    assert (
        "portkey_cassette: 1\nrecorded: '2026-11-23'\ngateway: open-source 1.15.2\n---\n"
        == path.read_text()[: path.read_text().index("request:")]
    )
    assert path.read_text().endswith("\n...\n")


def test_the_header_names_the_host_where_nobody_says_more(tmp_path: Path) -> None:
    """Neither the port of a loopback gateway nor what stands before the `@` is part of the name."""
    path = tmp_path / "x.yaml"
    with Recorder(path) as recorder:
        transport = RecordingTransport(httpx.MockTransport(_in_turn("1")), recorder, Ticks())
        httpx.Client(transport=transport).post("https://me:secret@gateway.example:8787/v1/chat/completions", json={})

    assert "gateway.example" == load_cassette(path).header.gateway


def test_what_is_recorded_away_from_the_files_is_unpacked_at_home(tmp_path: Path) -> None:
    """A recorder that leaves the file alone hands on parcels, which change the file as its own recordings would."""
    path = recorded(tmp_path / "x.yaml", _in_turn("old a", "old b"), question("a"), question("b"))
    before = path.read_bytes()
    away = Recorder(path, "all", away=True, today="2026-11-23")
    exchanged("sync", _in_turn("new b", "new c"), away, question("b"), question("c"))

    assert before == path.read_bytes()
    home = Recorder(path, "all")
    for parcel in away.luggage:
        home.unpack(parcel)
    assert ["old a", "new b", "new c"] == _answers(path)


def test_the_body_is_handed_on_in_one_piece_if_it_came_so(tmp_path: Path) -> None:
    """A transport whose answer holds its content already is recorded whole."""
    path = recorded(tmp_path / "x.yaml", lambda _: httpx.Response(200, json={"answer": "whole"}), question())

    assert ["whole"] == _answers(path)
