"""Damaged, foreign and malicious files: each is a typed error that says where, and nothing else happens."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from portkey_testing.cassettes import CassetteError, Recorder, Replay, load_cassette, located, name_of, store
from portkey_testing.cassettes.exchange import Exchange
from tests.cassettes.support import chunk, content_of, live, question, questions_of

DATA = Path(__file__).parents[1] / "data" / "cassette_hostile.yaml"
CASES = {case["id"]: case for case in yaml.safe_load(DATA.read_text(encoding="utf-8"))["load"]}
SITUATIONS = {case["id"]: case for case in yaml.safe_load(DATA.read_text(encoding="utf-8"))["filesystem"]}

_REQUEST = """request:
  method: POST
  path: /chat/completions
  body:
    model: gpt-4o
    messages:
    - role: user
      content: Weather in Oslo?
"""
_RESPONSE = "response:\n  status: 200\n  headers:\n    content-type: text/plain\n  text: fine\n"
_HEADER = "portkey_cassette: 1\n"


def _file(*interactions: str, header: str = _HEADER) -> str:
    return "---\n".join([header, *interactions]) + "...\n"


def _with_body(body: str) -> str:
    return _file(_REQUEST + f"response:\n  status: 200\n  body: {body}\n")


def _laughs(levels: int) -> str:
    lines = ["l0: &l0 [lol]"]
    lines += [f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 10)}]" for level in range(1, levels + 1)]
    return "\n".join(lines) + "\n"


def _set(name: str, value: Any) -> str:
    shown = {
        "status": "  status: {}\n",
        "headers": "  status: 200\n  headers: {}\n",
        "body": "  status: 200\n  text: {}\n",
    }[name]
    return _file(
        _REQUEST
        + "response:\n"
        + shown.format(
            json.dumps(
                value
                if name != "headers" or isinstance(value, list)
                else {key: texts[0] for key, texts in value.items()}
            )
        )
    )


def _contents(content: dict[str, Any]) -> bytes:
    """The file that a recipe asks for, in the format of these cassettes."""
    ((kind, value),) = content.items()
    good = _file(_REQUEST + _RESPONSE)
    two = _file(_REQUEST + _RESPONSE, _REQUEST.replace("Oslo", "Bergen") + _RESPONSE)
    recipes: dict[str, Callable[[], str | bytes]] = {
        "base_with_body": lambda: _with_body(value),
        "prefix": lambda: value + good,
        "laughs": lambda: _file(_laughs(value) + _REQUEST + _RESPONSE),
        "nest_flow": lambda: _with_body("[" * value + "]" * value),
        "big_body": lambda: _file(
            _REQUEST + "response:\n  status: 200\n  text: |-\n" + ("    " + "x" * 996 + "\n") * (value // 1000)
        ),
        "many": lambda: _file(
            *(_REQUEST.replace("Oslo", f"Oslo{number}") + _RESPONSE for number in range(value)), _REQUEST + _RESPONSE
        ),
        "truncate": lambda: good[: int(len(good) * value)],
        "truncate_entries": lambda: two[: two.rindex("---\n")],
        "raw": lambda: value,
        "version": lambda: _file(
            _REQUEST + _RESPONSE, header="recorded: ''\n" if value is None else f"portkey_cassette: {value!r}\n"
        ),
        "drop": lambda: _file(_REQUEST if value == "response" else _RESPONSE),
        "set": lambda: _set(*next(iter(value.items()))),
        "raw_headers": lambda: _file(
            _REQUEST + "response:\n  status: 200\n  headers:\n    " + value.replace("        ", "    ")
        ),
        "gzip_bomb": lambda: _file(
            _REQUEST + "response:\n  status: 200\n  headers:\n    content-encoding: gzip\n  base64: H4sIAAAAAAAA\n"
        ),
        "dup": lambda: _file(_REQUEST + "response:\n  status: 200\n  status: 500\n"),
        "latin1": lambda: _file(_REQUEST + "response:\n  status: 200\n  text: Zürich\n").encode("latin-1"),
        "bom": lambda: b"\xef\xbb\xbf" + good.encode(),
        "utf16": lambda: good.encode("utf-16"),
        "crlf": lambda: _file(_REQUEST + "response:\n  status: 200\n  text: |\n    one\n    two\n").replace(
            "\n", "\r\n"
        ),
        "append": lambda: good[:-4] + value,
        "json": lambda: json.dumps({"portkey_cassette": 1}),
    }
    made = recipes[kind]()
    return made if isinstance(made, bytes) else made.encode()


REPLAYS = {
    "body-gzip-bomb": None,
    "crlf-file": b"one\ntwo\n",
    "headers-norway": b"",
    "huge-100mb-body": None,
    "huge-many-interactions": b"fine",
    "utf8-bom": b"fine",
}
"""What may be replayed, and the body that must come; every other file is an error."""


@pytest.fixture(autouse=True)
def nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """No file makes anything run: what the hostile ones try would leave a file behind."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "PWNED").exists()
    assert not Path("PWNED").exists()


