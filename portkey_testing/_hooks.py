"""Guardrails and mutators around an attempt: how a config asks for them, in which order they run, what follows.

Behaviour copied from Portkey's open-source gateway 1.15.2 (its `middlewares/hooks` and `convertHooksShorthand`). What a
single check looks at is `_guardrails`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Final, Literal, TypeAlias

from portkey_testing import _guardrails, _javascript
from portkey_testing._guardrails import Finding, Stage, Subject, UnreadableError

Kind: TypeAlias = Literal["guardrail", "mutator"]

DENIED: Final = 446
"""The gateway's status where a guardrail that denies failed."""

SOFT: Final = 246
"""Its status in place of a 200 where a guardrail failed that does not deny."""

FAILED: Final[Mapping[str, Any]] = {
    "message": "The guardrail checks defined in the config failed. You can find more information in the "
    "`hook_results` object.",
    "type": "hooks_failed",
    "param": None,
    "code": None,
}
"""The error of a denied request."""

_SETTINGS: Final = (
    "deny",
    "on_fail",
    "on_success",
    "async",
    "id",
    "type",
    "guardrail_version_id",
    "sequential",
)
"""What in a guardrail's shorthand is no check."""

_CHECKED_ENDPOINTS: Final = ("chatComplete", "complete", "embed", "messages")

ExternalVerdict: TypeAlias = Callable[[str], Finding | None]
"""What a check finds that does not run here; None where the gateway knows no such check either."""


class BrokenHookError(ValueError):
    """A guardrail that the gateway cannot read; the text is its runtime's."""


