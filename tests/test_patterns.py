"""JavaScript's regular expressions: what they match, and what V8 says of those it refuses."""

from __future__ import annotations

import pytest

from portkey_testing import _patterns


@pytest.mark.parametrize(
    ("source", "flags", "text", "found"),
    [
        (r"^\w+$", "", "abc", True),
        (r"^\w+$", "", "abc\n", False),
        (r"^b$", "m", "a\nb", True),
        (r"\w", "", "é", False),
        (r"\d", "", "\u0661", False),
        (r"[\w-]+x", "", "a-x", True),
        (r"^[\w-\.]+@([\w-]+\.)+[\w-]{2,4}$", "", "a.b-c@d-e.co.uk", True),
        (r"[a-\d]", "", "-", True),
        (r"[+--]", "", ",", True),
        (r"[a&&b]", "", "&", True),
        (r"[a||b]", "", "|", True),
        (r"[\W_]", "", "é", True),
        (r"[\b]", "", "\b", True),
        (r"(?<year>\d{4})-\k<year>", "", "2026-2026", True),
        (r"\/path\-x", "i", "/PATH-X", True),
        (r"\x4", "", "x4", True),
        (r"\cA", "", "\x01", True),
        ("a{,3}", "", "a{,3}", True),
        ("a{,3}", "", "aa", False),
        ("[^]", "", "\n", True),
        ("[]", "", "a", False),
        ("a.b", "s", "a\nb", True),
        ("a.b", "", "a\u2028b", False),
        ("[[]", "", "[", True),
        (r"\bé", "", "é", False),
    ],
)
def test_they_match_what_they_match_in_javascript(source: str, flags: str, text: str, found: bool) -> None:
    """Only the ends of the text are ends, letters and digits are ASCII, and a hyphen beside a class is a hyphen."""
    assert found is (_patterns.pattern(source, flags).search(text) is not None)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("(?i)x", "Invalid group"),
        ("(?P<a>x)", "Invalid group"),
        ("(?>x)", "Invalid group"),
        ("(", "Unterminated group"),
        ("a)", "Unmatched ')'"),
        ("[a", "Unterminated character class"),
        ("x*+", "Nothing to repeat"),
        ("a{1}{2}", "Nothing to repeat"),
        ("[z-a]", "Range out of order in character class"),
        ("a{3,1}", "numbers out of order in {} quantifier"),
        ("(?<1a>x)", "Invalid capture group name"),
        ("(?<a>x)(?<a>y)", "Duplicate capture group name"),
        ("\\", "\\ at end of pattern"),
    ],
)
def test_what_is_said_of_a_broken_one(source: str, reason: str) -> None:
    """In V8's words; what is Python's own is none of JavaScript's."""
    with pytest.raises(_patterns.InvalidPatternError) as caught:
        _patterns.pattern(source)

    assert f"Invalid regular expression: /{source}/: {reason}" == str(caught.value)
