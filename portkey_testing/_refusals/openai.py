"""What OpenAI's chat completions refuse, and in which words.

Limits come from OpenAI's published API description, wordings from error bodies quoted in public issue reports; where
only the rule is known, its wording follows that of a sibling. Two rules stand on reports against the documentation:
`metadata` needs `store` (QwenLM/qwen-code#243, tmc/langchaingo#1484), while two tools may share a name
(openai/openai-agents-python#4116). Absent and null are the same for what is optional.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from portkey_testing._conversation import text_of
from portkey_testing._refusals import models
from portkey_testing._refusals.openai_checks import anything, one_of, record, string, tagged
from portkey_testing._refusals.openai_fields import FIELDS
from portkey_testing._refusals.openai_messages import are_plain, image_problem, messages_problem, tool_flow_problem
from portkey_testing._refusals.openai_words import Problem, missing, wrong_type

_NOT_JSON: Final = "We could not parse the JSON body of your request."

_CHOICE_WORD: Final = one_of("none", "auto", "required")
_CHOICE: Final = tagged(
    function=record({"function": record({"name": string()})}), allowed_tools=anything, custom=anything
)


def problem(body: Mapping[str, Any], *, escapes: bool = True) -> Problem | None:
    """The first reason to refuse `body`; None if OpenAI takes it. Each rule relies on those before it.

    Args:
        body: The request.
        escapes: The JSON it was read from may have had characters written as escapes.
    """
    # Nothing but an escape can bring half of a pair, and most requests have none: they need not be searched.
    if escapes and _has_lone_surrogate(body):
        return Problem(_NOT_JSON, advice="A string holds half of a surrogate pair, which is no character")
    if (found := _model(body.get("model"))) is not None:
        return found
    if "messages" not in body:
        return missing("messages")
    model, messages = body["model"], body["messages"]
    plain = are_plain(messages)
    if not plain and (found := messages_problem("messages", messages)) is not None:
        return found
    # Many requests of tests are a model and plain messages: what else there may be is not even looked for.
    if len(body) > 2 and not (len(body) == 3 and isinstance(body.get("stream"), bool)):
        found = _fields(body) or _combinations(body) or _tool_choice(body) or _model_limits(model, body)
        if found is not None:
            return found
    if not plain and models.refuses_images(model) and (found := image_problem(messages)) is not None:
        return found
    if models.reasons(model) and (found := _reasoning_limits(model, body)) is not None:
        return found
    return None if plain else tool_flow_problem(messages)


def _model(model: Any) -> Problem | None:
    if not model:
        return Problem("you must provide a model parameter")
    if not isinstance(model, str):
        return wrong_type("model", "a string", model)
    if (owner := models.foreign_to("openai", model)) is None:
        return None
    return Problem(
        f"The model `{model}` does not exist or you do not have access to it.",
        code="model_not_found",
        status=404,
        advice=f"{model!r} is a model of {owner}; {models.OVERRIDE}",
    )


def _fields(body: Mapping[str, Any]) -> Problem | None:
    for name, value in body.items():
        check = FIELDS.get(name)
        if check is not None and value is not None and (found := check(name, value)) is not None:
            return found
    return None


def _combinations(body: Mapping[str, Any]) -> Problem | None:
    """Fields that need another one, or do not bear it."""
    if body.get("stream_options") is not None and body.get("stream") is not True:
        return _only_allowed("stream_options", "stream")
    if body.get("metadata") and body.get("store") is not True:
        return _only_allowed("metadata", "store")
    if body.get("top_logprobs") and body.get("logprobs") is not True:
        return _only_allowed("top_logprobs", "logprobs")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        return Problem(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    if "audio" in (body.get("modalities") or ()) and body.get("audio") is None:
        return missing("audio")
    if body.get("stream") is True and (written := (body.get("audio") or {}).get("format")) not in (None, "pcm16"):
        # Speech is streamed as bare samples only (Agent-Field/agentfield#584).
        return Problem(
            f"Unsupported value: 'audio.format' does not support '{written}' when stream=true. Supported values are: "
            "'pcm16'.",
            "audio.format",
            "unsupported_value",
        )
    if body.get("tools") is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            # `none` is what OpenAI documents as the default without tools.
            if body.get(name) not in (None, "none"):
                return _only_specified(name, "tools")
    if body.get("functions") is None and body.get("function_call") is not None:
        return _only_specified("function_call", "functions")  # Azure-Samples/azure-search-openai-demo#1175
    if (body.get("response_format") or {}).get("type") == "json_object":
        said = (text_of(message.get("content")) for message in body["messages"])
        if not any("json" in text.lower() for text in said):
            return Problem(
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
                "messages",
            )
    return None


def _only_allowed(name: str, needed: str) -> Problem:
    return Problem(f"The '{name}' parameter is only allowed when '{needed}' is enabled.", name)


def _only_specified(name: str, needed: str) -> Problem:
    return Problem(f"Invalid value for '{name}': '{name}' is only allowed when '{needed}' are specified.", name)


def _tool_choice(body: Mapping[str, Any]) -> Problem | None:
    choice = body.get("tool_choice")
    if choice is None:
        return None
    if isinstance(choice, str):
        return _CHOICE_WORD("tool_choice", choice)
    if not isinstance(choice, Mapping):
        return wrong_type("tool_choice", "one of a string or object", choice)
    if (found := _CHOICE("tool_choice", choice)) is not None or choice["type"] != "function":
        return found
    name = choice["function"]["name"]
    if any(tool["type"] == "function" and tool["function"]["name"] == name for tool in body["tools"]):
        return None
    return Problem(
        f"Invalid value for 'tool_choice': Tool choice '{name}' not found in 'tools' parameter.", "tool_choice"
    )


def _model_limits(model: str, body: Mapping[str, Any]) -> Problem | None:
    """What single models do not take, as their users report it."""
    if body.get("reasoning_effort") is not None and models.refuses_reasoning_effort(model):
        # davidmigloz/langchain_dart#712, generative-computing/mellea#270
        return Problem("Unrecognized request argument supplied: reasoning_effort")
    if body.get("parallel_tool_calls") is not None and models.refuses_parallel_tool_calls(model):
        # run-llama/llama_index#20865, evalstate/fast-agent#279
        return _unsupported("parallel_tool_calls")
    most = models.output_limit(model)
    for name in ("max_tokens", "max_completion_tokens"):
        asked = body.get(name)
        if most is not None and asked is not None and asked > most:
            # tailcallhq/forgecode#1185, opencode-ai/opencode#140
            return Problem(
                f"{name} is too large: {asked}. This model supports at most {most} completion tokens, whereas you "
                f"provided {asked}.",
                name,
                "invalid_value",
            )
    return None


def _reasoning_limits(model: str, body: Mapping[str, Any]) -> Problem | None:
    """What reasoning models do not take, as their users report it (cline/cline#341, BerriAI/litellm#5671)."""
    refused = {"function"} | ({"system", "developer"} if models.refuses_system_messages(model) else set())
    for index, message in enumerate(body["messages"]):
        if (role := message["role"]) in refused:
            return _unsupported_value(f"messages[{index}].role", role)
    if body.get("max_tokens") is not None:
        return _unsupported("max_tokens", "Use 'max_completion_tokens' instead.")
    for name in ("logprobs", "top_logprobs", "logit_bias"):
        if body.get(name):
            return _unsupported(name)
    for name, default in (("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0)):
        value = body.get(name)
        if value is not None and value != default:
            return _unsupported_value(name, value, f"Only the default ({default}) value is supported.")
    return None


def _unsupported(param: str, instead: str = "") -> Problem:
    words = f"Unsupported parameter: '{param}' is not supported with this model. {instead}".rstrip()
    return Problem(words, param, "unsupported_parameter")


def _unsupported_value(param: str, value: Any, instead: str = "") -> Problem:
    quoted = f"'{value}'" if isinstance(value, str) else value
    words = f"Unsupported value: '{param}' does not support {quoted} with this model. {instead}".rstrip()
    return Problem(words, param, "unsupported_value")


def _has_lone_surrogate(value: Any) -> bool:
    """Half a surrogate pair passes JSON, JavaScript and Python, but is nothing that UTF-8 can carry."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
