"""Hypothesis strategies: what a provider may do, drawn at random and shrunk to the smallest that breaks an application.

    @given(script=strategies.scripts())
    def test_survives(script): ...
        fake.provider("openai").reply(*script)

Smaller is simpler: a short text before a long one, a text before a tool call, an answer before a failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as cause:
    raise ModuleNotFoundError(
        f'portkey_testing.strategies needs {cause.name}: pip install "portkey-testing[hypothesis]"', name=cause.name
    ) from cause

from portkey_testing.chaos import Leg, failures
from portkey_testing.replies import Answer, Pace, Reply, refusal, text, tool_call

_MOST_PARTS: Final = 3
_ARGUMENTS: Final = st.dictionaries(
    st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8),
    st.one_of(st.integers(-(2**53), 2**53), st.booleans(), st.text(max_size=20), st.none()),
    max_size=3,
)


def texts(*, max_size: int = 200) -> st.SearchStrategy[str]:
    """What a model may say, in any language; lone surrogates are left out, since no provider can send them."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)


def paces() -> st.SearchStrategy[Pace]:
    """How an answer may be cut into chunks and reads, and spread over time."""
    return st.builds(
        Pace,
        by=st.one_of(st.sampled_from(["whole", "word", "char", "token", "random"]), st.integers(1, 20)),
        ttft=st.sampled_from([0.0, 0.5, 5.0]),
        tps=st.one_of(st.none(), st.sampled_from([1.0, 50.0])),
        reads=st.one_of(st.none(), st.integers(1, 100)),
        comments=st.booleans(),
    )


def answers(tools: Mapping[str, Any] | Sequence[str] = ()) -> st.SearchStrategy[Answer]:
    """What a model may answer: texts, refusals, and calls of `tools`.

    Args:
        tools: Names of the tools it may call; a mapping gives a strategy for the arguments of each.
    """
    said: list[st.SearchStrategy[Answer]] = [texts().map(text)]
    for name in tools:
        arguments = tools[name] if isinstance(tools, Mapping) else _ARGUMENTS
        said.append(st.builds(tool_call, st.just(name), arguments))
    joined = st.lists(st.one_of(said), min_size=2, max_size=_MOST_PARTS).map(_joined)
    return st.one_of(*said, texts().map(refusal), joined)


def streamed_answers(tools: Mapping[str, Any] | Sequence[str] = ()) -> st.SearchStrategy[Answer]:
    """Answers with a pace."""
    return st.builds(_paced, answers(tools), paces())


def failing(leg: Leg = "provider", *, stream: bool = False) -> st.SearchStrategy[Reply]:
    """The failures of the catalogue."""
    return st.sampled_from(list(failures(leg, stream=stream).values()))


def replies(
    tools: Mapping[str, Any] | Sequence[str] = (), *, leg: Leg = "provider", stream: bool = False
) -> st.SearchStrategy[Reply]:
    """Answers, slow answers, answers that break off, and failures."""
    whole = streamed_answers(tools) if stream else answers(tools)
    slow = st.builds(Answer.delayed, whole, st.sampled_from([0.5, 5.0]))
    broken = st.builds(_broken, whole, st.integers(0, 5))
    return st.one_of(whole, slow, broken, failing(leg, stream=stream))


def scripts(
    tools: Mapping[str, Any] | Sequence[str] = (), *, max_size: int = 5, leg: Leg = "provider", stream: bool = False
) -> st.SearchStrategy[list[Reply]]:
    """Whole queues: what a provider does to one attempt after the other."""
    return st.lists(replies(tools, leg=leg, stream=stream), min_size=1, max_size=max_size)


def _joined(parts: list[Answer]) -> Answer:
    first, *more = parts
    for part in more:
        first += part
    return first


def _broken(answer: Answer, chunks: int) -> Answer:
    return answer.cut(chunks=chunks)


def _paced(answer: Answer, pace: Pace) -> Answer:
    return answer.streamed(
        by=pace.by, ttft=pace.ttft, tps=pace.tps, jitter=pace.jitter, reads=pace.reads, comments=pace.comments
    )
