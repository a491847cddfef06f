"""A scripted answer in OpenAI's words: a completion, or the chunks of one.

Shapes as in OpenAI's published API description; `reasoning_content` is how the providers that speak like OpenAI show
reasoning (DeepSeek was the first), while OpenAI itself only counts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from portkey_testing import _synth
from portkey_testing._dialects.base import Stamps
from portkey_testing._encode import DONE, Envelope
from portkey_testing._synth import TokenLogprob
from portkey_testing.replies import Answer, Audio, Part, Reasoning, Refusal, Text, ToolCall
from portkey_testing.timeline import Cut, Frame

FINGERPRINT: Final = "fp_fake"


def completion(answer: Answer, params: Mapping[str, Any], stamps: Stamps, model: str) -> dict[str, Any]:
    """The answer in one piece."""
    said = _choices(answer, params)
    scored = params.get("logprobs") is True
    return {
        "id": stamps.new_id("chatcmpl"),
        "object": "chat.completion",
        "created": stamps.created,
        "model": model,
        "choices": [
            {
                "index": index,
                "message": _message(choice, stamps),
                "logprobs": _logprobs(_synth.token_logprobs(choice), params) if scored else None,
                "finish_reason": _synth.finish_reason(choice),
            }
            for index, choice in enumerate(said)
        ],
        "usage": usage(answer, params),
        "system_fingerprint": FINGERPRINT,
    }


def stream(answer: Answer, params: Mapping[str, Any], stamps: Stamps, model: str) -> Iterator[Frame | Cut]:
    """The answer as events, one in each frame."""
    options = params.get("stream_options")
    wants_usage = isinstance(options, Mapping) and options.get("include_usage") is True
    envelope = Envelope(
        stamps.new_id("chatcmpl"), stamps.created, model, {"system_fingerprint": FINGERPRINT}, usage=wants_usage
    )
    said = _choices(answer, params)
    scored = params.get("logprobs") is True
    steady = _synth.steady_text(answer, stamps.random) if len(said) == 1 and not scored else None
    if steady is not None:
        flow = _steady(answer, steady, envelope)
    else:
        flow = _in_turn(replace(answer, others=tuple(said[1:])), envelope, params, stamps)
    if answer.delivery.broken is not None:
        return flow
    told = [envelope.usage(usage(answer, params))] if wants_usage else []
    return chain(flow, [Frame(0.0, event) for event in (*told, DONE)])


def usage(answer: Answer, params: Mapping[str, Any]) -> dict[str, Any]:
    """Token counts and their details."""
    prompt, said = _synth.usage(answer, params)
    details = _synth.usage_details(answer)
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said, **details}


def _steady(answer: Answer, pieces: Iterator[str], envelope: Envelope) -> Iterator[Frame | Cut]:
    """The common case, kept free of what it does not need: it makes most of the chunks of any test."""
    opening = Frame(answer.delivery.pace.ttft, envelope.delta(_opening(Text(""))))
    ending = Frame(0.0, envelope.delta({}, _synth.finish_reason(answer)))
    # No generator around the one that makes the chunks, for each of them would pass through it.
    return chain([opening], envelope.texts(0.0, pieces), [ending])


def _in_turn(answer: Answer, envelope: Envelope, params: Mapping[str, Any], stamps: Stamps) -> Iterator[Frame | Cut]:
    """Parts of any kind, with pauses, a piece of each choice in turn, up to the break if there is one."""
    said = (answer, *answer.others)
    scored = params.get("logprobs") is True
    plain = len(said) == 1 and not scored
    positions = [-1] * len(said)
    calls = [-1] * len(said)
    given = [iter(choice.logprobs or ()) for choice in said]
    for item in _synth.choice_pieces(answer, stamps.random, scored=scored):
        if isinstance(item, Cut):
            yield item
            return
        choice, (gap, at, part, text) = item
        if positions[choice] < 0:
            yield Frame(gap, envelope.delta(_opening(part), index=choice))
            gap = 0.0
        if isinstance(part, ToolCall) and at != positions[choice]:
            calls[choice] += 1
            started = {"tool_calls": [{"index": calls[choice], **_started(part, stamps)}]}
            yield Frame(gap, envelope.delta(started, index=choice))
            gap = 0.0
        if plain and isinstance(part, Text):
            yield Frame(gap, envelope.text(text))
        else:
            logprobs = None
            if scored and isinstance(part, Text):
                token = next(given[choice], (text, _synth.made_up_logprob(text)))
                logprobs = _logprobs([TokenLogprob(*token)], params)
            delta = _delta(part, text, calls[choice], first=at != positions[choice])
            yield Frame(gap, envelope.delta(delta, index=choice, logprobs=logprobs))
        positions[choice] = at
    # An answer without a piece takes as long as the first one would.
    wait = answer.delivery.pace.ttft if max(positions) < 0 else 0.0
    for index, finished in enumerate(said):
        if positions[index] < 0:
            yield Frame(wait, envelope.delta(_opening(Text("")), index=index))
            wait = 0.0
        yield Frame(0.0, envelope.delta({}, _synth.finish_reason(finished), index=index))


def _choices(answer: Answer, params: Mapping[str, Any]) -> list[Answer]:
    """The answer of each choice that was asked for; one script says the same in all of them."""
    said = [answer, *answer.others]
    asked = params.get("n")
    if len(said) == 1 and isinstance(asked, int) and asked > 1:
        return said * asked
    return said


def _message(answer: Answer, stamps: Stamps) -> dict[str, Any]:
    if len(answer.parts) == 1 and isinstance(only := answer.parts[0], Text):
        return {"role": "assistant", "content": only.text, "refusal": None}
    refusal = _joined(answer, Refusal)
    text = _joined(answer, Text)
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": refusal or None}
    speech = [part for part in answer.parts if isinstance(part, Audio)]
    if not refusal and not answer.tool_calls and not speech:
        message["content"] = text
    if thought := _joined(answer, Reasoning):
        message["reasoning_content"] = thought
    if answer.tool_calls:
        message["tool_calls"] = [
            {**_started(call, stamps), "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.tool_calls
        ]
    if speech:
        message["audio"] = {
            "id": stamps.new_id("audio"),
            "data": "".join(part.data for part in speech),
            "expires_at": stamps.created + 3600,
            "transcript": "".join(part.text for part in speech),
        }
    return message


def _opening(part: Part) -> dict[str, Any]:
    if isinstance(part, ToolCall | Audio):
        return {"role": "assistant", "content": None}
    if isinstance(part, Refusal):
        return {"role": "assistant", "content": None, "refusal": ""}
    return {"role": "assistant", "content": "", "refusal": None}


def _delta(part: Part, text: str, call: int, *, first: bool) -> dict[str, Any]:
    match part:
        case ToolCall():
            return {"tool_calls": [{"index": call, "function": {"arguments": text}}]}
        case Refusal():
            return {"refusal": text}
        case Reasoning():
            return {"reasoning_content": text}
        case Audio():
            return {"audio": {"transcript": text, **({"data": part.data} if first else {})}}
        case Text():
            return {"content": text}


def _started(call: ToolCall, stamps: Stamps) -> dict[str, Any]:
    call_id = call.call_id or stamps.new_id("call")
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": ""}}


def _joined(answer: Answer, kind: type[Text | Refusal | Reasoning]) -> str:
    return "".join(part.text for part in answer.parts if isinstance(part, kind))


def _logprobs(tokens: list[TokenLogprob], params: Mapping[str, Any]) -> dict[str, Any]:
    others = params.get("top_logprobs") or 0
    return {
        "content": [
            {**_token(token), "top_logprobs": [_token(other) for other in _likely(token, others)]} for token in tokens
        ],
        "refusal": None,
    }


def _likely(token: TokenLogprob, count: int) -> list[TokenLogprob]:
    """The token, and as many others that were less likely as were asked for."""
    others = [TokenLogprob(f"{token.token}~{n}", token.logprob - n) for n in range(1, count)]
    return [token, *others][:count]


def _token(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.logprob, "bytes": list(token.token.encode())}
