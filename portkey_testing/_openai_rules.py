"""What OpenAI's chat completions refuse, and in which words.

Limits come from OpenAI's published API description, wordings from error bodies quoted in public issue reports; where
only the rule is known, its wording follows that of a sibling. Two rules stand on reports against the documentation:
`metadata` needs `store` (QwenLM/qwen-code#243, tmc/langchaingo#1484), while two tools may share a name
(openai/openai-agents-python#4116). Absent and null are the same for what is optional.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from portkey_testing import _models
from portkey_testing._conversation import text_of
from portkey_testing._encode import compact
from portkey_testing._openai_fields import FIELDS
from portkey_testing._openai_messages import are_plain, image_problems, message_problems, tool_flow
from portkey_testing._openai_words import Problem, missing, one_of, wrong_type

_OVERRIDE: Final = 'give the target its own with "override_params": {"model": ...}'
_NOT_JSON: Final = "We could not parse the JSON body of your request."


def problem(body: Mapping[str, Any], *, escapes: bool = True) -> Problem | None:
    """The first reason to refuse `body`; None if OpenAI takes it.

    Args:
        body: The request.
        escapes: The JSON it was read from may have had characters written as escapes.
    """
    return next(_problems(body, escapes=escapes), None)


def _problems(body: Mapping[str, Any], *, escapes: bool) -> Iterator[Problem]:
    # Nothing but an escape can bring half of a pair, and most requests have none: they need not be searched.
    if escapes and _has_lone_surrogate(body):
        yield Problem(_NOT_JSON, advice="A string holds half of a surrogate pair, which is no character")
    yield from _model(body.get("model"))
    if "messages" not in body:
        yield missing("messages")
    messages = body["messages"]
    plain = are_plain(messages)
    if not plain:
        yield from message_problems(messages)
    if len(body) > 2:  # more than a model and messages
        for name, value in body.items():
            if value is not None and (check := FIELDS.get(name)) is not None:
                yield from check(name, value)
        yield from _combinations(body)
        if (choice := body.get("tool_choice")) is not None:
            yield from _tool_choice(choice, body)
        yield from _model_limits(body["model"], body)
    if not plain and _models.refuses_images(body["model"]):
        yield from image_problems(messages)
    if _models.reasons(body["model"]):
        yield from _reasoning_limits(body["model"], body)
    if not plain:
        yield from tool_flow(messages)


def _model(model: Any) -> Iterator[Problem]:
    if not model:
        yield Problem("you must provide a model parameter")
    elif not isinstance(model, str):
        yield wrong_type("model", "a string", model)
    elif (owner := _models.foreign_to("openai", model)) is not None:
        yield Problem(
            f"The model `{model}` does not exist or you do not have access to it.",
            code="model_not_found",
            status=404,
            advice=f"{model!r} is a model of {owner}; {_OVERRIDE}",
        )


def _combinations(body: Mapping[str, Any]) -> Iterator[Problem]:
    if body.get("stream_options") is not None and body.get("stream") is not True:
        yield Problem(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options", None
        )
    if body.get("metadata") and body.get("store") is not True:
        yield Problem("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")
    if body.get("top_logprobs") and body.get("logprobs") is not True:
        yield Problem("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", "top_logprobs")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        yield Problem(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    if "audio" in (body.get("modalities") or ()) and body.get("audio") is None:
        yield missing("audio")
    yield from _audio_format(body)
    if body.get("tools") is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            # `none` is what OpenAI documents as the default without tools.
            if body.get(name) not in (None, "none"):
                yield Problem(f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name)
    if body.get("functions") is None and body.get("function_call") is not None:
        # Azure-Samples/azure-search-openai-demo#1175
        yield Problem(
            "Invalid value for 'function_call': 'function_call' is only allowed when 'functions' are specified.",
            "function_call",
        )
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        said = (text_of(message.get("content")) for message in body["messages"])
        if not any("json" in text.lower() for text in said):
            yield Problem(
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
                "messages",
            )


def _audio_format(body: Mapping[str, Any]) -> Iterator[Problem]:
    """Speech is streamed as bare samples only (Agent-Field/agentfield#584)."""
    audio = body.get("audio")
    written = audio.get("format") if isinstance(audio, Mapping) else None
    if written not in (None, "pcm16") and body.get("stream") is True:
        yield Problem(
            f"Unsupported value: 'audio.format' does not support '{written}' when stream=true. Supported values are: "
            "'pcm16'.",
            "audio.format",
            "unsupported_value",
        )


def _tool_choice(choice: Any, body: Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(choice, str):
        yield from one_of("none", "auto", "required")("tool_choice", choice)
    elif not isinstance(choice, Mapping):
        yield wrong_type("tool_choice", "one of a string or object", choice)
    elif choice.get("type") == "function":
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if name is None:
            yield missing("tool_choice.function" if function is None else "tool_choice.function.name")
        elif not isinstance(name, str):
            yield wrong_type("tool_choice.function.name", "a string", name)
        elif name not in {tool["function"]["name"] for tool in body.get("tools") or () if "function" in tool}:
            yield Problem(
                f"Invalid value for 'tool_choice': Tool choice '{name}' not found in 'tools' parameter.", "tool_choice"
            )
    elif choice.get("type") is None:
        yield missing("tool_choice.type")
    else:
        yield from one_of("function", "allowed_tools", "custom")("tool_choice.type", choice["type"])


def _model_limits(model: str, body: Mapping[str, Any]) -> Iterator[Problem]:
    """What single models do not take, as their users report it."""
    if body.get("reasoning_effort") is not None and _models.refuses_reasoning_effort(model):
        # davidmigloz/langchain_dart#712, generative-computing/mellea#270
        yield Problem("Unrecognized request argument supplied: reasoning_effort")
    if body.get("parallel_tool_calls") is not None and _models.refuses_parallel_tool_calls(model):
        # run-llama/llama_index#20865, evalstate/fast-agent#279
        yield _unsupported("parallel_tool_calls")
    most = _models.output_limit(model)
    for name in ("max_tokens", "max_completion_tokens"):
        asked = body.get(name)
        if most is not None and asked is not None and asked > most:
            # tailcallhq/forgecode#1185, opencode-ai/opencode#140
            yield Problem(
                f"{name} is too large: {asked}. This model supports at most {most} completion tokens, whereas you "
                f"provided {asked}.",
                name,
                "invalid_value",
            )


def _unsupported(param: str) -> Problem:
    words = f"Unsupported parameter: '{param}' is not supported with this model."
    return Problem(words, param, "unsupported_parameter")


def _reasoning_limits(model: str, body: Mapping[str, Any]) -> Iterator[Problem]:
    """What reasoning models do not take, as their users report it (cline/cline#341, BerriAI/litellm#5671)."""
    refused = {"function"} | ({"system", "developer"} if _models.refuses_system_messages(model) else set())
    for index, message in enumerate(body["messages"]):
        if (role := message["role"]) in refused:
            param = f"messages[{index}].role"
            words = f"Unsupported value: '{param}' does not support '{role}' with this model."
            yield Problem(words, param, "unsupported_value")
    if body.get("max_tokens") is not None:
        yield Problem(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
            "instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    for name in ("logprobs", "top_logprobs", "logit_bias"):
        if body.get(name):
            yield _unsupported(name)
    for name, default in (("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0)):
        value = body.get(name)
        if value is not None and value != default:
            yield Problem(
                f"Unsupported value: '{name}' does not support {value} with this model. Only the default ({default}) "
                "value is supported.",
                name,
                "unsupported_value",
            )


def _has_lone_surrogate(value: Any) -> bool:
    """Half a surrogate pair passes JSON, JavaScript and Python, but is nothing that UTF-8 can carry."""
    try:
        compact(value).encode()
    except UnicodeEncodeError:
        return True
    return False
