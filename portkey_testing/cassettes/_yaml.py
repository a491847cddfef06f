"""The part of YAML that cassettes use: JSON's values in block style, read and written by code of our own.

Reading builds values straight from libyaml's events. That costs half of what PyYAML's loader does, and refuses as it
goes what a cassette never needs: tags, anchors, aliases, directives, duplicate keys and bottomless nesting. A plain
scalar is `null`, `true`, `false`, a number as JSON spells it, or text, so that `no`, `1_000` and `2026-01-01` stay what
they look like.

Writing keeps every text that has several lines as lines, whatever is in it. PyYAML's own dumper turns such a text into
one escaped line as soon as it holds an emoji, a tab or a trailing blank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from portkey_testing.cassettes import _lines
from portkey_testing.cassettes._lines import MAX_DIGITS, number_of

try:
    from yaml._yaml import CParser
except ImportError as error:
    raise ImportError(
        "cassettes are read with libyaml, and this PyYAML was built without it (yaml.CSafeLoader is missing). "
        "The wheels of PyYAML have it: reinstall with `pip install --force-reinstall --only-binary :all: pyyaml`."
    ) from error

type_of = type

Json = None | bool | int | float | str | list[Any] | dict[str, Any]

MAX_DEPTH: Final = 100
"""Levels of nesting in one document; a chat request has about ten."""

MAX_KEY: Final = 1000
"""Characters in a key; YAML allows 1,024 in a key that stands on one line."""

UNWRITABLE: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
"""What cannot stand as itself in a line of a cassette: what YAML refuses or takes for a line end, and the
controls that make a reviewer see other text than the program gets."""

_CONSTANTS: Final = {"null": None, "true": True, "false": False, "": None}


class YamlError(Exception):
    """A text is not the YAML of a cassette.

    Attributes:
        line: Line in the text, starting at 1.
    """

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.line = line


class Unwritable(Exception):
    """A value that this YAML cannot hold: a lone surrogate, a number beyond JSON, a bottomless nest, an endless key."""


def read(text: str, *, verbatim: str | None = None) -> Json:
    """The value of a text that is one YAML document.

    Args:
        text: The document.
        verbatim: Key, on the second level, of mappings whose plain scalars are all text.

    Raises:
        YamlError: the text is not YAML, or uses what cassettes do not, or is more than one document.
    """
    value: Json = _lines.read(text, verbatim=verbatim, max_depth=MAX_DEPTH)
    if value is not _lines.UNKNOWN:
        return value
    documents = list(read_all(text, verbatim=verbatim))
    if len(documents) > 1:
        raise YamlError("expected the end of the document, found another one", 1)
    return documents[0] if documents else None


def read_all(text: str, *, verbatim: str | None = None) -> Iterator[Json]:
    """The values of the YAML documents in a text, one after the other. See `read`."""
    parser = CParser(text)
    get_event: Any = parser.get_event
    try:
        get_event()  # the start of the stream
        while type_of(start := get_event()) is not yaml.StreamEndEvent:
            if start.tags or start.version:
                raise YamlError(
                    "YAML directives (%TAG, %YAML) are not allowed in a cassette", start.start_mark.line + 1
                )
            yield _build(get_event, verbatim)
    except yaml.YAMLError as error:
        raise _explained(error, text) from None
    finally:
        parser.dispose()


def _build(get_event: Any, verbatim: str | None) -> Json:
    """The value of the document whose start was just read, up to its end."""
    scalar_event, mapping_start, sequence_start = yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent
    mapping_end, sequence_end = yaml.MappingEndEvent, yaml.SequenceEndEvent
    root: list[Any] = []
    container: Any = root
    key: Any = None
    texts: Any = None  # the mapping that is being read whose scalars are all text
    is_key = is_mapping = False
    stack: list[Any] = []
    while True:
        event = get_event()
        kind = type_of(event)
        if kind is scalar_event:
            value = event.value
            if event.tag or event.anchor:
                raise _refused(event)
            if is_key:
                if value in container:
                    raise YamlError(f"the key {value!r} stands twice in one mapping", event.start_mark.line + 1)
                key = value
                is_key = False
                continue
            if event.implicit[0] and container is not texts:
                if value in _CONSTANTS:
                    value = _CONSTANTS[value]
                elif value[0] in "-0123456789":
                    value = number_of(value)
            if is_mapping:
                container[key] = value
                is_key = True
            else:
                container.append(value)
        elif kind is mapping_end or kind is sequence_end:
            container, is_mapping = stack.pop()
            is_key = is_mapping
        elif kind is mapping_start or kind is sequence_start:
            if event.tag is not None or event.anchor is not None:
                raise _refused(event)
            if is_key:
                raise YamlError("a key must be a text, not a mapping or a list", event.start_mark.line + 1)
            if len(stack) >= MAX_DEPTH:
                raise YamlError(f"nested deeper than {MAX_DEPTH} levels", event.start_mark.line + 1)
            inner: Any
            if kind is mapping_start:
                inner = {}
                if key == verbatim and len(stack) == 2 and is_mapping:
                    texts = inner
            else:
                inner = []
            if is_mapping:
                container[key] = inner
            else:
                container.append(inner)
            stack.append((container, is_mapping))
            container = inner
            is_key = is_mapping = kind is mapping_start
        elif kind is yaml.DocumentEndEvent:
            break
        else:
            raise _refused(event)
    result: Json = root[0]
    return result


def _refused(event: Any) -> YamlError:
    line = event.start_mark.line + 1
    if isinstance(event, yaml.AliasEvent):
        return YamlError(f"YAML aliases are not allowed in a cassette: *{event.anchor}", line)
    if event.tag is not None:
        return YamlError(f"YAML tags are not allowed in a cassette: {event.tag}", line)
    return YamlError(f"YAML anchors are not allowed in a cassette: &{event.anchor}", line)


def _explained(error: yaml.YAMLError, text: str) -> YamlError:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return YamlError(f"not YAML: {error.problem}", error.problem_mark.line + 1)
    forbidden = re.search("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    line = text.count("\n", 0, forbidden.start()) + 1 if forbidden else 1
    return YamlError(f"not YAML: {str(error).splitlines()[0]}", line)


def line_of(text: str, path: Sequence[str | int]) -> int:
    """The line, starting at 1, on which the value at `path` begins, or the nearest thing around it that is there."""
    parser = CParser(text)
    try:
        parser.get_event()
        parser.get_event()
        return _find(parser.get_event, parser.get_event(), list(path))
    finally:
        parser.dispose()


def _find(get_event: Any, event: Any, path: list[str | int]) -> int:
    line: int = event.start_mark.line + 1
    if not path or not isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
        return line
    wanted, *rest = path
    number = 0
    is_mapping = isinstance(event, yaml.MappingStartEvent)
    while True:
        child = get_event()
        if isinstance(child, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            return line
        name: str | int = child.value if is_mapping else number
        key_line: int = child.start_mark.line + 1
        if is_mapping:
            child = get_event()
        if name == wanted:
            return _find(get_event, child, rest) if rest else key_line
        _skip(get_event, child)
        number += 1


def _skip(get_event: Any, event: Any) -> None:
    depth = isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent) * 1
    while depth:
        event = get_event()
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1


_PLAIN: Final = re.compile(r"[A-Za-z_/<(.](?:[\w .,/()<>+*@=;!?'\"$%^&~|\[\]{}-]|:(?! |\Z)|(?<! )#)*\Z")
_AMBIGUOUS: Final = re.compile(r"(?i:true|false|null|yes|no|on|off|y|n|<<|\.nan|[+-]?\.inf|\.[0-9_.e+-]*)\Z")
"""Texts that another reader of YAML could take for something else."""


def write(value: Mapping[str, Any]) -> str:
    """One mapping as a YAML document, without its `---`.

    Raises:
        Unwritable: something in it has no place in this YAML.
    """
    return "\n".join(_mapping(value, "", 0) or ["{}"]) + "\n"


def _mapping(mapping: Mapping[str, Any], indent: str, depth: int) -> list[str]:
    if depth >= MAX_DEPTH:
        raise Unwritable(f"nested deeper than {MAX_DEPTH} levels")
    lines: list[str] = []
    for name, value in mapping.items():
        if not isinstance(name, str):
            raise Unwritable(f"a key must be a text, not {name!r}")
        if len(name) > MAX_KEY:
            raise Unwritable(f"a key of {len(name)} characters")
        head = f"{indent}{_inline(name)}:"
        if isinstance(value, dict) and value:
            lines.append(head)
            lines += _mapping(value, indent + "  ", depth + 1)
        elif isinstance(value, list) and value and not _is_row(value):
            lines.append(head)
            lines += _sequence(value, indent, depth + 1)
        else:
            first, *rest = _scalar(value, indent)
            lines.append(f"{head} {first}")
            lines += rest
    return lines


def _sequence(items: list[Any], indent: str, depth: int) -> list[str]:
    if depth >= MAX_DEPTH:
        raise Unwritable(f"nested deeper than {MAX_DEPTH} levels")
    lines: list[str] = []
    inner = indent + "  "
    for item in items:
        if isinstance(item, dict) and item:
            block = _mapping(item, inner, depth + 1)
        elif isinstance(item, list) and item and not _is_row(item):
            block = _sequence(item, inner, depth + 1)
        else:
            first, *rest = _scalar(item, indent)
            block = [inner + first, *rest]
        lines.append(f"{indent}- {block[0][len(inner) :]}")
        lines += block[1:]
    return lines


def _is_row(items: list[Any]) -> bool:
    """Whether a list is one of numbers only, as of an embedding, which stays on one line."""
    return all(type_of(item) is int or type_of(item) is float for item in items)


def _scalar(value: Any, indent: str) -> list[str]:
    """The lines of a value that has no members: what stands behind the key, and the lines below it."""
    if isinstance(value, str):
        return _literal(value, indent) if "\n" in value else [_inline(value)]
    if value is None:
        return ["null"]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, int):
        if abs(value) >= 10**MAX_DIGITS:
            raise Unwritable(f"a number of more than {MAX_DIGITS} digits")
        return [str(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unwritable(f"{value} is not a number of JSON")
        return [repr(value)]
    if isinstance(value, dict):
        return ["{}"]
    if isinstance(value, list):
        return [f"[{', '.join(_scalar(item, indent)[0] for item in value)}]"]
    raise Unwritable(f"{type_of(value).__name__} is not a type of JSON")


def _inline(text: str) -> str:
    """A text on one line: plain where nobody can mistake it, else quoted."""
    if not text.isprintable():
        return _quoted(text)
    if _PLAIN.match(text) and text[-1] != " " and not _AMBIGUOUS.match(text) and not text.startswith(("---", "...")):
        return text
    return "'" + text.replace("'", "''") + "'"


def _quoted(text: str) -> str:
    if re.search("[\ud800-\udfff]", text):
        raise Unwritable("a lone surrogate")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    escaped = escaped.replace("\t", "\\t")
    return '"' + UNWRITABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'


def _literal(text: str, indent: str) -> list[str]:
    """A text of several lines, as lines."""
    body = text.rstrip("\n")
    if not body or body[-1] in " \t" or UNWRITABLE.search(text.replace("\n", "")):
        return [_quoted(text)]
    # Where the first line starts with a blank or is one, YAML cannot see how far the block is indented.
    explicit = "2" if text[0] in " \t\n" else ""
    ends = len(text) - len(body)
    chomping = "-" if ends == 0 else "" if ends == 1 else "+"
    lines = text.split("\n")
    if ends:
        lines.pop()
    return [f"|{explicit}{chomping}", *(f"{indent}  {line}" if line else "" for line in lines)]
