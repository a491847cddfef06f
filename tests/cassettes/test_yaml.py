"""The YAML of cassettes: every value of JSON, and nothing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from portkey_testing.cassettes import _lines, codec
from portkey_testing.cassettes._yaml import MAX_DEPTH, Unwritable, YamlError, line_of, read, read_all, write

_ODD = " \t\n\r:#-'\"|>&*!%@`,[]{}?\\\x00\x7f\x85\u2028\u2029\ufeff\u202e😀é0123ynN~=<"
_WORDS = "yes no null true ~ 1e3 1_000 0x1f 010 .5 .inf .nan --- ... - ? : 2026-01-01 12:30:45 = << #a a: :a a:b a#b"
_texts = st.one_of(
    st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(_ODD)), max_size=12),
    st.sampled_from(_WORDS.split()),
)
_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _texts)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_texts, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(_texts, _values, max_size=4))
@example({"a": "\ta\n  \nb "})
@example({"a": ["\n x", "x\n\n", [["y\n"]], {"b": "😀\ttab\nz"}]})
def test_whatever_is_written_reads_back(value: dict[str, Any]) -> None:
    """Every JSON value with every kind of text comes back as the same value of the same types."""
    assert repr(value) == repr(read(write(value)))


def _quickly(text: str) -> Any:
    return _lines.read(text, verbatim="headers", max_depth=MAX_DEPTH)


def _slowly(text: str) -> Any:
    """What libyaml makes of a text, if it is one document."""
    try:
        (value,) = read_all(text, verbatim="headers")
    except (YamlError, ValueError):
        return None
    return value


_edits = st.tuples(
    st.floats(0, 1),
    st.integers(0, 3),
    st.sampled_from([*_ODD, *_WORDS.split(), "- ", "  ", "\n  ", ": ", "|-\n", "''"]),
)


@given(st.dictionaries(_texts, _values, min_size=1, max_size=4), st.lists(_edits, max_size=3))
@example({"a": {"headers": {"x": 1, "y": "1", "z": None}}}, [])
@example({"a": ["\n x", "x\n\n", [[1, 2], []], {"b": {}}]}, [])
def test_the_quick_reader_is_of_one_mind_with_libyaml(
    value: dict[str, Any], edits: list[tuple[float, int, str]]
) -> None:
    """Whatever is done to a document, it reads what libyaml reads or leaves it to libyaml."""
    text = write({"request": value})
    for place, gone, new in edits:
        at = round(place * len(text))
        text = text[:at] + new + text[at + gone :]
    quick = _quickly(text)

    assert quick is _lines.UNKNOWN or repr(_slowly(text)) == repr(quick)


def test_the_cassettes_of_this_repository_are_read_the_quick_way() -> None:
    """What recordings are made of needs no judge."""
    files = (Path(__file__).parents[2] / "cassettes").rglob("*.yaml")
    documents = [document for file in files for document in codec.split(file.read_bytes(), file)]

    assert [] == [document for document in documents if _quickly(document.text) is _lines.UNKNOWN]
    assert [_slowly(document.text) for document in documents] == [_quickly(document.text) for document in documents]


@pytest.mark.parametrize("text", ["a\nb", "a\nb\n", "a\n\nb\n\n", "😀 emoji\n\tand a tab", "a \nb", "- a: b\n# no\n"])
def test_a_text_of_several_lines_stays_lines(text: str) -> None:
    """No character that people write turns a text of several lines into one escaped line."""
    lines = write({"content": text}).splitlines()[1:]

    assert (
        text.rstrip("\n").split("\n")
        == [line.removeprefix("  ") for line in lines][: text.rstrip("\n").count("\n") + 1]
    )


def test_one_changed_word_is_one_changed_line() -> None:
    """A long line is never folded, so that a review shows what changed."""
    words = ["word"] * 100
    before = write({"content": " ".join(words) + "\nend"}).splitlines()
    words[50] = "other"
    after = write({"content": " ".join(words) + "\nend"}).splitlines()

    assert 1 == sum(old != new for old, new in zip(before, after, strict=True))


@given(st.dictionaries(_texts, st.one_of(_texts, st.lists(_texts, max_size=3)), max_size=3))
def test_other_readers_of_yaml_agree_about_texts(value: dict[str, Any]) -> None:
    """PyYAML reads the same texts: none is mistaken for a date, a number or a truth value."""
    assert value == yaml.safe_load(write(value))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": "\ud800"}, "surrogate"),
        ({"a" * 1025: 1}, "key of 1025 characters"),
        ({"a": float("nan")}, "nan"),
        ({"a": 10**5000}, "digits"),
        ({"a": object()}, "object"),
        ({1: 2}, "key"),
    ],
)
def test_what_yaml_cannot_hold_is_refused(value: dict[Any, Any], problem: str) -> None:
    """A value without a place in this YAML is refused, not changed."""
    with pytest.raises(Unwritable, match=problem):
        write(value)


def test_a_bottomless_nest_is_refused_both_ways() -> None:
    """Depth is limited in writing and in reading, long before the stack is."""
    nest: list[Any] = []
    for _ in range(200):
        nest = [nest]

    with pytest.raises(Unwritable, match="deeper"):
        write({"a": nest})
    with pytest.raises(YamlError, match="deeper"):
        read("a: " + "[" * 20_000)


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("a: 1\nb: !!python/name:os.system x\n", "tag", 2),
        ("a: &x 1\n", "anchor", 1),
        ("a: &x [1]\nb: *x\n", "anchor", 1),
        ("a: *x\n", "alias", 1),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "twice", 4),
        ("? [a]\n: 1\n", "key", 1),
        ("%TAG ! tag:x,2000:\n---\na: b\n", "directives", 1),
        ("a: 1\n\tb: 2\n", "not YAML", 2),
        ("a: [1\n", "not YAML", 2),
        ("a: 1\nb: \x00\n", "not YAML", 2),
    ],
)
def test_what_cassettes_do_not_use_is_refused_with_its_line(text: str, problem: str, line: int) -> None:
    """Tags, anchors, aliases, directives, duplicate keys and broken YAML are errors that name the line."""
    with pytest.raises(YamlError, match=problem) as caught:
        read(text)

    assert line == caught.value.line


def test_plain_scalars_mean_what_json_means() -> None:
    """Only null, booleans and JSON's numbers are more than text."""
    text = "[null, true, 1, -2.5, 1e3, no, 0x1f, 010, 1_000, 2026-01-01, ~, .5, True]"
    values = [None, True, 1, -2.5, 1000.0, "no", "0x1f", "010", "1_000", "2026-01-01", "~", ".5", "True"]

    assert {"a": values} == read(f"a: {text}\n")


def test_the_line_of_a_value_is_found_by_its_path() -> None:
    """Errors can name the line of the value they are about, also of one that is missing."""
    text = "a:\n  b:\n  - x\n  - c: 1\n    d: 2\n"

    assert 5 == line_of(text, ("a", "b", 1, "d"))
    assert 4 == line_of(text, ("a", "b", 1, "missing"))
