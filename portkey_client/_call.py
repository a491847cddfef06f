"""The options of one call and how they combine with the client's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import httpx

from ._request import is_given
from ._retry import RetryPolicy
from .errors import ConfigurationError, InvalidRequestError
from .headers import check_header
from .types import NOT_GIVEN, NotGiven

TimeoutOption: TypeAlias = float | httpx.Timeout | NotGiven | None
RetryOption: TypeAlias = int | RetryPolicy | NotGiven
Timeouts: TypeAlias = Mapping[str, float | None]

DEFAULT_TIMEOUT: Final = httpx.Timeout(600.0, connect=5.0)
"""A provider may take minutes to think before its first token; a gateway that cannot be reached should be noticed at once."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What a call may set for itself.

    Attributes:
        extra_headers: Override the client's, without regard to case.
        extra_query: Query parameters.
        timeout: Seconds, or an `httpx.Timeout`; None is for ever, NOT_GIVEN the client's.
        max_retries: A number of retries, or a policy; NOT_GIVEN the client's.
    """

    extra_headers: Mapping[str, str] | None = None
    extra_query: Mapping[str, Any] | None = None
    timeout: TimeoutOption = NOT_GIVEN
    max_retries: RetryOption = NOT_GIVEN


def timeouts_of(timeout: object) -> dict[str, float | None]:
    """The four timeouts of httpx, in seconds, for a `timeout=` argument.

    Raises:
        ConfigurationError: It is neither a number above 0, nor an `httpx.Timeout`, nor None.
    """
    if timeout is None or isinstance(timeout, httpx.Timeout):
        return httpx.Timeout(timeout).as_dict()
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0:
        return {"connect": timeout, "read": timeout, "write": timeout, "pool": timeout}
    if isinstance(timeout, tuple) and len(timeout) == 4:
        return httpx.Timeout(timeout).as_dict()
    raise ConfigurationError(
        f"timeout= must be a number of seconds above 0, an httpx.Timeout, or None for no limit; "
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
