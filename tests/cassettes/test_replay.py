"""What a replay tells about itself, and what it keeps for the next run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from portkey_testing.cassettes import CassetteError, MatchRules, Replay
from tests.cassettes.support import TOOL_CALL, content_of, live, question, recorded, streaming


def _large(folder: Path) -> Path:
    long = "word " * 2000
    return recorded(
        folder / "x.yaml",
        lambda _: httpx.Response(200, json={"answer": long}),
        *(question(f"{number} {long}") for number in range(5)),
    )


def test_what_was_played_names_the_target_that_answered(tmp_path: Path) -> None:
    """The journal learns status, provider and target from the recorded headers."""
    headers = {"x_portkey_provider": "openai", "x_portkey_last_used_option_index": "config.targets[1]"}
    replay = Replay(recorded(tmp_path / "x.yaml", streaming(*TOOL_CALL, **headers), question()))
    request = live(question())
    replay.respond(request, 2.5)
    (play,) = replay.plays

    assert (1, 200, "openai", "config.targets[1]", 2.5) == (
        play.number,
        play.status,
        play.provider,
        play.target,
        play.at,
    )
    assert request is play.request


def test_what_was_not_played_is_named(tmp_path: Path) -> None:
    """An interaction that nothing asked for is reported with its number."""
    path = recorded(tmp_path / "x.yaml", streaming(*TOOL_CALL), question("a"), question("b"))
    replay = Replay(path)
    replay.respond(live(question("a")), 0)

    assert [2] == [number for number, _ in replay.unplayed]


def test_a_second_run_takes_what_the_first_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cache folder a large file is parsed once, and answers the same."""
    path, cache = _large(tmp_path), tmp_path / "cache"
    request = live(question(f"3 {'word ' * 2000}"))
    first = content_of(Replay(path, cache=cache).respond(request, 0))
    monkeypatch.setattr("portkey_testing.cassettes.codec.Document.value", lambda _: pytest.fail("parsed again"))
    second = Replay(path, cache=cache)

    assert first == content_of(second.respond(request, 0))
    assert [1, 2, 3, 5] == [number for number, _ in second.unplayed]


def test_a_changed_file_is_parsed_again(tmp_path: Path) -> None:
    """What is kept belongs to the bytes of the file, not to its name or date."""
    path, cache = _large(tmp_path), tmp_path / "cache"
    Replay(path, cache=cache)
    path.write_text(path.read_text().replace("content: '0 word", "content: '7 word"))

    assert Replay(path, cache=cache).find(live(question(f"7 {'word ' * 2000}")), 0)
    assert 1 == len(list(cache.iterdir()))


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"nonsense",
        lambda _: b"0000\n{}",
        lambda kept: kept.partition(b"\n")[0] + b"\n{}",
        lambda kept: kept[:-10],
        lambda kept: kept.replace(b"3 word", b"4 word"),
    ],
)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """The cache is never trusted over the file."""
    path, cache = _large(tmp_path), tmp_path / "cache"
    Replay(path, cache=cache)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    Replay(path, cache=cache)

    assert whole == kept.read_bytes()


def test_rules_of_a_project_count_with_a_cache_too(tmp_path: Path) -> None:
    """What is kept is keyed by the rules that every project starts with; others are applied anew."""
    path, cache = _large(tmp_path), tmp_path / "cache"
    Replay(path, cache=cache)
    rules = MatchRules(ignore=("body.model",))
    request = live(question(f"3 {'word ' * 2000}") | {"model": "other"})

    assert Replay(path, cache=cache, rules=rules).find(request, 0)
    assert not Replay(path, cache=cache).find(request, 0)


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    """A cache saves time; without it everything works."""
    blocked = tmp_path / "file"
    blocked.touch()

    assert Replay(_large(tmp_path), cache=blocked / "cache").interactions


def test_a_missing_cassette_says_how_to_make_it(tmp_path: Path) -> None:
    """The error names the file and the option."""
    with pytest.raises(
        CassetteError, match=r"x\.yaml: there is no such cassette; record it: pytest --portkey-record=once"
    ):
        Replay(tmp_path / "x.yaml")
