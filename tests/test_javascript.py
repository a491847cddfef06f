"""JavaScript's reading of values, as far as the gateway's answers show it."""

from __future__ import annotations

from typing import Any

import pytest

from portkey_testing import _javascript
from portkey_testing._javascript import MISSING


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "Unexpected end of JSON input"),
        ("[1,", "Unexpected end of JSON input"),
        ("{oops", "Expected property name or '}' in JSON at position 1"),
        ('{"a" 1}', "Expected ':' after property name in JSON at position 5"),
        ('{"a": 1 "b"}', "Expected ',' or '}' after property value in JSON at position 8"),
        ("[1 2]", "Expected ',' or ']' after array element in JSON at position 3"),
        ("1 2", "Unexpected non-whitespace character after JSON at position 2"),
        ("oops", "Unexpected token 'o', \"oops\" is not valid JSON"),
        ("{}", ""),
    ],
)
def test_what_is_said_of_broken_json(source: str, message: str) -> None:
    """In the words of V8 11, which the gateway's image runs on."""
    assert message == _javascript.parse_error(source)


@pytest.mark.parametrize(
    ("source", "flags", "text", "found"),
    [
        (r"^\w+$", "", "abc", True),
        (r"^\w+$", "", "abc\n", False),
        (r"^b$", "m", "a\nb", True),
        (r"\w", "", "é", False),
        (r"\d", "", "\u0661", False),
        (r"[\w-]+x", "", "a-x", True),
        (r"(?<year>\d{4})-\k<year>", "", "2026-2026", True),
        (r"\/path\-x", "i", "/PATH-X", True),
        ("[^]", "", "\n", True),
        ("[]", "", "a", False),
        ("a.b", "s", "a\nb", True),
        ("[[]", "", "[", True),
        (r"\bé", "", "é", False),
    ],
)
def test_regular_expressions_read_as_in_javascript(source: str, flags: str, text: str, found: bool) -> None:  # noqa: FBT001 - the last column of the table
    """Only the ends of the text are ends, and letters and digits are ASCII."""
    assert found is (_javascript.pattern(source, flags).search(text) is not None)


@pytest.mark.parametrize(
    ("value", "text", "number", "integer"),
    [
        (MISSING, "undefined", None, None),
        (None, "null", None, None),
        (True, "true", None, None),
        (1.0, "1", 1.0, 1),
        ("2.5 kg", "2.5 kg", 2.5, 2),
        (" -3", " -3", -3.0, -3),
        (".5", ".5", 0.5, None),
        ([1, None, "a"], "1,,a", 1.0, 1),
        ({"a": 1}, "[object Object]", None, None),
    ],
)
def test_how_values_become_texts_and_numbers(value: Any, text: str, number: float | None, integer: int | None) -> None:
    """`String`, `parseFloat` and `parseInt`."""
    assert (text, number, integer) == (
        _javascript.text(value),
        _javascript.number(value),
        _javascript.integer(value),
    )


def test_lengths_are_those_of_utf_16() -> None:
    """An emoji has two units, and may be cut in half."""
    assert 3 == _javascript.length("a👍")
    assert "a👍" == _javascript.head("a👍b", 3)
    assert "a\ufffd" == _javascript.head("a👍", 2)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"\\ud800"', "\ud800"),
        ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"\xff"', "\N{REPLACEMENT CHARACTER}"),
        ("[" * 300 + "]" * 300, None),
        ("-0", 0),
        ("1e400", float("inf")),
        ('{"a": 1, "a": 2}', {"a": 2}),
    ],
    ids=["half a pair", "a pair", "no UTF-8", "deep", "minus zero", "too large", "twice"],
)
def test_what_json_parse_takes_is_taken(source: str | bytes, expected: Any) -> None:
    """Whichever of two readers can read it."""
    parsed = _javascript.parse(source)

    assert expected is None or expected == parsed


@pytest.mark.parametrize("source", ["NaN", "[Infinity]", '{"a": -Infinity}', "01", "[1,]", "", "\ufeff{}", "'a'"])
def test_what_json_parse_refuses_is_refused(source: str) -> None:
    """Although Python reads some of it."""
    with pytest.raises(ValueError, match=r"Expecting|no JSON|Extra data|Illegal"):
        _javascript.parse(source)
