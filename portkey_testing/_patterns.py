"""Regular expressions of JavaScript, in which guardrails and conditions are written, in Python's spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}
_ERRORS: Final = (
    ("invalid group", "Invalid group"),
    ("unterminated subpattern", "Unterminated group"),
    ("unterminated character set", "Unterminated character class"),
    ("nothing to repeat", "Nothing to repeat"),
    ("multiple repeat", "Nothing to repeat"),
    ("unbalanced parenthesis", "Unmatched ')'"),
    ("bad escape (end of pattern)", "\\ at end of pattern"),
    ("min repeat greater than max", "numbers out of order in {} quantifier"),
    ("bad character range", "Range out of order in character class"),
    ("redefinition of group name", "Duplicate capture group name"),
    ("group name", "Invalid capture group name"),
)
"""What Python's complaints begin with or hold, and V8's words for the same."""

_ESCAPE: Final = r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[a-zA-Z]|k<[^>]*>|[\s\S])"
_PART = re.compile(rf"{_ESCAPE}|\(\?(?:[:=!]|<[=!]|<[^>]*>)?|[*+?]\??|\{{\d+(?:,\d*)?\}}\??|[\s\S]")
_MEMBER = re.compile(rf"{_ESCAPE}|[^\]]")
_QUANTIFIERS: Final = ("*", "+", "?", "{")

_DIGITS: Final = "0-9"
_WORD: Final = "A-Za-z0-9_"
_SETS: Final = {
    r"\d": _DIGITS,
    r"\w": _WORD,
    r"\D": r"\x00-/:-\U0010ffff",
    r"\W": r"\x00-/:-@\[-\^`{-\U0010ffff",
    r"\s": r"\s",
    r"\S": r"\S",
}
"""Classes that are part of another; digits and word characters are ASCII only."""

_LINE_END: Final = r"\n\r\u2028\u2029"


class InvalidPatternError(ValueError):
    """A regular expression that does not compile; the text is V8's, as far as it is known."""


@lru_cache(maxsize=256)
def pattern(source: str, flags: str = "") -> re.Pattern[str]:
    """`new RegExp(source, flags)`.

    Raises:
        InvalidPatternError: it does not compile. A look-behind of variable length does not either, in Python.
    """
    try:
        return re.compile("".join(_translated(source, flags)), sum(_FLAGS.get(flag, 0) for flag in flags))
    except re.error as error:
        reason = next((words for mark, words in _ERRORS if mark in str(error)), str(error))
        raise InvalidPatternError(f"Invalid regular expression: /{source}/{flags}: {reason}") from error


def _translated(source: str, flags: str) -> Iterator[str]:
    at = 0
    quantified = False
    while at < len(source):
        if source[at] == "[":
            written, at = _character_class(source, at + 1)
            quantified = False
            yield written
            continue
        part = _part_at(_PART, source, at)
        at += len(part)
        repeats = part.startswith(_QUANTIFIERS) and part != "{"
        if repeats and quantified:
            raise re.error("multiple repeat")  # what Python takes for a quantifier that gives nothing back
        quantified = repeats
        yield part if repeats else _atom(part, flags)


def _atom(part: str, flags: str) -> str:
    match part:
        case "." if "s" not in flags:
            return f"[^{_LINE_END}]"
        case "$" if "m" not in flags:
            return r"\Z"
        case "{":
            return r"\{"
        case "(?":
            raise re.error("invalid group")
        case _ if part.startswith("(?<") and len(part) > len("(?<="):
            return f"(?P{part[2:]}"
        case _ if part in _SETS:
            return f"[{_SETS[part]}]"
        case r"\b" | r"\B":
            return f"(?a:{part})"
        case _ if part.startswith(r"\k<"):
            return f"(?P={part[3:-1]})"
        case _:
            return _escaped(part)


def _character_class(source: str, at: int) -> tuple[str, int]:
    """A class whose bracket opens before `at`, and where it ends."""
    sign = "^" if source.startswith("^", at) else ""
    at += len(sign)
    members: list[str] = []
    while not source.startswith("]", at):
        if at >= len(source):
            raise re.error("unterminated character set")
        members.append(_part_at(_MEMBER, source, at))
        at += len(members[-1])
    if not members:
        return (r"[\s\S]" if sign else "(?!)"), at + 1
    return f"[{sign}{''.join(_members(members))}]", at + 1


def _members(given: list[str]) -> Iterator[str]:
    """What a class holds. A hyphen beside a class is itself, where Python takes it for a broken range."""
    while given:
        ranged = given[1:2] == ["-"] and len(given) > 2 and _SETS.keys().isdisjoint((given[0], given[2]))
        yield f"{_member(given[0])}-{_member(given[2])}" if ranged else _member(given[0])
        given = given[3:] if ranged else given[1:]


def _member(part: str) -> str:
    if part in _SETS:
        return _SETS[part]
    return r"\x08" if part == r"\b" else re.escape(part) if len(part) == 1 else _escaped(part)


def _escaped(part: str) -> str:
    """An escape of one character, any letter of which may be escaped; anything else as it is."""
    if len(part) == 3 and part.startswith(r"\c"):
        return rf"\x{ord(part[2]) % 32:02x}"
    letter = part[1:]
    if part[0] == "\\" and len(letter) == 1 and letter.isascii() and letter.isalpha() and letter not in "nrtfv":
        return letter
    return part


def _part_at(kind: re.Pattern[str], source: str, at: int) -> str:
    found = kind.match(source, at)
    # A backslash at the end escapes nothing.
    return source[at:] if found is None else found.group()
