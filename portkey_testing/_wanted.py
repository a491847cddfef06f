"""What a test wants an attempt to be like: conditions, one by one, and why one is not met."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from operator import attrgetter, eq
from typing import Any, Final, NamedTuple, TypeAlias, TypeGuard

from portkey_testing import _conversation as conversation
from portkey_testing._attempt import AttemptView
from portkey_testing._known_providers import known_providers
from portkey_testing.failures import BrokenScript
from portkey_testing.faults import unknown

ABSENT: Final = "<absent>"
"""How a field that is not there is shown."""

MADE_UP: Final = "key-of-"
"""What a provider's key begins with that the fake made up."""

_REAL_KEY: Final = 16

TARGET_PATH: Final = re.compile(r"config(\.targets\[\d+\])*")

Expected: TypeAlias = str | re.Pattern[str]
"""A part of a text, or a pattern that is found in it."""


def check_provider(name: str) -> None:
    """Refuse the name of a provider that no attempt can have, because the gateway answers 400 before it makes one.

    Raises:
        ValueError: the gateway knows no such provider.
    """
    if name not in known_providers():
        raise unknown("provider", name, known_providers())


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A condition of a script that an attempt did not meet.

    Attributes:
        condition: Its name.
        expected: What the test declared.
        actual: What the attempt has.
    """

    condition: str
    expected: object
    actual: object

    def __str__(self) -> str:
        shown = _masked if self.condition == "api_key" else _shown
        return f"{self.condition} is {shown(self.actual)}, the script wants {shown(self.expected)}"


class Check(NamedTuple):
    """One condition, ready to be held against an attempt.

    Attributes:
        name: Its name.
        expected: What the test declared.
        actual: What an attempt has.
        holds: Whether that meets the condition.
    """

    name: str
    expected: object
    actual: Callable[[AttemptView], Any]
    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What an attempt must be like. None asks for nothing.

    Attributes:
        provider: Name of the provider.
        target: Path of the target.
        api_key: Key of the target.
        custom_host: Host of the target.
        model: Name of the model, `*` and `?` as in file names.
        message: Part of the last user text, or a compiled pattern that is found in it.
        system: The same of the system and developer messages.
        tools: Names of tools the request must offer; an empty tuple is for requests that offer none.
        tool_result: Results of tools called in the last assistant message, by name: part of the result, a pattern found
            in it, or the JSON value it holds.
        turn: Which answer of the conversation it is, from 1.
        stream: Whether a stream is asked for.
        metadata: Metadata the request must carry.
        messages: The whole conversation: as many messages, each with at least these fields.
        json: Values at paths such as `response_format.type` or `messages[0].content`; a compiled pattern is searched in
            the text there.
        predicate: A function of the attempt that says yes.

    Raises:
        ValueError: the gateway knows no such provider, or the target is no path.
    """

    provider: str | None = None
    target: str | None = None
    api_key: str | None = None
    custom_host: str | None = None
    model: str | None = None
    message: Expected | None = None
    system: Expected | None = None
    tools: tuple[str, ...] | None = None
    tool_result: tuple[tuple[str, Expected | Frozen], ...] | None = None
    turn: int | None = None
    stream: bool | None = None
    metadata: tuple[tuple[str, Frozen], ...] | None = None
    messages: tuple[Frozen, ...] | None = None
    json: tuple[tuple[str, re.Pattern[str] | Frozen], ...] | None = None
    predicate: Callable[[AttemptView], object] | None = None

    def __post_init__(self) -> None:
        if self.provider is not None:
            check_provider(self.provider)
        if self.target is not None and not TARGET_PATH.fullmatch(self.target):
            raise ValueError(f"target=... takes a path such as 'config.targets[1]', or 'config', not {self.target!r}")

    def checks(self) -> Iterator[Check]:
        """The conditions one by one, the cheap ones first."""
        for name in _EQUAL:
            expected = getattr(self, name)
            if expected is not None:
                yield Check(name, expected, _attribute(name), _equals(expected))
        if self.model is not None:
            yield Check("model", self.model, _attribute("model"), _globs(self.model))
        for name in ("message", "system"):
            part = getattr(self, name)
            if part is not None:
                yield Check(name, part, _attribute(name), _finds(part))
        if self.tools is not None:
            yield Check("tools", list(self.tools), _attribute("tools"), _offers(self.tools))
        for tool, result in self.tool_result or ():
            yield Check(f"tool_result[{tool!r}]", _thawed(result), _results_of(tool), _any_result(result))
        for key, value in self.metadata or ():
            yield Check(f"metadata[{key!r}]", value.value, _metadata_of(key), _equals(value.value))
        for path, wanted in self.json or ():
            holds = _finds(wanted) if isinstance(wanted, re.Pattern) else _equals(wanted.value)
            yield Check(path, _thawed(wanted), _value_at(path), holds)
        if self.messages is not None:
            expected = [message.value for message in self.messages]
            yield Check("messages", expected, _attribute("messages"), _conversed(expected))
        if self.predicate is not None:
            yield Check("predicate", name_of(self.predicate), partial(asked, self.predicate), bool)

    def mismatches(self, attempt: AttemptView) -> list[Mismatch]:
        """The conditions that `attempt` does not meet."""
        return [
            Mismatch(check.name, check.expected, actual)
            for check in self.checks()
            if not check.holds(actual := check.actual(attempt))
        ]

    def __str__(self) -> str:
        given = [
            f"{f.name}={_masked(value) if f.name == 'api_key' else _written(value)}"
            for f in fields(self)
            if (value := getattr(self, f.name)) is not None
        ]
        return ", ".join(given) or "any attempt"


