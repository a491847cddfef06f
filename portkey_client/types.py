"""What the API takes and gives: answers, chunks and stored completions as models, request parts as typed dicts.

Answers are OpenAI's, as the gateway maps every provider to them (https://platform.openai.com/docs/api-reference/chat).
Fields nobody declared here are kept at every level and written back by `model_dump`: providers add some every month.
"""

# No postponed annotations here: pydantic and TypedDict would have to compile each again, a third of the import.

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Literal, NotRequired, TypeAlias, TypedDict, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from ._finish import FinishReason, normalize_finish_reason
from ._gateway import GatewayInfo, gateway_headers

__all__ = [
    "Audio",
    "ChatCompletionChunk",
    "ChatCompletionDeleted",
    "ChatCompletionList",
    "ChatCompletionMessage",
    "ChatCompletionStoreMessage",
    "ChatCompletionStoreMessageDeleted",
    "ChatCompletionStoreMessageList",
    "ChatCompletions",
    "Choice",
    "ChoiceLogprobs",
    "CompletionTokensDetails",
    "Delta",
    "DeltaFunction",
    "DeltaToolCall",
    "FinishReason",
    "Function",
    "FunctionParam",
    "MessageParam",
    "Model",
    "NotGiven",
    "ParsedChatCompletion",
    "ParsedChoice",
    "ParsedMessage",
    "PromptTokensDetails",
    "StreamChoice",
    "TextParts",
    "TokenLogprob",
    "ToolCall",
    "ToolCallParam",
    "ToolParam",
    "TopLogprob",
    "Usage",
    "normalize_finish_reason",
]


ParsedT = TypeVar("ParsedT")


class NotGiven:
    """The type of `NOT_GIVEN`: a parameter left out, where None means a JSON null or "no limit"."""

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven()


