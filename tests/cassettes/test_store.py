"""How a cassette grows: a recording is added behind the end of its file, and the file is whole at any time."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from portkey_testing.cassettes import CassetteError, Recorder, load_cassette, store
from portkey_testing.cassettes.exchange import Exchange
from tests.cassettes.support import answering, live, question, questions_of, recorded

QUESTIONS = ["Oslo?", "Bergen?", "Rome?", "Malmö?"]


def record(recorder: Recorder, *questions: str) -> None:
    """Keep what a live gateway was asked."""
    for text in questions:
        content = (("content-type", "application/json"),)
        recorder.save(Exchange(live(question(text)), 200, content, 1, ((2, b'{"answer":1}'),), "complete", 2))


def unfinished(path: Path) -> bytes:
    """A file as it is while it is recorded."""
    record(Recorder(path), *QUESTIONS)  # and it is not closed
    return path.read_bytes()


@pytest.mark.parametrize("mode", ["once", "new", "rewrite"])
def test_what_is_there_is_not_written_again(tmp_path: Path, mode: str) -> None:
    """Each recording leaves a file that can be read, and is the same file that grows."""
    path = tmp_path / "x.yaml"
    files: set[int] = set()

    with Recorder(path, mode) as recorder:
        for number, text in enumerate(QUESTIONS, 1):
            before = path.stat().st_ino if number > 1 else None
            record(recorder, text)
            files.add(path.stat().st_ino)
            assert before in {None, path.stat().st_ino}
            assert QUESTIONS[:number] == questions_of(path)

    assert 1 == len(files)


def test_a_closed_recording_is_as_if_it_had_been_written_at_once(tmp_path: Path) -> None:
    """One line ends the file, whether its interactions came in one run or in four."""
    at_once = recorded(tmp_path / "a.yaml", answering(b'{"answer":1}'), *map(question, QUESTIONS))
    for text in QUESTIONS:
        recorded(tmp_path / "b.yaml", answering(b'{"answer":1}'), question(text), mode="new")

    assert 1 == at_once.read_text().splitlines().count("...")
    assert at_once.read_text() == (tmp_path / "b.yaml").read_text()


def test_a_recording_that_was_killed_has_every_whole_interaction(tmp_path: Path) -> None:
    """Wherever the file ends behind its first interaction, what was recorded before is there."""
    path = tmp_path / "x.yaml"
    data = unfinished(path)
    ends = [place + 5 for place in range(len(data)) if data.startswith(b"\n...\n", place)]

    assert len(QUESTIONS) == len(ends)
    for size in range(ends[0], len(data) + 1):
        path.write_bytes(data[:size])
        whole = sum(end - 1 <= size for end in ends)  # the last line feed is not missed
        assert QUESTIONS[:whole] == questions_of(path)


def test_the_next_recording_mends_what_was_killed(tmp_path: Path) -> None:
    """It adds to what is whole, and leaves no trace of the rest."""
    path = tmp_path / "x.yaml"
    path.write_bytes(unfinished(path)[:-7])
    recorded(path, answering(b'{"answer":1}'), question("Paris?"), mode="new")

    assert [*QUESTIONS[:-1], "Paris?"] == questions_of(path)
    assert 1 == path.read_text().splitlines().count("...")


def test_the_line_of_a_mistake_is_that_of_the_file(tmp_path: Path) -> None:
    """Also in a file that was never closed."""
    path = tmp_path / "x.yaml"
    text = unfinished(path).decode()
    before, broken, after = text.rpartition("status: 200")
    path.write_text(f"{before}status: many{after}")

    assert broken
    with pytest.raises(CassetteError, match=f"line {before.count(chr(10)) + 1}, document 5"):
        load_cassette(path)


def test_what_stands_behind_the_end_is_an_interaction_or_a_mistake(tmp_path: Path) -> None:
    """Only what a recording may have left is passed over."""
    path = recorded(tmp_path / "x.yaml", answering(b'{"answer":1}'), question())
    path.write_text(path.read_text() + "and more\n")

    with pytest.raises(CassetteError, match="cut off"):
        load_cassette(path)


def test_what_others_change_meanwhile_is_kept(tmp_path: Path) -> None:
    """An editor, a checkout or another run: the file is read again before anything is added."""
    path = tmp_path / "x.yaml"
    with Recorder(path) as recorder:
        record(recorder, "Oslo?")
        path.write_text(path.read_text().replace("Oslo?", "Trondheim?"))
        record(recorder, "Bergen?")
        recorded(path, answering(b'{"answer":1}'), question("Rome?"), mode="new")
        record(recorder, "Paris?")

    assert ["Trondheim?", "Bergen?", "Rome?", "Paris?"] == questions_of(path)


def test_a_full_disk_takes_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of an interaction is taken back, and it is in `unsaved`."""
    path = tmp_path / "x.yaml"
    recorder = Recorder(path)
    record(recorder, "Oslo?")
    before = path.read_bytes()
    write = os.write
    left = [10]

    def full(descriptor: int, data: Any) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = write(descriptor, data[: left[0]])
        left[0] -= count
        return count

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        record(recorder, "Bergen?")

    assert before == path.read_bytes()
    assert 1 == len(recorder.unsaved)
    with pytest.raises(CassetteError, match="cannot be written: No space left on device"):
        recorder.close()


def test_no_file_grows_beyond_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would make it too large to be replayed is refused, and it stays readable."""
    path = tmp_path / "x.yaml"
    recorder = Recorder(path)
    record(recorder, "Oslo?")
    monkeypatch.setattr(store, "MAX_SIZE", path.stat().st_size + 10)
    record(recorder, "Bergen?")

    with pytest.raises(CassetteError, match="record into several"):
        recorder.close()
    assert ["Oslo?"] == questions_of(path)


def test_a_file_that_is_taken_away_while_it_is_recorded_is_told(tmp_path: Path) -> None:
    """Nothing is left to tidy up, and nobody takes that for a recording."""
    path = tmp_path / "x.yaml"
    recorder = Recorder(path)
    record(recorder, "Oslo?", "Bergen?")
    path.unlink()

    with pytest.raises(CassetteError, match="taken away"):
        recorder.close()