@pytest.mark.parametrize("case", [case for case in CASES if case not in REPLAYS])
def test_a_bad_file_is_a_typed_error_that_names_it(tmp_path: Path, case: str) -> None:
    """File and line are named, and the file stays as it is."""
    path = tmp_path / "x.yaml"
    before = _contents(CASES[case]["content"])
    path.write_bytes(before)

    with pytest.raises(CassetteError) as caught:
        Replay(path)

    assert caught.value.line is not None
    assert str(caught.value).startswith(f"{path}, line {caught.value.line}")
    assert before == path.read_bytes()


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.once] if case.startswith("huge-") else []) for case in REPLAYS]
)
def test_an_odd_but_good_file_replays(tmp_path: Path, case: str) -> None:
    """What is only unusual gives the bytes that were recorded, in bounded time."""
    path = tmp_path / "x.yaml"
    path.write_bytes(_contents(CASES[case]["content"]))
    started = time.process_time()
    timeline = Replay(path).respond(live(question()), 0)
    body = content_of(timeline)

    assert REPLAYS[case] in (None, body)
    assert time.process_time() - started < 20


def test_headers_of_a_hand_edited_file_stay_text(tmp_path: Path) -> None:
    """No header value becomes a truth value, a date or a number."""
    path = tmp_path / "x.yaml"
    path.write_bytes(_contents(CASES["headers-norway"]["content"]))
    headers = dict(Replay(path).respond(live(question()), 0).headers)

    assert {"x-a": "no", "x-b": "1e3", "x-c": "2026-01-01", "x-d": "0o14", "x-e": "12:30:45", "x-f": "~"} == headers


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("version-99", "upgrade"),
        ("merge-conflict-markers", "merge conflict"),
        ("git-lfs-pointer", "git lfs pull"),
        ("truncated-to-zero", "empty"),
        ("truncated-mid-entry", "cut off"),
        ("utf16", "UTF-16"),
        ("non-utf8", "UTF-8"),
        ("interaction-no-response", "interaction 1"),
        ("interaction-no-request", "interaction 1"),
        ("tag-object-apply-system", "tags"),
        ("status-string", "response.status"),
        ("header-crlf-injection", "control characters"),
    ],
)
def test_the_error_says_what_is_wrong(tmp_path: Path, case: str, says: str) -> None:
    """A person who meets the error knows what to do."""
    path = tmp_path / "x.yaml"
    path.write_bytes(_contents(CASES[case]["content"]))

    with pytest.raises(CassetteError, match=says):
        load_cassette(path)


@pytest.mark.parametrize(
    ("wrong", "place", "line"),
    [
        ("request:\n  method: POST\n  path: chat\n", "request.path", 5),
        ("request:\n  method: post\n  path: /\n", "request.method", 4),
        ("request:\n  method: GET\n  path: /\n  boby: x\n", "request.boby", 6),
        ("request:\n  method: GET\n  path: /\n  headers: [a]\n", "request.headers", 6),
        ("request:\n  method: GET\n  path: /\n  text: a\n  base64: YQ==\n", "request.base64", 7),
    ],
)
def test_a_wrong_field_is_named_with_its_line(tmp_path: Path, wrong: str, place: str, line: int) -> None:
    """Document, field and line lead straight to the mistake."""
    path = tmp_path / "x.yaml"
    path.write_text(_file(wrong + _RESPONSE))

    with pytest.raises(CassetteError) as caught:
        Replay(path)

    assert (2, place, line) == (caught.value.document, caught.value.field, caught.value.line)


