"""What the gateway's runtime says of broken JSON."""

from __future__ import annotations

import pytest

from portkey_testing import _json_errors

UNEXPECTED_END = "Unexpected end of JSON input"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", UNEXPECTED_END),
        ("[", UNEXPECTED_END),
        ("[1,", UNEXPECTED_END),
        ("tru", UNEXPECTED_END),
        ('{"a":', UNEXPECTED_END),
        ('"\\', UNEXPECTED_END),
        ("{", "Expected property name or '}' in JSON at position 1"),
        ("{oops", "Expected property name or '}' in JSON at position 1"),
        ('{"a": 1,}', "Expected double-quoted property name in JSON at position 8"),
        ('{"a" 1}', "Expected ':' after property name in JSON at position 5"),
        ('{"a":1,"b" 1}', "Unexpected number in JSON at position 11"),
        ('{"a": 1 "b"}', "Expected ',' or '}' after property value in JSON at position 8"),
        ("[1 2]", "Expected ',' or ']' after array element in JSON at position 3"),
        ("1 2", "Unexpected non-whitespace character after JSON at position 2"),
        ("01", "Unexpected number in JSON at position 1"),
        ("-", "No number after minus sign in JSON at position 1"),
        ("[1.]", "Unterminated fractional number in JSON at position 3"),
        ("1e+", "Exponent part is missing a number in JSON at position 3"),
        ('"abc', "Unterminated string in JSON at position 4"),
        ('"a\nb"', "Bad control character in string literal in JSON at position 2"),
        ('"\\x"', "Bad escaped character in JSON at position 2"),
        ('"\\u12"', "Bad Unicode escape in JSON at position 5"),
        ('["a""b"]', "Expected ',' or ']' after array element in JSON at position 4"),
        ('[t"', "Unexpected string in JSON at position 2"),
        ("oops", "Unexpected token 'o', \"oops\" is not valid JSON"),
        ("NaN", '"NaN" is not valid JSON'),
        ("o" * 21, f"Unexpected token 'o', \"{'o' * 10}\"... is not valid JSON"),
        (" " * 10 + "o" * 11, f"Unexpected token 'o', ...\"{' ' * 10}{'o' * 10}\"... is not valid JSON"),
        (" " * 20 + "o", f"Unexpected token 'o', ...\"{' ' * 10}o\" is not valid JSON"),
        ('{"a": [1, {"b": null}], "c": -1.5e3}', ""),
        (' [true, false, "\\u00e9\\n"] ', ""),
    ],
)
def test_broken_json_is_complained_of_in_the_words_of_v8(source: str, message: str) -> None:
    """Of version 11, which the gateway's image runs on; what is JSON is not complained of."""
    assert message == _json_errors.parse_error(source)