@dataclass(frozen=True, slots=True)
class Frozen:
    """A JSON value that can be compared and hashed.

    Attributes:
        text: It, with sorted keys.
    """

    text: str

    @classmethod
    def of(cls, value: object, where: str) -> Frozen:
        """Freeze a value.

        Raises:
            TypeError: JSON cannot carry it.
        """
        try:
            return cls(json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False))
        except (TypeError, ValueError) as cause:
            raise TypeError(f"when({where}): this cannot become JSON ({cause}): {value!r:.200}") from cause

    @property
    def value(self) -> Any:
        return json.loads(self.text)


_EQUAL: Final = ("provider", "target", "api_key", "custom_host", "turn", "stream")


def conditions(
    *,
    tools: Iterable[str] | None = None,
    tool_result: Mapping[str, object] | None = None,
    metadata: Mapping[str, object] | None = None,
    messages: Sequence[Mapping[str, Any]] | None = None,
    json: Mapping[str, object] | None = None,
    **plain: Any,
) -> Conditions:
    """Conditions as a test writes them, in the form that can be compared and hashed.

    Raises:
        TypeError: a value cannot be what the condition asks for.
    """
    given = {
        "tools": tools,
        "tool_result": tool_result,
        "metadata": metadata,
        "messages": messages,
        "json": json,
        **plain,
    }
    for name, (fits, words) in _GIVEN.items():
        value = given.get(name)
        if value is not None and not fits(value):
            raise TypeError(f"{words}, not {value!r}")
    for path in json or ():
        _steps(path)
    return Conditions(
        tools=None if tools is None else tuple(tools),
        tool_result=None
        if tool_result is None
        else tuple((name, _expected_result(value)) for name, value in tool_result.items()),
        metadata=None
        if metadata is None
        else tuple((key, Frozen.of(value, "metadata=...")) for key, value in metadata.items()),
        messages=None if messages is None else tuple(Frozen.of(message, "messages=...") for message in messages),
        json=None if json is None else tuple((path, _pattern_or_value(value)) for path, value in json.items()),
        **plain,
    )


def _is_expected(value: object) -> TypeGuard[Expected]:
    return isinstance(value, str) or (isinstance(value, re.Pattern) and isinstance(value.pattern, str))


def _is_conversation(value: object) -> bool:
    return isinstance(value, Sequence) and all(isinstance(item, Mapping) for item in value)


