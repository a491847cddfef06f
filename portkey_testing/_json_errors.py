"""What V8 says of a text that is not JSON, in the words of the version 11 that the gateway's image runs on."""

from __future__ import annotations

import re
from typing import Final

_BLANKS = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*')
_HEX_DIGITS = re.compile("[0-9a-fA-F]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_LITERALS: Final = {"t": "true", "f": "false", "n": "null"}
_VALUES_OF_JAVASCRIPT: Final = ("NaN", "Infinity", "undefined", "[object Object]")
_QUOTED: Final = 10
"""How many characters on either side of a place are quoted, of texts longer than both together."""


class _NotJSONError(Exception):
    """Where the text stops being JSON, in V8's words."""


def parse_error(text: str) -> str:
    """The complaint; empty where there is nothing to complain of."""
    try:
        end = _after_blanks(text, _value(text, _after_blanks(text, 0)))
    except _NotJSONError as error:
        return str(error)
    return "" if end == len(text) else f"Unexpected non-whitespace character after JSON at position {end}"


def _value(text: str, at: int) -> int:
    """Read one value; returns where it ends, as the others do."""
    sign = text[at : at + 1]
    if sign == "{":
        return _object(text, at + 1)
    if sign == "[":
        return _array(text, at + 1)
    if sign == '"':
        return _string(text, at + 1)
    if sign in _LITERALS:
        for expected in _LITERALS[sign]:
            if text[at : at + 1] != expected:
                raise _unexpected(text, at)
            at += 1
        return at
    return _number(text, at)


def _object(text: str, at: int) -> int:
    at = _after_blanks(text, at)
    if text.startswith("}", at):
        return at + 1
    first = True
    while True:
        if not text.startswith('"', at):
            raise _broken("Expected property name or '}'" if first else "Expected double-quoted property name", at)
        at = _after_blanks(text, _string(text, at + 1))
        if not text.startswith(":", at):
            if not first:
                raise _unexpected(text, at)
            raise _broken("Expected ':' after property name", at)
        at = _after_blanks(text, _value(text, _after_blanks(text, at + 1)))
        if text.startswith("}", at):
            return at + 1
        if not text.startswith(",", at):
            raise _broken("Expected ',' or '}' after property value", at)
        at = _after_blanks(text, at + 1)
        first = False


def _array(text: str, at: int) -> int:
    at = _after_blanks(text, at)
    if text.startswith("]", at):
        return at + 1
    while True:
        at = _after_blanks(text, _value(text, at))
        if text.startswith("]", at):
            return at + 1
        if not text.startswith(",", at):
            raise _broken("Expected ',' or ']' after array element", at)
        at = _after_blanks(text, at + 1)


def _string(text: str, at: int) -> int:
    found = _STRING.match(text, at)
    end = at if found is None else found.end()
    if text.startswith('"', end):
        return end + 1
    if text.startswith("\\u", end):
        digits = _HEX_DIGITS.match(text, end + 2)
        raise _broken("Bad Unicode escape", len(text) if digits is None else digits.end())
    if end >= len(text):
        raise _broken("Unterminated string", end)
    if text[end] != "\\":
        raise _broken("Bad control character in string literal", end)
    if end + 1 == len(text):
        raise _unexpected(text, end + 1)
    raise _broken("Bad escaped character", end + 1)


def _number(text: str, at: int) -> int:
    found = _NUMBER.match(text, at)
    if found is None:
        if text.startswith("-", at):
            raise _broken("No number after minus sign", at + 1)
        raise _unexpected(text, at)
    end = found.end()
    written = found.group()
    if text.startswith(".", end) and "." not in written and "e" not in written.lower():
        raise _broken("Unterminated fractional number", end + 1)
    if text.startswith(("e", "E"), end) and "e" not in written.lower():
        raise _broken("Exponent part is missing a number", end + 1 + text.startswith(("+", "-"), end + 1))
    if written in ("0", "-0") and text[end : end + 1].isdigit():
        raise _unexpected(text, end)
    return end


def _after_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return at if found is None else found.end()


def _unexpected(text: str, at: int) -> _NotJSONError:
    sign = text[at : at + 1]
    if not sign:
        return _NotJSONError("Unexpected end of JSON input")
    if sign == '"':
        return _broken("Unexpected string", at)
    if sign in "-0123456789":
        return _broken("Unexpected number", at)
    if text in _VALUES_OF_JAVASCRIPT:
        return _NotJSONError(f'"{text}" is not valid JSON')
    return _NotJSONError(f"Unexpected token '{sign}', {_around(text, at)} is not valid JSON")


def _broken(what: str, at: int) -> _NotJSONError:
    return _NotJSONError(f"{what} in JSON at position {at}")


def _around(text: str, at: int) -> str:
    if len(text) <= 2 * _QUOTED:
        return f'"{text}"'
    start, end = max(at - _QUOTED, 0), min(at + _QUOTED, len(text))
    return f'{"..." if at >= _QUOTED else ""}"{text[start:end]}"{"..." if end < len(text) else ""}'