class Model(BaseModel):
    """A JSON object of the API: attributes, `["key"]` and `.get("key")` all read it; `str()` is its JSON."""

    # Building validators takes longer than importing everything else, and most programs use few of them.
    model_config = ConfigDict(extra="allow", defer_build=True, protected_namespaces=())

    def __getitem__(self, key: str) -> Any:
        """The field `key`, None where it is absent, as `portkey_ai` has it."""
        return self.get(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The field `key`; `default` where it is absent or null. 0, False and "" are values."""
        value = self.__dict__.get(key) if key in type(self).model_fields else (self.model_extra or {}).get(key)
        return default if value is None else value

    def to_dict(self, *, exclude_unset: bool = True, exclude_none: bool = False) -> dict[str, Any]:
        """The object as it came: plain data, with the fields that were set."""
        return self.model_dump(mode="json", exclude_unset=exclude_unset, exclude_none=exclude_none)

    def to_json(self, *, indent: int | None = None, exclude_unset: bool = True, exclude_none: bool = False) -> str:
        """The object as it came, as JSON text."""
        return self.model_dump_json(indent=indent, exclude_unset=exclude_unset, exclude_none=exclude_none)

    def __str__(self) -> str:
        return self.model_dump_json(indent=4)


class Answer(Model):
    """A whole response body; it also knows the headers it came with."""

    @property
    def gateway(self) -> GatewayInfo:
        """What the gateway said about this answer; all None on one that came from no response."""
        return GatewayInfo.from_headers(self._headers)

    def get_headers(self) -> dict[str, str]:
        """The gateway's own response headers, without their `x-portkey-` prefix."""
        return gateway_headers(self._headers)

    @property
    def _headers(self) -> Mapping[str, str]:
        private: Mapping[str, Any] | None = getattr(self, "__pydantic_private__", None)
        headers: Mapping[str, str] = private["headers"] if private else {}
        return headers


def set_headers(answer: Answer, headers: Mapping[str, str]) -> None:
    """Tell an answer the headers it came with."""
    # Where pydantic keeps private attributes, so that copies and pickles have it too. Declaring one would make it run
    # Python code for every answer, which takes a third of the time that validating one does.
    object.__setattr__(answer, "__pydantic_private__", {"headers": headers})


class TextParts(str):
    """Text that came as a list of parts, joined; `parts` is the list as it came."""

    __slots__ = ("parts",)
    parts: list[Any]


def _join_parts(parts: list[Any]) -> str:
    text = TextParts(
        "".join(
            part if isinstance(part, str) else part["text"]
            for part in parts
            if isinstance(part, str) or (isinstance(part, dict) and isinstance(part.get("text"), str))
        )
    )
    text.parts = parts
    return text


def _as_it_came(text: str | None) -> str | list[Any] | None:
    return text.parts if isinstance(text, TextParts) else text


def _empty(_: None) -> str:
    return ""


if TYPE_CHECKING:
    Text: TypeAlias = str | None
    Arguments: TypeAlias = str
else:
    # Some models (Mistral's reasoning ones) answer with a list of parts; the function runs for those only.
    Text = Annotated[
        str | Annotated[list[Any], AfterValidator(_join_parts)] | None,
        Field(union_mode="left_to_right"),
        PlainSerializer(_as_it_came),
    ]
    # Some servers say null where a call has no arguments.
    Arguments = Annotated[str | Annotated[None, AfterValidator(_empty)], Field(union_mode="left_to_right")]


class TopLogprob(Model):
    """A token that might have stood there, with its log probability; `bytes` are its UTF-8."""

    token: str
    bytes: list[int] | None = None
    logprob: float


class TokenLogprob(Model):
    """One token of the answer with its log probability and the likeliest alternatives; `bytes` are its UTF-8."""

    token: str
    bytes: list[int] | None = None
    logprob: float
    top_logprobs: list[TopLogprob] | None = None


class ChoiceLogprobs(Model):
    """The tokens of a choice, where `logprobs` was asked for."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class CompletionTokensDetails(Model):
    """What the answer's tokens went into."""

    accepted_prediction_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class PromptTokensDetails(Model):
    """What the request's tokens consisted of."""

    audio_tokens: int | None = None
    cached_tokens: int | None = None


class Usage(Model):
    """Token counts, as the provider bills them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
    prompt_tokens_details: PromptTokensDetails | None = None


class Function(Model):
    """A call the model wants made.

    Attributes:
        name: The tool's name.
        arguments: JSON text as the model wrote it; it may be broken or break the tool's schema.
    """

    name: str
    arguments: Arguments = ""

    @property
    def parsed_arguments(self) -> Any:
        """What `arguments` stand for as JSON; None where they are none, which models do write."""
        return json_or_none(self.arguments)


def json_or_none(text: str) -> Any:
    """A text that a model wrote as JSON; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _no_function() -> Function:
    return Function(name="")


class ToolCall(Model):
    """A call the model wants made.

    Attributes:
        id: What the message with the result refers to as `tool_call_id`.
        type: `function`, or `custom` for OpenAI's custom tools.
        function: The function; nameless in a custom call, whose input is in `call["custom"]`.
    """

    id: str | None = None
    type: str | None = None
    function: Function = Field(default_factory=_no_function)


class Audio(Model):
    """A spoken answer.

    Attributes:
        id: For referring to it in a later message.
        data: The sound in base64, in the format that was asked for.
        expires_at: When the id stops being good, in seconds since 1970.
        transcript: What is said.
    """

    id: str | None = None
    data: str | None = None
    expires_at: int | None = None
    transcript: str | None = None


class ChatCompletionMessage(Model):
    """What the model said. It can be passed back in `messages` as it is."""

    role: str | None = None
    content: Text = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    audio: Audio | None = None

    @property
    def content_blocks(self) -> list[dict[str, Any]] | None:
        """The answer in Anthropic's own blocks, thinking among them; None where the gateway sent none.

        Not a field: as one it would be null in `model_dump()`, and OpenAI refuses messages with unknown fields.
        """
        blocks: list[dict[str, Any]] | None = self.get("content_blocks")
        return blocks


class Choice(Model):
    """One of the `n` answers.

    Attributes:
        finish_reason: Why the model stopped, in the provider's word unless the gateway is strict.
    """

    index: int = 0
    message: ChatCompletionMessage
    finish_reason: str | None = None
    logprobs: ChoiceLogprobs | None = None

    @property
    def normalized_finish_reason(self) -> FinishReason | None:
        """Why the model stopped, in OpenAI's word whoever the provider was."""
        return normalize_finish_reason(self.finish_reason)


class ChatCompletions(Answer):
    """A whole answer.

    Attributes:
        created: Seconds since 1970.
        provider: The provider that answered, such as `anthropic`; the gateway adds it to what it translates.
    """

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[Choice]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    provider: str | None = None


class ParsedMessage(ChatCompletionMessage, Generic[ParsedT]):
    """A message whose text is structured; `parsed` is None on a refusal or a tool call."""

    parsed: ParsedT | None = Field(default=None, exclude=True)  # not sent when the message goes back


class ParsedChoice(Choice, Generic[ParsedT]):
    """A choice whose text is structured."""

    # Narrower than in Choice, which a mutable field may not be; nobody assigns to the fields of an answer.
    message: ParsedMessage[ParsedT]  # pyright: ignore[reportIncompatibleVariableOverride]


class ParsedChatCompletion(ChatCompletions, Generic[ParsedT]):
    """An answer whose texts are instances of a class."""

    # A list of the narrower kind is no list of the wider one, to which a choice of any kind may be appended; nobody
    # changes the lists of an answer.
    choices: list[ParsedChoice[ParsedT]]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]