@dataclass(frozen=True, slots=True)
class CheckCall:
    """A check with its parameters.

    Attributes:
        id: Its name with its family, such as `default.contains`.
        params: What it is given.
        enabled: False leaves it out, in a guardrail.
    """

    id: str
    params: Any
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A guardrail or a mutator.

    Attributes:
        id: Its name; None has one made up.
        kind: What it is; anything but a guardrail or a mutator, or nothing, runs no check.
        checks: What it runs.
        deny: A failure ends the request.
        deferred: It runs beside the request, and its outcome is seen nowhere in the answer.
        sequential: Each check sees what those before it replaced.
        on_fail: What feedback it gives where it fails.
        on_success: What feedback it gives where it passes.
        labels: What its result says of `id` and `type` in the place of the two above.
    """

    id: str | None
    kind: str | None = "guardrail"
    checks: tuple[CheckCall, ...] = ()
    deny: bool = False
    deferred: bool = False
    sequential: bool = False
    on_fail: Mapping[str, Any] = field(default_factory=dict)
    on_success: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)


def of_shorthand(written: Sequence[Any], kind: Kind) -> tuple[Hook, ...]:
    """Hooks from `input_guardrails`, `output_mutators` and their like: objects of check names to parameters.

    A text in the place of an object is taken apart letter by letter, as the gateway does.

    Raises:
        BrokenHookError: a check with null for its parameters.
    """
    return tuple(_of_shorthand(each, kind) for each in written)


def of_raw(written: Sequence[Mapping[str, Any]]) -> tuple[Hook, ...]:
    """Hooks from `before_request_hooks` and `after_request_hooks`, which spell everything out."""
    return tuple(
        Hook(
            id=each.get("id"),
            kind=each.get("type"),
            checks=tuple(
                CheckCall(str(check.get("id")), check.get("parameters"), check.get("is_enabled") is not False)
                for check in each.get("checks") or ()
            ),
            deny=bool(each.get("deny")),
            deferred=bool(each.get("async")),
            sequential=bool(each.get("sequential")),
            on_fail=_setting(each, "on_fail", "onFail"),
            on_success=_setting(each, "on_success", "onSuccess"),
            labels={name: each.get(name, _javascript.MISSING) for name in ("id", "type")},
        )
        for each in written
    )


def _of_shorthand(written: Any, kind: Kind) -> Hook:
    if not isinstance(written, Mapping):
        letters = written if isinstance(written, str) else ""
        checks = tuple(CheckCall(f"default.{position}", letter) for position, letter in enumerate(letters))
        return Hook(id=None, kind=kind, checks=checks)
    return Hook(
        id=written.get("id"),
        kind=written.get("type", kind),
        checks=tuple(_check(name, params) for name, params in written.items() if name not in _SETTINGS),
        deny=bool(written.get("deny")),
        deferred=bool(written.get("async")),
        sequential=bool(written.get("sequential")),
        on_fail=_setting(written, "on_fail"),
        on_success=_setting(written, "on_success"),
    )


def _check(name: str, params: Any) -> CheckCall:
    if params is None:
        raise BrokenHookError("Cannot read properties of null (reading 'id')")
    given = params if isinstance(params, Mapping) else {}
    check_id = str(given.get("id") or name)
    return CheckCall(
        check_id if "." in check_id else f"default.{check_id}", params, given.get("is_enabled") is not False
    )


def _setting(written: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next((written[name] for name in names if isinstance(written.get(name), Mapping)), {})
    return {name: _javascript.camel(value) for name, value in found.items()}


@dataclass(frozen=True, slots=True)
class Clockwork:
    """What hooks take from outside themselves.

    Attributes:
        seconds: Seconds since 1970, for `created_at`.
        random: What made-up ids are drawn from.
        external: The verdicts of checks that ask a service.
    """

    seconds: float
    random: Random
    external: ExternalVerdict


class Span:
    """The hooks of one target, from before its first attempt to after its last.

    Args:
        before: Hooks that see the request.
        after: Hooks that see the answer.
        subject: The request.
        clockwork: Time, randomness and verdicts from outside.
    """

    def __init__(self, before: Sequence[Hook], after: Sequence[Hook], subject: Subject, clockwork: Clockwork) -> None:
        self._before = [hook for hook in before if not hook.deferred]
        self._after = [hook for hook in after if not hook.deferred]
        self._subject = subject
        self._clockwork = clockwork
        self.before_results: list[dict[str, Any]] = []
        self.after_results: list[dict[str, Any]] = []
        self.answer_replaced = False

    def __bool__(self) -> bool:
        return bool(self._before or self._after)

    @property
    def request(self) -> Mapping[str, Any]:
        """The request as the hooks left it."""
        return self._subject.request

    @property
    def response(self) -> Any:
        """The answer as the hooks left it."""
        return self._subject.response

    @property
    def failed(self) -> bool:
        """Whether any hook failed so far."""
        return not all(result["verdict"] for result in (*self.before_results, *self.after_results))

    @property
    def results(self) -> dict[str, Any]:
        """What the application is told."""
        return {"before_request_hooks": self.before_results, "after_request_hooks": self.after_results}

    def check_request(self) -> bool:
        """Run the hooks before the request; False denies it."""
        self.before_results, allowed = self._run(self._before, "input")
        return allowed

    def check_answer(self, answer: Any, status: int) -> bool:
        """Run the hooks after an answer; False denies it. Only a 200 is looked at."""
        self.answer_replaced = False
        self._subject = replace(self._subject, response=answer)
        self.after_results = []
        if status != 200 or self._subject.endpoint == "embed":
            return True
        self.after_results, allowed = self._run(self._after, "output")
        return allowed

    def _run(self, hooks: Sequence[Hook], stage: Stage) -> tuple[list[dict[str, Any]], bool]:
        """Run hooks side by side, as the gateway does: each sees what others replaced before its turn."""
        if not hooks:
            return [], True
        endpoint = self._subject.endpoint
        running = [
            hook
            for hook in hooks
            if endpoint in _CHECKED_ENDPOINTS and not (endpoint == "embed" and hook.kind == "mutator")
        ]
        self._subject = replace(self._subject, stage=stage)
        reports: list[list[dict[str, Any]]] = [[] for _ in running]
        # A heap: when the hook goes on, whose turn it is among those of one time, and the hook.
        waiting = [(0, place, self._turns(*each)) for place, each in enumerate(zip(running, reports, strict=True))]
        places = count(len(waiting))
        while waiting:
            now, _, hook = heappop(waiting)
            pause = next(hook, None)
            if pause is not None:
                heappush(waiting, (now + pause, next(places), hook))
        results = [self._result(hook, report, stage) for hook, report in zip(running, reports, strict=True)]
        if any(result["deny"] for result in results):
            # A denied request is told of in the order of the config, all else in the order in which it came about.
            return results if stage == "input" else _by_duration(running, results), False
        return _by_duration(running, results), True

    def _turns(self, hook: Hook, report: list[dict[str, Any]]) -> Iterator[int]:
        """The checks of one hook, and for how many turns of the event loop it waits before they take hold."""
        if hook.kind == "mutator":
            batches = [[check] for check in hook.checks]
        else:
            enabled = [check for check in hook.checks if check.enabled]
            batches = [[check] for check in enabled] if hook.sequential else [enabled]
            if hook.kind != "guardrail":
                batches = []
        for batch in batches:
            findings = [(check, self._find(check)) for check in batch]
            yield _pause(hook, [_guardrails.known(check.id) or finding is not None for check, finding in findings])
            for check, finding in findings:
                self._replace(finding)
                report.append(self._check_result(check, finding))

    def _find(self, check: CheckCall) -> Finding | None:
        """What a check finds; None where the gateway cannot run it."""
        if not _guardrails.known(check.id):
            return self._clockwork.external(check.id)
        try:
            return _guardrails.run(check.id, self._subject, check.params if isinstance(check.params, Mapping) else {})
        except UnreadableError:
            return None

    def _replace(self, finding: Finding | None) -> None:
        if finding is not None and finding.request is not None:
            self._subject = replace(self._subject, request=finding.request)
        if finding is not None and finding.response is not None:
            self._subject = replace(self._subject, response=finding.response)
            self.answer_replaced = True

    def _check_result(self, check: CheckCall, finding: Finding | None) -> dict[str, Any]:
        if finding is None:
            return {
                "error": {"name": "Check error", "message": "Error executing check"},
                "verdict": False,
                "data": None,
                "id": check.id,
                "execution_time": 0,
                "created_at": self._created_at(),
            }
        params = check.params if isinstance(check.params, Mapping) else {}
        return {
            "data": finding.data,
            "verdict": finding.verdict,
            "id": check.id,
            **({} if finding.error is None else {"error": dict(finding.error)}),
            "execution_time": 0,
            "transformed": finding.transformed,
            "created_at": self._created_at(),
            "log": None,
            "fail_on_error": params.get("failOnError") or False,
        }

    def _result(self, hook: Hook, checks: list[dict[str, Any]], stage: Stage) -> dict[str, Any]:
        verdict = all(check["verdict"] or ("error" in check and not check.get("fail_on_error")) for check in checks)
        labels = {"id": self._new_id(stage) if hook.id is None else hook.id, "type": hook.kind, **hook.labels}
        result = {
            "verdict": verdict,
            "id": labels["id"],
            "transformed": any(check.get("transformed") for check in checks),
            "checks": checks,
            "feedback": _feedback(hook, checks),
            "execution_time": 0,
            "async": False,
            "type": labels["type"],
            "created_at": self._created_at(),
            "deny": hook.deny and not verdict,
        }
        return {name: value for name, value in result.items() if value is not _javascript.MISSING}

    def _new_id(self, stage: Stage) -> str:
        return (
            f"{stage}_guardrail_{''.join(self._clockwork.random.choices('0123456789abcdefghijklmnopqrstuvwxyz', k=3))}"
        )

    def _created_at(self) -> str:
        moment = datetime.fromtimestamp(self._clockwork.seconds, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _by_duration(hooks: Sequence[Hook], results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    durations = [_duration(hook, result["checks"]) for hook, result in zip(hooks, results, strict=True)]
    return [result for _, result in sorted(zip(durations, results, strict=True), key=lambda pair: pair[0])]


def _duration(hook: Hook, checks: Sequence[Mapping[str, Any]]) -> int:
    """How soon a hook is through, in turns of the event loop: the results stand in that order."""
    if hook.kind not in ("guardrail", "mutator"):
        return 0
    return _pause(hook, [_guardrails.known(check["id"]) or "fail_on_error" in check for check in checks])


def _pause(hook: Hook, ran: Sequence[bool]) -> int:
    """How many turns of the event loop checks take, by whether they ran.

    A check that runs takes a turn, and so does waiting for it, which for checks side by side is waiting for all.
    """
    if hook.kind == "mutator" or hook.sequential:
        return sum(ran) + len(ran)
    return max(ran) + 2 if ran else 1


def _feedback(hook: Hook, checks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The feedback a guardrail gives with its result, where its config asks for any."""
    passed = all(check["verdict"] or "error" in check for check in checks)
    wanted = (hook.on_success if passed else hook.on_fail).get("feedback")
    if not isinstance(wanted, Mapping):
        return None
    metadata = wanted.get("metadata")
    sorted_ids = {
        "successfulChecks": [check["id"] for check in checks if check["verdict"]],
        "failedChecks": [check["id"] for check in checks if not check["verdict"] and "error" not in check],
        "erroredChecks": [check["id"] for check in checks if not check["verdict"] and "error" in check],
    }
    return {
        **{name: wanted[name] for name in ("value", "weight") if name in wanted},
        "metadata": {
            **(metadata if isinstance(metadata, Mapping) else {}),
            **{name: ", ".join(ids) for name, ids in sorted_ids.items()},
        },
    }
