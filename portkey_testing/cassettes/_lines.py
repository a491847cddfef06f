"""A quick way to read the YAML that `_yaml.write` writes: line by line, one regular expression for all of them.

It knows that much of YAML and no more, and builds nothing from a text in which it meets anything else: libyaml then
judges the whole of it. So it is only ever a faster way to the same value, never another opinion.

Most lines of a cassette occur again and again (`role: user`, `object: chat.completion`), and what a line says is
remembered for a while.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, NamedTuple

UNKNOWN: Final = object()
"""Stands for a value that is not known, since the text has more of YAML than is read here."""

_LINE: Final = re.compile(
    r"""
    (\ *) ((?:-\ )*)                                                  # how far it is indented, items that begin here
    (?:([A-Za-z_][\w./-]{0,200}|'[^'\n\t]{1,200}'):(?:\ |\Z))?        # a key
    (?:
        ([A-Za-z_/<(.][^\n\t]*)                                       # plain text
      | '([^'\n\t]*(?:''[^'\n\t]*)*)'                                 # quoted text
      | ("[^"\\\n\t]*(?:\\(?:["\\nrt]|u(?!d[89a-f])[0-9a-f]{4})[^"\\\n\t]*)*")  # text with escapes that JSON has, too
      | (-?[0-9][0-9.eE+-]*)                                          # a number, or a text that looks like one
      | \[(-?[0-9][0-9.eE+-]*(?:,\ -?[0-9][0-9.eE+-]*)*)\]            # a row of numbers
      | (\[\]|\{\})                                                   # a container with nothing in it
      | \|(2?[-+]?)                                                   # a text of several lines, which follow
    )?
    """,
    re.VERBOSE,
)
_ODD: Final = re.compile("[^\t\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML forbids, or takes for the end of a line."""

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")
MAX_DIGITS: Final = 4000
"""`int()` refuses texts of more than 4,300 digits."""

_CONSTANTS: Final[dict[str, Any]] = {"null": None, "true": True, "false": False}
_MEMORABLE: Final = 100
"""Characters of a line that is worth remembering."""


class _Kind(Enum):
    """What stands behind the key or the dash of a line."""

    SCALAR = "a scalar"
    ROW = "a list of numbers, or a container with nothing in it"
    BLOCK = "a text, on the lines below"
    NOTHING = "nothing: what it holds is on the lines below"


class _Line(NamedTuple):
    """What one line says.

    Attributes:
        column: Blanks before it.
        dashes: How many items of lists begin in it.
        key: The key in it, if there is one.
        kind: What stands behind that.
        value: The scalar; of a block its style.
        plain: The scalar as a text, as it is spelt.
    """

    column: int
    dashes: int
    key: str | None
    kind: _Kind
    value: Any
    plain: str


def _said(line: str) -> _Line | None:
    """What a line says; None where that takes more of YAML."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    blanks, dashes, key, plain, quoted, escaped, number, row, empty, style = match.groups()
    if key is not None and key[0] == "'":
        key = key[1:-1]
    if plain is not None:
        if plain[-1] in " :" or ": " in plain or " #" in plain:
            return None
        kind, value = _Kind.SCALAR, _CONSTANTS.get(plain, plain)
    elif quoted is not None:
        kind, value = _Kind.SCALAR, quoted.replace("''", "'")
    elif escaped is not None:
        kind, value = _Kind.SCALAR, json.loads(escaped)
    elif number is not None:
        kind, value = _Kind.SCALAR, number_of(number)
    elif row is not None or empty is not None:
        kind, value = _Kind.ROW, {} if empty == "{}" else [number_of(item) for item in row.split(", ")] if row else []
    elif style is not None:
        kind, value = _Kind.BLOCK, style
    elif key is not None:
        kind, value = _Kind.NOTHING, None
    else:
        return None
    return _Line(len(blanks), len(dashes) // 2, key, kind, value, str(plain or number or value))


_remembered: Final = functools.lru_cache(maxsize=4096)(_said)


def read(text: str, *, verbatim: str | None, max_depth: int) -> Any:
    """The value of one document, or `UNKNOWN`.

    Args:
        text: The document.
        verbatim: Key, on the second level, of mappings whose plain scalars are all text.
        max_depth: Levels of nesting that are read.
    """
    if _ODD.search(text) or text[-1:] != "\n":
        return UNKNOWN
    remembered, find = _remembered, text.find
    scalar, nothing, block = _Kind.SCALAR, _Kind.NOTHING, _Kind.BLOCK
    root: dict[str, Any] = {}
    container: Any = root
    column = 0  # where the keys or dashes of the container stand
    is_mapping = True
    texts: Any = None  # the mapping that is being read whose scalars are all text
    latest = ""
    is_open = False  # the latest key stood alone on its line: what it holds comes next
    around: list[tuple[Any, int, bool]] = [(None, -1, False)]
    at, end = 0, len(text)
    while at < end:
        line_end = find("\n", at)
        line = text[at:line_end]
        said = remembered(line) if len(line) <= _MEMORABLE else _said(line)
        if said is None:
            return UNKNOWN
        at = line_end + 1
        here, dashes, key, kind, value, plain = said
        if dashes or is_open or here != column or not is_mapping:
            if not is_open:
                while column > here or (column == here and not is_mapping and not dashes):
                    container, column, is_mapping = around.pop()
                if column != here or is_mapping is (dashes > 0):
                    return UNKNOWN
            for level in range(dashes + (key is not None)):
                if level or is_open:
                    opens_mapping = level == dashes
                    # A list may stand as far left as the key that holds it.
                    if here < column or (here == column and (opens_mapping or not is_mapping)):
                        return UNKNOWN
                    if len(around) >= max_depth:
                        return UNKNOWN
                    inner: Any = {} if opens_mapping else []
                    if not is_mapping:
                        container.append(inner)
                    else:
                        container[latest] = inner
                        if opens_mapping and latest == verbatim and len(around) == 2:
                            texts = inner
                    around.append((container, column, is_mapping))
                    container, column, is_mapping = inner, here, opens_mapping
                    is_open = False
                here += 2
        if is_mapping:
            if key is None or key in container:
                return UNKNOWN
            if kind is nothing:
                latest, is_open = key, True
                continue
        if kind is scalar:
            if container is texts:
                value = plain
        elif kind is block:
            lines_below = _lines_indented_by(column + 2)(text, at)
            value = _text_of(lines_below, value, column + 2)
            at += len(lines_below)
            if value is None:
                return UNKNOWN
        else:
            value = value.copy()
        if is_mapping:
            container[key] = value
        else:
            container.append(value)
    return UNKNOWN if is_open or not root else root


def number_of(text: str) -> int | float | str:
    """The number a plain scalar is, as JSON spells numbers; else the text."""
    match = _NUMBER.match(text)
    if match is None:
        return text
    if match[1] or match[2]:
        number = float(text)
        return number if math.isfinite(number) else text
    return int(text) if len(text) <= MAX_DIGITS else text


@functools.cache
def _lines_indented_by(width: int) -> Callable[[str, int], str]:
    """Finds the lines that stand so far to the right, and the empty ones between them, from a place in a text on."""
    pattern = re.compile(rf"(?: {{{width}}}.*\n|\n)*")

    def found(text: str, at: int) -> str:
        match = pattern.match(text, at)
        return match[0] if match else ""

    return found


def _text_of(lines: str, style: str, width: int) -> str | None:
    """The text that the lines of a block are; None where that takes more of YAML to say."""
    if not lines or lines.isspace() or (style[:1] != "2" and lines[width : width + 1] in " \t\n"):
        return None
    text = lines.replace("\n" + " " * width, "\n")
    text = text[width:] if lines[0] == " " else text
    if style[-1:] == "+":
        return text
    return text.rstrip("\n") + ("" if style[-1:] == "-" else "\n")
