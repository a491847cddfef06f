"""The options of one call and how they combine with the client's. Pure."""

# No postponed annotations here: TypedDict would have to compile each again.

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypedDict

import httpx

from ._request import is_given, path_segment
from ._retry import RetryPolicy
from ._timeout import check_seconds
from .errors import ConfigurationError, InvalidRequestError
from .headers import check_header
from .types import NOT_GIVEN, ChatCompletionList, ChatCompletionStoreMessageList, NotGiven

COMPLETIONS_PATH: Final = "/chat/completions"

Message: TypeAlias = Mapping[str, Any] | Any
"""A message: a mapping with a role, or a model such as `answer.choices[0].message`."""

TimeoutOption: TypeAlias = float | httpx.Timeout | NotGiven | None
RetryOption: TypeAlias = int | RetryPolicy | NotGiven
Timeouts: TypeAlias = Mapping[str, float | None]


class CallOptions(NamedTuple):
    """What a call may set for itself.

    Attributes:
        extra_headers: Override the client's, without regard to case.
        extra_query: Query parameters.
        timeout: Seconds, or a `Timeout`; None is for ever, NOT_GIVEN the client's.
        max_retries: A number of retries, or a policy; NOT_GIVEN the client's.
    """

    extra_headers: Mapping[str, str] | None = None
    extra_query: Mapping[str, Any] | None = None
    timeout: TimeoutOption = NOT_GIVEN
    max_retries: RetryOption = NOT_GIVEN


def timeouts_of(timeout: object) -> dict[str, float | None]:
    """The four timeouts of httpx, in seconds, for a `timeout=` argument.

    Raises:
        ConfigurationError: It is neither a number above 0, nor a `Timeout`, nor None.
    """
    if isinstance(timeout, tuple) and len(timeout) == 4:
        timeout = httpx.Timeout(timeout)
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0:
        return {"connect": timeout, "read": timeout, "write": timeout, "pool": timeout}
    if timeout is None:
        return {"connect": None, "read": None, "write": None, "pool": None}
    steps: Callable[[], Mapping[str, object]] | None = getattr(timeout, "as_dict", None)
    if steps is not None and type(timeout).__name__ == "Timeout":  # of httpx, ours, or of httpx2
        return {step: check_seconds(step, seconds) for step, seconds in steps().items()}
    raise ConfigurationError(
        f"timeout= must be a number of seconds above 0, a Timeout, or None for no limit; "
        f"got {type(timeout).__name__} {timeout!r}"
    )


def merged_headers(base: httpx.Headers, extra: object) -> httpx.Headers:
    """The headers of a call: `base`, overridden by `extra` without regard to case.

    Raises:
        InvalidRequestError: `extra` is no mapping of texts, or holds something that no header can carry.
    """
    if extra is None or not is_given(extra):
        return base
    if not isinstance(extra, Mapping):
        raise InvalidRequestError(
            f"extra_headers= must be a mapping, got {type(extra).__name__}", param="extra_headers"
        )
    headers = base.copy()
    for name, value in extra.items():
        if not isinstance(name, str) or not _is_token(name):
            raise InvalidRequestError(
                f"extra_headers= holds {name!r}, which cannot be the name of a header", param="extra_headers"
            )
        if not is_given(value):
            headers.pop(name, None)
            continue
        try:
            headers[name] = check_header(name, value, f"extra_headers[{name!r}]")
        except ConfigurationError as error:
            raise InvalidRequestError(str(error), param=f"extra_headers[{name!r}]") from None
    return headers


def _is_token(name: str) -> bool:
    """Whether `name` is a token of RFC 9110 5.6.2."""
    return bool(name) and name.isascii() and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)


class CallKeywords(TypedDict, total=False):
    """What every method takes for its call; see `Completions.create`."""

    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None
    extra_body: Mapping[str, Any] | None
    timeout: TimeoutOption
    max_retries: RetryOption


class MessageKeywords(CallKeywords, total=False):
    """Further fields of a message."""

    name: str | None
    tool_calls: list[Any] | None
    tool_call_id: str | None
    metadata: Mapping[str, str] | None


_CALL_KEYWORDS: Final = frozenset(CallKeywords.__annotations__)


def call_options(keywords: Mapping[str, Any], query: Mapping[str, Any] | None = None) -> CallOptions:
    """The options of a call among its keywords; `extra_query` overrides the query that the method itself makes."""
    given = {name: value for name, value in (query or {}).items() if is_given(value)}
    return CallOptions(
        keywords.get("extra_headers"),
        {**given, **(keywords.get("extra_query") or {})} or None,
        keywords.get("timeout", NOT_GIVEN),
        keywords.get("max_retries", NOT_GIVEN),
    )


def update_body(named: Mapping[str, Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a call that changes something: what was named, further fields, and `extra_body` above all."""
    fields = {name: value for name, value in keywords.items() if name not in _CALL_KEYWORDS}
    given = {name: value for name, value in {**named, **fields}.items() if is_given(value)}
    return {**given, **(keywords.get("extra_body") or {})}


def completion_path(completion_id: object) -> str:
    """The path of a stored completion."""
    return f"{COMPLETIONS_PATH}/{path_segment('completion_id', completion_id)}"


def messages_path(completion_id: object, message_id: object = NOT_GIVEN) -> str:
    """The path of a stored completion's messages, or of one of them."""
    path = f"{completion_path(completion_id)}/messages"
    return path if message_id is NOT_GIVEN else f"{path}/{path_segment('message_id', message_id)}"


def next_page(page: ChatCompletionList | ChatCompletionStoreMessageList, after: object) -> str | None:
    """Where the page behind this one begins, None behind the last.

    Raises:
        InvalidRequestError: The server says there is more but not where, or names the same page again.
    """
    if not page.has_more or not page.data:
        return None
    last = page.last_id or page.data[-1].id
    if last is None or last == after:
        raise InvalidRequestError(f"the list goes on, but its page does not say where: its last id is {last!r}")
    return last