class DeltaFunction(Model):
    """A piece of a function call; pieces of `arguments` add up to JSON text."""

    name: str | None = None
    arguments: str | None = None


class DeltaToolCall(Model):
    """A piece of a tool call; `index` says of which. The name comes first, then pieces of the arguments."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: DeltaFunction | None = None


class Delta(Model):
    """What a chunk adds to the message of its choice."""

    role: str | None = None
    content: Text = None
    refusal: str | None = None
    tool_calls: list[DeltaToolCall] | None = None
    function_call: DeltaFunction | None = None

    @property
    def content_blocks(self) -> list[dict[str, Any]] | None:
        """What it adds to the blocks; see `ChatCompletionMessage.content_blocks`."""
        blocks: list[dict[str, Any]] | None = self.get("content_blocks")
        return blocks


class StreamChoice(Model):
    """What a chunk adds to one of the `n` answers; `finish_reason` comes with the last piece."""

    index: int = 0
    delta: Delta = Field(default_factory=Delta)
    finish_reason: str | None = None
    logprobs: ChoiceLogprobs | None = None

    @property
    def normalized_finish_reason(self) -> FinishReason | None:
        """Why the model stopped, in OpenAI's word whoever the provider was."""
        return normalize_finish_reason(self.finish_reason)


class ChatCompletionChunk(Model):
    """One piece of a streamed answer. `choices` is empty in the piece that carries the usage."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[StreamChoice] = Field(default_factory=list)
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    provider: str | None = None


class ChatCompletionDeleted(Answer):
    """That a stored completion is gone."""

    id: str
    deleted: bool
    object: str | None = None


class ChatCompletionList(Answer):
    """One page of stored completions; `list_all()` goes through all of them."""

    object: str | None = None
    data: list[ChatCompletions]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool | None = None


class ChatCompletionStoreMessage(Answer):
    """One stored message, of a user as well as of the model; users' content may be a list of parts."""

    id: str | None = None
    role: str | None = None
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    name: str | None = None


class ChatCompletionStoreMessageDeleted(Answer):
    """That a stored message is gone."""

    id: str
    deleted: bool
    object: str | None = None


class ChatCompletionStoreMessageList(Answer):
    """One page of the messages of a stored completion; `messages.list_all()` goes through all of them."""

    object: str | None = None
    data: list[ChatCompletionStoreMessage]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool | None = None


class FunctionParam(TypedDict):
    """A function offered to the model; `parameters` is a JSON schema."""

    name: str
    description: NotRequired[str]
    parameters: NotRequired[Mapping[str, Any]]
    strict: NotRequired[bool | None]


class ToolParam(TypedDict):
    """A tool offered to the model."""

    type: Literal["function"]
    function: FunctionParam


class FunctionCallParam(TypedDict):
    """What the model wanted called; `arguments` is JSON text."""

    name: str
    arguments: str


class ToolCallParam(TypedDict):
    """A call of an earlier answer, as it goes back with its message."""

    id: str
    type: Literal["function"]
    function: FunctionCallParam


class MessageParam(TypedDict, total=False):
    """A message of any role, for annotating your own code; `create` takes any mapping or model."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Mapping[str, Any]] | None
    name: str
    tool_calls: list[ToolCallParam]
    tool_call_id: str | None
    refusal: str | None
