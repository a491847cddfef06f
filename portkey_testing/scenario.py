"""A script as a YAML file: the model of `portkey_testing.replies`, for `fake.load(path)` and for the served gateway.

    portkey_scenario: 1
    allow: [unused_replies]
    virtual_keys: {openai-prod: openai}
    scripts:
    - when: {provider: openai, message: weather}      # any condition of fake.when(...)
      reply:
      - Sunny                                         # a text
      - text: It is raining
        streamed: {by: char, ttft: 0.2, tps: 40}      # any modifier of a reply
        cut: {chunks: 3}
      - tool_call: {name: get_weather, arguments: {city: Oslo}, call_id: c1}
      - parts: [Let me see., {tool_call: {name: get_weather, arguments: {city: Oslo}}}]
      - error: {name: rate_limited, retry_after: 20}
      - status: 503
      - fault: refused
      always: For ever
    gateway:
      reply: [{fault: reset_before_headers}]

Whatever is wrong is said with file, line and field.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml

from portkey_testing import replies
from portkey_testing.cassettes import CassetteError
from portkey_testing.faults import unknown
from portkey_testing.matching import Conditions, Handle
from portkey_testing.replies import Answer, Reply, as_reply

if TYPE_CHECKING:
    from portkey_testing.gateway import FakeGateway

VERSION: Final = 1
_CONDITIONS: Final = {spec.name for spec in fields(Conditions)} - {"predicate"} | {"virtual_key", "slug"}
"""Those of `fake.when(...)`: a file has no functions."""

_TOP: Final = frozenset(
    ("portkey_scenario", "allow", "saved_configs", "virtual_keys", "default_provider", "chaos", "scripts", "gateway")
)
_MODIFIERS: Final = frozenset(
    ("delayed", "streamed", "cut", "damaged", "with_usage", "with_headers", "times", "finished", "with_logprobs")
)
_OF_ANSWERS: Final = frozenset(("finished", "with_logprobs"))

Place: TypeAlias = tuple[str | int, ...]
"""Where a field stands: the names and positions that lead to it."""


class ScenarioError(ValueError):
    """A scenario file is wrong; the text names file, line and field."""


def _line_of(error: yaml.MarkedYAMLError) -> int:
    return 1 if error.problem_mark is None else error.problem_mark.line + 1


class _Document:
    """A text with the lines of its fields."""

    def __init__(self, text: str, path: Path) -> None:
        self.path = path
        if text.startswith("portkey_cassette:"):
            raise ScenarioError(f"{path}: this is a cassette; fake.replay(path) and `serve --cassette FILE` play it")
        try:
            node = yaml.compose(text, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as cause:
            raise ScenarioError(f"{path}:{_line_of(cause)}: this is no YAML: {cause.problem or cause}") from cause
        except yaml.YAMLError as cause:
            raise ScenarioError(f"{path}: this is no YAML: {cause}") from cause
        self._lines: dict[Place, int] = {}
        self._note(node, (), ())
        try:
            self.value = yaml.load(text, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as cause:  # a tag that YAML has not, a key that is a list
            raise ScenarioError(f"{path}:{_line_of(cause)}: this is no YAML: {cause.problem or cause}") from cause

    def line(self, place: Place) -> str:
        """File and line of a field, or of what it would stand in."""
        number = next((self._lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in self._lines), 1)
        return f"{self.path}:{number}"

    def error(self, place: Place, problem: object) -> ScenarioError:
        """What is wrong with the field at `place`."""
        field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")
        return ScenarioError(f"{self.line(place)}: {field or 'the scenario'}: {problem}")

    def _note(self, node: Any, place: Place, above: tuple[Any, ...]) -> None:
        """Note the lines of everything in a node that stands below the nodes `above`.

        Raises:
            ScenarioError: a field stands there twice, or an alias leads back to where it stands.
        """
        self._lines[place] = 1 if node is None else node.start_mark.line + 1
        if any(node is one for one in above):
            raise self.error(place, "this alias stands for something that it is a part of")
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                there = (*place, str(key.value))
                line, first = key.start_mark.line + 1, self._lines.get(there)
                if first is not None:
                    self._lines[there] = line
                    raise self.error(there, f"this field stands here a second time, first on line {first}")
                self._note(value, there, (*above, node))
                self._lines[there] = line
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._note(value, (*place, index), (*above, node))

    def named(self, value: object, place: Place) -> Mapping[str, Any]:
        """A mapping with any fields; nothing is none.

        Raises:
            ScenarioError: it is no mapping.
        """
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.error(place, f"a mapping is wanted here, not {value!r:.80}")
        return value

    def string(self, value: object, place: Place) -> str:
        """A string.

        Raises:
            ScenarioError: it is none.
        """
        if not isinstance(value, str):
            raise self.error(place, f"a string is wanted here, not {value!r:.80}")
        return value

    def mapping(self, value: object, place: Place, known: Iterable[str]) -> Mapping[str, Any]:
        """A mapping with no other fields than the known ones.

        Raises:
            ScenarioError: it is none, or has others.
        """
        if not isinstance(value, Mapping):
            raise self.error(place, f"a mapping is wanted here, not {value!r:.80}")
        known = sorted(known)
        for name in value:
            if name not in known:
                raise self.error((*place, str(name)), str(unknown("field here", name, known)))
        return value

    def items(self, value: object, place: Place) -> list[Any]:
        """A list.

        Raises:
            ScenarioError: it is none.
        """
        if not isinstance(value, list):
            raise self.error(place, f"a list is wanted here, not {value!r:.80}")
        return value

    def made(self, place: Place, make: Callable[[], Any]) -> Any:
        """What a function of the Python interface makes of a field.

        Raises:
            ScenarioError: it refuses it.
        """
        try:
            return make()
        except ScenarioError:
            raise
        except (TypeError, ValueError, LookupError, CassetteError, re.error) as cause:
            raise self.error(place, cause) from cause


@dataclass(frozen=True, slots=True)
class _Script:
    """One script of a file.

    Attributes:
        place: Where it stands.
        conditions: What an attempt must meet.
        queue: What answers one attempt each.
        standby: What answers the others, if anything does.
    """

    place: Place
    conditions: Mapping[str, Any]
    queue: list[Reply]
    standby: Reply | None


def load(fake: FakeGateway, path: str | Path) -> None:
    """Script `fake` as the file says.

    Raises:
        ScenarioError: the file is no scenario, and nothing in it is scripted; the text names file, line and field.
    """
    if not isinstance(path, str | Path):
        raise TypeError(f"load() takes the path of a scenario file, not {path!r:.100}")
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as cause:
        raise ScenarioError(f"{path}: the scenario cannot be read: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        line, byte = cause.object.count(b"\n", 0, cause.start) + 1, cause.object[cause.start]
        problem = f"expected UTF-8, found the byte 0x{byte:02x}: save the file as UTF-8"
        raise ScenarioError(f"{path}:{line}: {problem}") from cause
    load_text(fake, text, path)


def load_text(fake: FakeGateway, text: str, path: Path) -> None:
    """Script `fake` as a text says.

    Args:
        fake: What is scripted.
        text: The scenario.
        path: Where it is from, for messages and for the cassettes it names.

    Raises:
        ScenarioError: it is no scenario, and nothing in it is scripted; the text names file, line and field.
    """
    document = _Document(text, path)
    top = document.mapping(document.value, (), _TOP)
    version = top.get("portkey_scenario")
    if version != VERSION or isinstance(version, bool):
        came = repr(version) if "portkey_scenario" in top else "left out"
        raise document.error(("portkey_scenario",), f"expected the version of the format, {VERSION}, not {came}")
    scripts = [
        _script(document, script, ("scripts", index), _CONDITIONS)
        for index, script in enumerate(document.items(top.get("scripts") or [], ("scripts",)))
    ]
    application = None if top.get("gateway") is None else _script(document, top["gateway"], ("gateway",), ())
    for rule in document.items(top.get("allow") or [], ("allow",)):
        document.made(("allow",), partial(fake.allow, rule))
    for config_id, config in document.named(top.get("saved_configs"), ("saved_configs",)).items():
        fake.saved_config(config_id, document.named(config, ("saved_configs", config_id)))
    for key, provider in document.named(top.get("virtual_keys"), ("virtual_keys",)).items():
        place: Place = ("virtual_keys", key)
        document.made(place, partial(fake.virtual_key, key, provider=document.string(provider, place)))
    if top.get("default_provider") is not None:
        place = ("default_provider",)
        document.made(place, partial(fake.default_provider, document.string(top["default_provider"], place)))
    if top.get("chaos") is not None:
        given = document.mapping(top["chaos"], ("chaos",), ("rate", "faults", "leg"))
        document.made(("chaos",), lambda: fake.chaos(**given))
    handles = [document.made((*script.place, "when"), partial(_handle, fake, script.conditions)) for script in scripts]
    if application is not None:
        scripts, handles = [*scripts, application], [*handles, fake.gateway]
    for script, handle in zip(scripts, handles, strict=True):
        handle.declare(script.queue, script.standby, document.line(script.place))


def _handle(fake: FakeGateway, conditions: Mapping[str, Any]) -> Handle:
    return fake.when(**_with_patterns(conditions))


def _script(document: _Document, value: object, place: Place, conditions: Collection[str]) -> _Script:
    fields = document.mapping(value, place, ("when", "reply", "always") if conditions else ("reply", "always"))
    if "reply" not in fields and "always" not in fields:
        raise document.error(place, "a script has `reply`, `always` or both")
    return _Script(
        place,
        document.mapping(fields.get("when") or {}, (*place, "when"), conditions),
        _replies(document, fields.get("reply", []), (*place, "reply")),
        _reply(document, fields["always"], (*place, "always")) if "always" in fields else None,
    )


def _reply(document: _Document, value: object, place: Place) -> Reply:
    """A reply: a plain value, or a mapping of its kind to what it takes, with its modifiers."""
    if isinstance(value, list):
        return _parts(document, value, place)
    if not isinstance(value, Mapping):
        found: Reply = document.made(place, lambda: as_reply(value))
        return found
    fields = document.mapping(value, place, _KINDS.keys() | _MODIFIERS)
    kinds = [name for name in fields if name in _KINDS]
    if len(kinds) != 1:
        raise document.error(place, f"a reply is exactly one of {', '.join(sorted(_KINDS))}; here is {kinds or 'none'}")
    kind = kinds[0]
    at = (*place, kind)
    reply: Reply = document.made(at, lambda: _KINDS[kind](document, fields[kind], at))
    for name in fields:
        if name in _MODIFIERS:
            reply = document.made((*place, name), partial(_modified, reply, name, fields[name]))
    return reply


def _modified(reply: Reply, name: str, value: Any) -> Reply:
    if name in _OF_ANSWERS and not isinstance(reply, Answer):
        raise TypeError(f"only what a model says can be {name.replace('_', ' ')}, not {reply}")
    if name == "with_logprobs" and isinstance(reply, Answer):
        return reply.with_logprobs(*map(tuple, value))
    modify = getattr(reply, name)
    takes_keywords = name in ("streamed", "cut", "with_usage")
    if takes_keywords and not isinstance(value, Mapping):
        raise TypeError(f"{name} takes a mapping of its options, not {value!r}")
    modified: Reply = modify(**value) if takes_keywords else modify(value)
    return modified


def _tool_call(document: _Document, value: Any, place: Place) -> Reply:
    given = document.mapping(value, place, ("name", "arguments", "call_id", "raw"))
    options = {name: given[name] for name in ("call_id", "raw") if name in given}
    return replies.tool_call(given.get("name", ""), given.get("arguments"), **options)


def _parts(document: _Document, value: Any, place: Place) -> Reply:
    return as_reply(_replies(document, value, place))


def _replies(document: _Document, value: Any, place: Place) -> list[Reply]:
    return [_reply(document, item, (*place, index)) for index, item in enumerate(document.items(value, place))]


def _audio(document: _Document, value: Any, place: Place) -> Reply:
    given = document.mapping(value, place, ("transcript", "data"))
    written = document.string(given.get("data", ""), (*place, "data"))
    return replies.audio(given.get("transcript", ""), base64.b64decode(written, validate=True))


def _error(document: _Document, value: Any, place: Place) -> Reply:
    if isinstance(value, str):
        return replies.error(value)
    given = dict(document.mapping(value, place, ("name", "retry_after", "message")))
    return replies.error(given.pop("name", ""), **given)


def _status(document: _Document, value: Any, place: Place) -> Reply:
    if not isinstance(value, Mapping):
        return replies.status(value)
    given = dict(document.mapping(value, place, ("code", "body", "content_type")))
    return replies.status(given.pop("code", 0), given.pop("body", None), **given)


def _native(document: _Document, value: Any, place: Place) -> Reply:
    given = dict(document.mapping(value, place, ("body", "status", "content_type", "events", "gap")))
    if "events" in given:
        document.items(given["events"], (*place, "events"))
    return replies.native(given.pop("body", None), **given)


def _recorded(document: _Document, value: Any, place: Place) -> Reply:
    given = document.mapping(value, place, ("cassette", "number"))
    cassette = document.path.parent / str(given.get("cassette", ""))
    return replies.recorded(cassette, given.get("number", 1))


_KINDS: Final[Mapping[str, Callable[[_Document, Any, Place], Reply]]] = {
    "text": lambda _document, value, _place: replies.text(value),
    "refusal": lambda _document, value, _place: replies.refusal(value),
    "reasoning": lambda _document, value, _place: replies.reasoning(value),
    "parsed": lambda _document, value, _place: replies.parsed(value),
    "completion": lambda _document, value, _place: replies.completion(value),
    "chunks": lambda document, value, place: replies.chunks(*document.items(value, place)),
    "choices": lambda document, value, place: replies.choices(*_replies(document, value, place)),
    "audio": _audio,
    "fault": lambda _document, value, _place: replies.fault(value),
    "tool_call": _tool_call,
    "parts": _parts,
    "error": _error,
    "status": _status,
    "native": _native,
    "recorded": _recorded,
}


def _with_patterns(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions in which `{regex: ...}` is a compiled pattern."""
    return {name: _pattern(value) for name, value in conditions.items()}


def _pattern(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"regex"}:
            return re.compile(value["regex"])
        return {key: _pattern(item) for key, item in value.items()}
    return value
