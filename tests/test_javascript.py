"""JavaScript's reading of values, as far as the gateway's answers show it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portkey_testing import _javascript
from portkey_testing._javascript import MISSING


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
        ("[" * 300 + "]" * 300, json.loads("[" * 300 + "]" * 300)),
        ("-0", 0),
        ("1e400", float("inf")),
        ('{"a": 1, "a": 2}', {"a": 2}),
    ],
    ids=["half a pair", "a pair", "no UTF-8", "deep", "minus zero", "too large", "twice"],
)
def test_what_json_parse_takes_is_taken(source: str | bytes, expected: Any) -> None:
    """Whichever of two readers can read it."""
    parsed = _javascript.parse(source)

    assert expected == parsed


@pytest.mark.parametrize("source", ["NaN", "[Infinity]", '{"a": -Infinity}', "01", "[1,]", "", "\ufeff{}", "'a'"])
def test_what_json_parse_refuses_is_refused(source: str) -> None:
    """Although Python reads some of it."""
    with pytest.raises(ValueError, match=r"Expecting|no JSON|Extra data|Illegal"):
        _javascript.parse(source)
