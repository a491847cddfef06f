"""Holding a value against a JSON Schema, and saying what is wrong with it in the words of the gateway's validator.

All of draft 2020-12 but what looks at what other keywords have left over (`unevaluatedItems`, `unevaluatedProperties`),
anchors, and references to other documents. A name that is no type is one that nothing has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from operator import ge, gt, le, lt
from typing import Any, Final

from portkey_testing import _javascript, _patterns
from portkey_testing.failures import NotSimulated

_BEYOND: Final = frozenset({"$dynamicRef", "unevaluatedItems", "unevaluatedProperties"})
_FORMATS: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(pattern, re.IGNORECASE | re.ASCII)
    for name, pattern in {
        "date": r"\d{4}-[01]\d-[0-3]\d",
        "date-time": r"\d{4}-[01]\d-[0-3]\d[t\s][0-2]\d:[0-5]\d:[0-5]\d(\.\d+)?(z|[+-]\d\d(:?\d\d)?)",
        "email": r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
        r"@[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*",
        "time": r"[0-2]\d:[0-5]\d:[0-5]\d(\.\d+)?(z|[+-]\d\d(:?\d\d)?)?",
        "uri": r"[a-z][a-z0-9+.-]*:[^\s]+",
        "uuid": r"(urn:uuid:)?[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}",
    }.items()
}
_ADDRESSES: Final = {"ipv4": IPv4Address, "ipv6": IPv6Address}


class UnresolvedError(Exception):
    """A reference leads nowhere; the text is how the validator begins to say so."""


class Schema:
    """A schema to hold values against.

    Args:
        written: The schema; `True` takes everything and `False` nothing.
    """

    def __init__(self, written: Any) -> None:
        self._root = written

    def complaints(self, value: Any) -> list[str]:
        """What is wrong with a value; nothing where it fits.

        Raises:
            UnresolvedError: a reference of the schema leads nowhere.
            NotSimulated: a keyword is none of those above.
        """
        return list(self._about(value, self._root))

    def _about(self, value: Any, schema: Any) -> Iterator[str]:
        if schema is False:
            yield "False boolean schema."
        if not isinstance(schema, Mapping):
            return
        if beyond := _BEYOND & schema.keys():
            raise NotSimulated(f"the fake does not judge by {min(beyond)}; say the same with other keywords")
        if "$ref" in schema:
            yield from _under("A subschema had errors.", self._about(value, self._referred(schema["$ref"])))
        yield from _values(value, schema)
        yield from self._combined(value, schema)
        match value:
            case Mapping():
                yield from self._fields(value, schema)
            case list():
                yield from self._items(value, schema)
            case str():
                yield from _signs(value, schema)
            case int() | float() if not isinstance(value, bool):
                yield from _amount(value, schema)

    def _fits(self, value: Any, schema: Any) -> bool:
        return next(self._about(value, schema), None) is None

    def _referred(self, reference: Any) -> Any:
        found = self._root
        for step in str(reference).removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise UnresolvedError(f'Unresolved $ref "{reference}".')
            found = found[name]
        return found

    def _combined(self, value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
        if "not" in schema and self._fits(value, schema["not"]):
            yield 'Instance matched "not" schema.'
        for name in ("anyOf", "allOf", "oneOf"):
            if name in schema:
                found = [list(self._about(value, each)) for each in schema[name]]
                fitting = sum(not complaints for complaints in found)
                holds, said = {
                    "anyOf": (fitting > 0, "Instance does not match any subschemas."),
                    "allOf": (fitting == len(found), "Instance does not match every subschema."),
                    "oneOf": (fitting == 1, f"Instance does not match exactly one subschema ({fitting} matches)."),
                }[name]
                if not holds:
                    yield said
                    yield from (complaint for complaints in found for complaint in complaints)
        if "if" in schema:
            then = "then" if self._fits(value, schema["if"]) else "else"
            said = f'Instance does not match "{then}" schema.'
            yield from _under(said, self._about(value, schema.get(then, True)))

    def _fields(self, value: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
        for name in schema.get("required", ()):
            if name not in value:
                yield f'Instance does not have required property "{name}".'
        # The validator says "at least" of the most, too.
        for keyword, beyond in (("minProperties", lt), ("maxProperties", gt)):
            if keyword in schema and beyond(len(value), schema[keyword]):
                yield f"Instance does not have at least {schema[keyword]} properties."
        if "propertyNames" in schema:
            for name in value:
                said = f'Property name "{name}" does not match schema.'
                yield from _under(said, self._about(name, schema["propertyNames"]))
        for name, wanted in schema.get("dependentRequired", {}).items():
            for other in wanted if name in value else ():
                if other not in value:
                    yield f'Instance has "{name}" but does not have "{other}".'
        for name, dependent in schema.get("dependentSchemas", {}).items():
            if name in value:
                said = f'Instance has "{name}" but does not match dependant schema.'
                yield from _under(said, self._about(value, dependent))
        yield from self._properties(value, schema)

    def _properties(self, value: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
        fitting: set[str] = set()
        for name, each in schema.get("properties", {}).items():
            if name in value:
                found = list(self._about(value[name], each))
                yield from _under(f'Property "{name}" does not match schema.', iter(found))
                fitting |= set() if found else {name}
        for pattern, each in schema.get("patternProperties", {}).items():
            for name in value:
                if _patterns.pattern(pattern, "u").search(name):
                    found = list(self._about(value[name], each))
                    said = f'Property "{name}" matches pattern "{pattern}" but does not match associated schema.'
                    yield from _under(said, iter(found))
                    fitting |= set() if found else {name}
        if "additionalProperties" in schema:
            # A known property that does not fit counts as an additional one.
            for name in value:
                if name not in fitting:
                    said = f'Property "{name}" does not match additional properties schema.'
                    yield from _under(said, self._about(value[name], schema["additionalProperties"]))

    def _items(self, value: list[Any], schema: Mapping[str, Any]) -> Iterator[str]:
        size = len(value)
        if "maxItems" in schema and size > schema["maxItems"]:
            yield f"Array has too many items ({size} > {schema['maxItems']})."
        if "minItems" in schema and size < schema["minItems"]:
            yield f"Array has too few items ({size} < {schema['minItems']})."
        leading = schema.get("prefixItems", [])
        for item, each in zip(value, leading, strict=False):
            yield from _under("Items did not match schema.", self._about(item, each))
        for item in value[len(leading) :]:
            yield from _under("Items did not match schema.", self._about(item, schema.get("items", True)))
        if "contains" in schema:
            yield from self._contained(value, schema)
        if schema.get("uniqueItems"):
            pairs = ((a, b) for a in range(size) for b in range(size) if a != b and _equal(value[a], value[b]))
            for first, second in pairs:
                yield f"Duplicate items at indexes {first} and {second}."
                break

    def _contained(self, value: list[Any], schema: Mapping[str, Any]) -> Iterator[str]:
        least, most = schema.get("minContains"), schema.get("maxContains")
        if not value and least is None:
            yield "Array is empty. It must contain at least one item matching the schema."
            return
        if least is not None and len(value) < least:
            yield f"Array has less items ({len(value)}) than minContains ({least})."
            return
        found = [list(self._about(item, schema["contains"])) for item in value]
        count = sum(not complaints for complaints in found)
        if least is None and most is None and count == 0:
            yield "Array does not contain item matching schema."
        if count < (least or 0):
            yield from (complaint for complaints in found for complaint in complaints)
            yield f"Array must contain at least {least} items matching schema. Only {count} items were found."
        elif most is not None and count > most:
            yield f"Array may contain at most {most} items matching schema. {count} items were found."


def _under(said: str, complaints: Iterator[str]) -> Iterator[str]:
    """Complaints about a part, with a line in front that says where they come from."""
    first = next(complaints, None)
    if first is not None:
        yield said
        yield first
        yield from complaints


def _values(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    kind = _javascript.kind(value)
    if "type" in schema:
        listed = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        whole = kind == "number" and value % 1 == 0
        if kind not in listed and not (whole and "integer" in listed):
            named = '", "'.join(map(_javascript.text, listed))
            yield f'Instance type "{kind}" is invalid. Expected "{named}".'
    if "const" in schema and not _equal(value, schema["const"]):
        yield f"Instance does not match {_compact(schema['const'])}."
    if "enum" in schema and not any(_equal(value, each) for each in schema["enum"]):
        yield f"Instance does not match any of {_compact(schema['enum'])}."


def _amount(value: float, schema: Mapping[str, Any]) -> Iterator[str]:
    given = _javascript.text(value)
    # The validator says of the lower limit that is excluded what it says of one that is not.
    for keyword, beyond, said in (
        ("minimum", lt, "is less than"),
        ("maximum", gt, "is greater than"),
        ("exclusiveMinimum", le, "is less than"),
        ("exclusiveMaximum", ge, "is greater than or equal to"),
    ):
        if keyword in schema and beyond(value, schema[keyword]):
            yield f"{given} {said} {_javascript.text(schema[keyword])}."
    if "multipleOf" in schema:
        rest = abs(value) % schema["multipleOf"]
        if min(rest, schema["multipleOf"] - rest) >= 1.1920929e-7:
            yield f"{given} is not a multiple of {_javascript.text(schema['multipleOf'])}."


def _signs(value: str, schema: Mapping[str, Any]) -> Iterator[str]:
    size = len(value)
    if "minLength" in schema and size < schema["minLength"]:
        yield f"String is too short ({size} < {schema['minLength']})."
    if "maxLength" in schema and size > schema["maxLength"]:
        yield f"String is too long ({size} > {schema['maxLength']})."
    if "pattern" in schema and not _patterns.pattern(schema["pattern"], "u").search(value):
        yield "String does not match pattern."
    if not _has_format(value, schema.get("format")):
        yield f'String does not match format "{schema["format"]}".'


def _has_format(value: str, name: Any) -> bool:
    if name in _ADDRESSES:
        try:
            _ADDRESSES[name](value)
        except AddressValueError:
            return False
        return True
    return name not in _FORMATS or _FORMATS[name].fullmatch(value) is not None


def _equal(one: Any, other: Any) -> bool:
    match one, other:
        case Mapping(), Mapping():
            return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
        case list(), list():
            return len(one) == len(other) and all(map(_equal, one, other))
        case _:
            return _javascript.same(one, other)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