def _is_turn(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_a(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


_GIVEN: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "tools": (lambda value: not isinstance(value, str), "when(tools=...) takes the names of tools in a list"),
    **{
        name: (_is_expected, f"when({name}=...) takes a part of the text or a compiled pattern")
        for name in ("message", "system")
    },
    **{
        name: (_is_a(str), f"{name}=... takes a string")
        for name in ("model", "provider", "target", "api_key", "custom_host")
    },
    **{
        name: (_is_a(Mapping), f"when({name}=...) takes a dict of names to values")
        for name in ("tool_result", "metadata", "json")
    },
    "messages": (_is_conversation, "when(messages=...) takes the whole conversation, a list of dicts"),
    "turn": (_is_turn, "when(turn=...) takes a number from 1 on"),
    "stream": (_is_a(bool), "when(stream=...) takes True or False"),
    "predicate": (callable, "when(predicate=...) takes a function of the attempt"),
}
"""What each condition may be given as, and what is said of anything else."""


def _expected_result(value: object) -> Expected | Frozen:
    return value if _is_expected(value) else Frozen.of(value, "tool_result=...")


def _pattern_or_value(value: object) -> re.Pattern[str] | Frozen:
    return value if isinstance(value, re.Pattern) else Frozen.of(value, "json=...")


def _attribute(name: str) -> Callable[[AttemptView], Any]:
    return attrgetter(name)


def _equals(expected: object) -> Callable[[Any], bool]:
    if isinstance(expected, str):
        return partial(eq, expected)
    return lambda actual: bool(actual == expected) and isinstance(actual, bool) == isinstance(expected, bool)


def _globs(pattern: str) -> Callable[[Any], bool]:
    if not any(sign in pattern for sign in "*?["):
        return _equals(pattern)
    compiled = re.compile(fnmatch.translate(pattern))
    return lambda actual: compiled.match(actual or "") is not None


def _finds(part: Expected) -> Callable[[Any], bool]:
    if isinstance(part, str):
        return lambda actual: part in actual
    return lambda actual: isinstance(actual, str) and bool(part.search(actual))


def _offers(names: tuple[str, ...]) -> Callable[[Any], bool]:
    return lambda actual: set(names) <= set(actual) if names else not actual


def _results_of(tool: str) -> Callable[[AttemptView], list[str]]:
    return lambda attempt: [exchange.result or "" for exchange in attempt.tool_exchanges if exchange.name == tool]


def _any_result(expected: Expected | Frozen) -> Callable[[Any], bool]:
    if isinstance(expected, Frozen):
        return lambda actual: any(_holds_json(result, expected.value) for result in actual)
    found = _finds(expected)
    return lambda actual: any(found(result) for result in actual)


def _holds_json(text: str, expected: object) -> bool:
    try:
        return bool(json.loads(text) == expected)
    except ValueError:
        return False


def _metadata_of(key: str) -> Callable[[AttemptView], Any]:
    return lambda attempt: attempt.metadata.get(key, ABSENT)


def _value_at(path: str) -> Callable[[AttemptView], Any]:
    steps = _steps(path)

    def value(attempt: AttemptView) -> Any:
        found: Any = attempt.params
        for step in steps:
            if isinstance(step, int):
                found = found[step] if isinstance(found, list) and -len(found) <= step < len(found) else ABSENT
            else:
                found = found.get(step, ABSENT) if isinstance(found, Mapping) else ABSENT
        return found

    return value


_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?\d+)\]")


def _steps(path: str) -> list[str | int]:
    """The steps of a path.

    Raises:
        ValueError: it is none.
    """
    rest = path.removeprefix("$").removeprefix(".")
    steps: list[str | int] = []
    position = 0
    while position < len(rest):
        match = _STEP.match(rest, position)
        if match is None:
            break
        steps.append(match.group(1) if match.group(2) is None else int(match.group(2)))
        position = match.end()
    if not steps or position < len(rest):
        raise ValueError(f"when(json=...): {path!r} is no path such as 'messages[0].content' or 'response_format.type'")
    return steps


def _conversed(expected: list[Any]) -> Callable[[Any], bool]:
    return lambda actual: (
        len(actual) == len(expected)
        and all(conversation.has_fields(message, wanted) for message, wanted in zip(actual, expected, strict=True))
    )


def _thawed(value: object) -> object:
    return value.value if isinstance(value, Frozen) else value


def asked(function: Callable[[AttemptView], object], attempt: AttemptView) -> object:
    """What a function of the test says of an attempt.

    Raises:
        BrokenScript: it raised. An application may swallow what it raised, or take it for a broken connection.
    """
    try:
        return function(attempt)
    except Exception as error:
        raise BrokenScript(f"{name_of(function)} raised {type(error).__name__}: {error}") from error


def name_of(function: Callable[..., object]) -> str:
    """A function and where it stands, for messages."""
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", repr(function))
    return name if code is None else f"{name} at {code.co_filename}:{code.co_firstlineno}"


def _shown(value: object, width: int = 200) -> str:
    if isinstance(value, re.Pattern):
        return f"a match of {value.pattern!r}"
    text = repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def _masked(key: object) -> str:
    """A key as messages show it, which end up in the logs of CI: its ends, where it is as long as real keys are."""
    if not isinstance(key, str) or len(key) < _REAL_KEY or key.startswith(MADE_UP):
        return _shown(key)
    return repr(f"{key[:4]}…{key[-4:]}")


def _written(value: object) -> str:
    if isinstance(value, tuple):
        if all(isinstance(item, tuple) for item in value) and value:
            return "{" + ", ".join(f"{key!r}: {_written(item)}" for key, item in value) + "}"
        return "[" + ", ".join(_written(item) for item in value) + "]"
    if isinstance(value, Frozen):
        return _shown(value.value, 60)
    if isinstance(value, re.Pattern):
        return f"re.compile({value.pattern!r})"
    return name_of(value) if callable(value) else _shown(value, 80)