def test_a_stream_that_contradicts_its_message_is_an_error_with_its_line(tmp_path: Path) -> None:
    """Nobody can edit what is read in a review without editing what is replayed."""
    path = tmp_path / "x.yaml"
    with Recorder(path) as recorder:
        recorder.save(_exchange(chunk({"content": "Hello"}), content_type="text/event-stream"))
    path.write_text(path.read_text().replace("content: Hello", "content: Goodbye"))

    with pytest.raises(CassetteError, match=r"add up to .*Hello.* says .*Goodbye") as caught:
        load_cassette(path)
    assert "response.events" == caught.value.field


def _exchange(body: bytes, text: str = "Weather in Oslo?", content_type: str = "text/plain") -> Exchange:
    return Exchange(live(question(text)), 200, (("content-type", content_type),), 1, ((2, body),), "complete", 2)


# Names


@pytest.mark.parametrize(
    "name", ["../../outside", "/abs/outside", "C:\\x", "a/../b", "a\0b", "a\nb", "", "\\\\host\\x"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    """name-parent-traversal, name-absolute, name-nul: the error is typed, and nothing is opened."""
    with pytest.raises(CassetteError):
        located(tmp_path / "cassettes", name)


def test_a_name_inside_the_folder_is_its_file(tmp_path: Path) -> None:
    """Sub-folders are allowed, and the suffix is added once."""
    assert tmp_path / "a" / "b.yaml" == located(tmp_path, "a/b")
    assert tmp_path / "b.yaml" == located(tmp_path, "b.yaml")


def test_a_linked_folder_does_not_lead_out(tmp_path: Path) -> None:
    """A symbolic link inside the folder is no way around its limits."""
    folder = tmp_path / "cassettes"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)

    with pytest.raises(CassetteError, match="outside"):
        located(folder, "link/x")


_NAMES = [
    "a/../../b",
    "x" * 300,
    "x" * 300 + "y",
    "Test_A",
    "con",
    "nul",
    "a:b",
    "a?b",
    "a.",
    "a ",
    "-rf",
    "a\nb",
    "a\0b",
    "..",
    "",
    "é",
    "NUL.txt",
    "a/b",
]


def test_every_test_id_becomes_a_file_name_of_its_own(tmp_path: Path) -> None:
    """Unfit characters are replaced, long names cut, and no two of them become the same.

    name-parent-in-test-id, name-300-chars, name-reserved, name-leading-dash-newline.
    """
    names = [name_of(name) for name in _NAMES]

    assert len(names) == len(set(names))
    for name in names:
        assert not set('/\\:*?"<>|\n\0') & set(name)
        assert not name.startswith((".", "-"))
        assert len(name.encode()) <= 120
        assert located(tmp_path, name).parent == tmp_path


def test_one_name_in_two_normal_forms_is_one_file() -> None:
    """name-unicode-nfc-nfd: systems that compose and systems that decompose agree."""
    assert name_of("caf\u00e9") == name_of("cafe\u0301")


def test_names_that_differ_in_case_only_are_a_loud_error(tmp_path: Path) -> None:
    """name-case-collision: where they would share a file, the second recording says so."""
    with Recorder(tmp_path / "Test_A.yaml") as recorder:
        recorder.save(_exchange(b"x"))
    other = Recorder(tmp_path / "test_a.yaml")
    other.save(_exchange(b"y"))

    with pytest.raises(CassetteError, match="case only"):
        other.close()


# Files that are none


def _make_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path.symlink_to(path), id="symlink-loop"),
        pytest.param(lambda path: path.symlink_to(path.parent / "nowhere.yaml"), id="symlink-dangling"),
        pytest.param(lambda path: path.mkdir(), id="is-a-directory"),
        pytest.param(_make_fifo, id="is-a-fifo"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="is-dev-zero"),
        pytest.param(lambda path: path.symlink_to("/dev/full"), id="is-dev-full"),
    ],
)
def test_what_is_no_ordinary_file_is_a_typed_error_both_ways(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Neither reading nor recording hangs, follows the link, or takes it for a cassette."""
    path = tmp_path / "x.yaml"
    make(path)
    with pytest.raises(CassetteError):
        Replay(path)
    recorder = Recorder(path, "rewrite")
    recorder.save(_exchange(b"x"))
    with pytest.raises(CassetteError):
        recorder.close()

    assert 1 == len(recorder.unsaved)


def test_a_linked_cassette_is_not_written_through(tmp_path: Path) -> None:
    """symlink-file-outside: the file behind the link stays as it is."""
    outside = tmp_path / "outside.yaml"
    outside.write_text(_file(_REQUEST + _RESPONSE))
    path = tmp_path / "cassettes" / "x.yaml"
    path.parent.mkdir()
    path.symlink_to(outside)
    recorder = Recorder(path, "rewrite")
    recorder.save(_exchange(b"x"))

    with pytest.raises(CassetteError, match="symbolic link"):
        recorder.close()
    assert _file(_REQUEST + _RESPONSE) == outside.read_text()


def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    """read-only-file: somebody does not want it changed."""
    path = tmp_path / "x.yaml"
    path.write_text(_file(_REQUEST + _RESPONSE))
    path.chmod(0o444)
    recorder = Recorder(path, "all")
    recorder.save(_exchange(b"x"))

    with pytest.raises(CassetteError, match="read-only"):
        recorder.close()
    assert _file(_REQUEST + _RESPONSE) == path.read_text()


def _in_child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


_CHILD = """
import sys
import tempfile
from tests.cassettes.test_hostile import _exchange
from portkey_testing.cassettes import Recorder
"""


def test_a_full_disk_leaves_the_old_cassette_whole(tmp_path: Path) -> None:
    """file-size-limit: the recording fails with the reason, and the file is what it was."""
    path = tmp_path / "x.yaml"
    path.write_text(_file(_REQUEST + _RESPONSE))
    code = _CHILD + (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "recorder = Recorder(sys.argv[1], 'all'); recorder.save(_exchange(b'x' * 65536))\n"
        "print(len(recorder.unsaved)); recorder.close()\n"
    )
    child = _in_child(code, path)

    assert "1\n" == child.stdout
    assert "CassetteError" in child.stderr
    assert "cannot be written: File too large" in child.stderr
    assert _file(_REQUEST + _RESPONSE) == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_a_read_only_folder_replays_and_does_not_record() -> None:
    """read-only-directory: reading needs no right to write."""
    # Not in tmp_path, whose parents only its owner may enter.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.yaml")
        path.write_text(_file(_REQUEST + _RESPONSE))
        load_cassette(path)  # with all it imports, which nobody might not be allowed to read
        path.parent.chmod(0o555)
        with _without_privileges():
            recorder = Recorder(path, "all")
            recorder.save(_exchange(b"x"))

            assert 200 == Replay(path).respond(live(question()), 0).status
            with pytest.raises(CassetteError, match="Permission denied"):
                recorder.close()


@contextmanager
def _without_privileges() -> Generator[None]:
    """Be nobody for a while, where the tests run as root, who may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_went_away_is_made_again(tmp_path: Path) -> None:
    """directory-deleted: the recording is not lost for want of a folder."""
    path = tmp_path / "deep" / "er" / "x.yaml"
    with Recorder(path) as recorder:
        recorder.save(_exchange(b"x"))

    assert 1 == len(load_cassette(path).interactions)


def test_a_kill_leaves_only_whole_interactions(tmp_path: Path) -> None:
    """crash-mid-write: whenever it comes, the file can be read, and no leftover passes for a cassette."""
    path = tmp_path / "x.yaml"
    code = _CHILD + (
        "recorder = Recorder(sys.argv[1])\n"
        "for number in range(10_000):\n"
        "    recorder.save(_exchange(b'x' * 20_000, str(number)))\n"
        "    print(number, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(5)]
    child.kill()
    child.wait(timeout=60)
    child.stdout.close()

    assert len(load_cassette(path).interactions) >= len(said)
    assert [path] == list(tmp_path.glob("*.yaml"))


@pytest.mark.once
def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    """two-processes-same-file: every interaction of both is in the file, once."""
    path = tmp_path / "x.yaml"
    code = _CHILD + (
        "recorder = Recorder(sys.argv[1], 'rewrite', session='run')\n"
        "for number in range(25): recorder.save(_exchange(b'x', sys.argv[2] + str(number)))\n"
        "recorder.close()\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]

    assert [0, 0] == [child.wait(timeout=60) for child in children]
    assert sorted(f"{name}{number}" for name in "ab" for number in range(25)) == sorted(questions_of(path))


def test_the_lock_of_windows_waits_for_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a lock gives up after ten seconds: it is asked for again, and any other error is one."""
    answers: list[OSError | None] = [OSError(errno.EDEADLOCK, "in use"), OSError(errno.EDEADLOCK, "in use"), None]
    asked = []

    def locking(descriptor: int, mode: int, count: int) -> None:
        asked.append((os.lseek(descriptor, 0, os.SEEK_CUR), mode, count))
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_LOCK=1))
    monkeypatch.setattr(sys, "platform", "win32")
    spec = spec_from_file_location("store_of_windows", store.__file__)
    assert spec is not None
    assert spec.loader is not None
    of_windows = module_from_spec(spec)
    spec.loader.exec_module(of_windows)
    monkeypatch.undo()
    path = tmp_path / "x.yaml"

    def change(old: bytes | None, *, known: bool) -> bytes:
        return b"newer" if old else b"new"

    of_windows.update(path, change, "session")
    answers.append(OSError(errno.EACCES, "not yours"))

    assert b"new" == path.read_bytes()
    assert [(0, 1, 1)] * 3 == asked
    with pytest.raises(CassetteError, match="not yours"):
        of_windows.update(path, change, "session")


def test_threads_of_one_recorder_lose_nothing(tmp_path: Path) -> None:
    """two-threads-same-cassette: each interaction is saved once."""
    path = tmp_path / "x.yaml"
    recorder = Recorder(path)

    def save(name: int) -> None:
        for number in range(5):
            recorder.save(_exchange(b"x", f"{name}-{number}"))

    threads = [threading.Thread(target=save, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()

    assert sorted(f"{name}-{number}" for name in range(8) for number in range(5)) == sorted(questions_of(path))


def test_a_reader_sees_whole_files_only(tmp_path: Path) -> None:
    """reader-while-writing: whatever the moment, what is read is a cassette."""
    path = tmp_path / "x.yaml"
    recorder = Recorder(path)
    recorder.save(_exchange(b"x"))
    done = threading.Event()

    def write() -> None:
        for number in range(40):
            recorder.save(_exchange(b"x" * 5000, str(number)))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    counts = []
    while not done.is_set():
        counts.append(len(load_cassette(path).interactions))
    thread.join()
    recorder.close()

    assert sorted(counts) == counts
    assert 41 == len(load_cassette(path).interactions)


def test_a_new_cassette_is_not_writable_for_others(tmp_path: Path) -> None:
    """umask-secrets: whatever the umask, nobody else may change the file."""
    before = os.umask(0)
    try:
        with Recorder(tmp_path / "x.yaml") as recorder:
            recorder.save(_exchange(b"x"))
    finally:
        os.umask(before)

    assert 0o644 == stat.S_IMODE((tmp_path / "x.yaml").stat().st_mode)


def test_only_the_opener_reports_and_ends(tmp_path: Path) -> None:
    """fork-after-open: a fork that leaves the recorder does not close what its parent still records."""
    path = tmp_path / "x.yaml"
    code = _CHILD + (
        "import os\n"
        "from tests.cassettes.support import live, question\n"
        "recorder = Recorder(sys.argv[1], clock=lambda: 1.0)\n"
        "tee = recorder.begin(live(question()), 0.0); tee.head(200, [], 0.1)\n"
        "if not (child := os.fork()): recorder.close(); os._exit(0)\n"
        "os.waitpid(child, 0); tee.end('complete', 0.2); recorder.close()\n"
    )

    assert 0 == _in_child(code, path).returncode
    assert 1 == len(load_cassette(path).interactions)


def test_half_a_recording_does_not_pass(tmp_path: Path) -> None:
    """exception-in-test: what was recorded before the test failed is kept, and the next replay misses the rest."""
    path = tmp_path / "x.yaml"
    with Recorder(path) as recorder:
        recorder.save(_exchange(b"x", "first of three"))

    with pytest.raises(Exception, match="No recorded interaction"):
        Replay(path).respond(live(question("second of three")), 0)


def test_every_situation_of_the_list_has_its_test() -> None:
    """The list of hostile situations and the tests above go together."""
    source = Path(__file__).read_text(encoding="utf-8")

    assert [] == [name for name in SITUATIONS if name not in source]
