"""How long to wait before a retry, and what a server says about it."""

from __future__ import annotations

from typing import Any

import pytest

from portkey_client import ConfigurationError, RetryPolicy
from portkey_client._retry import delay, retry_after_seconds

NOON = 1_795_435_200.0  # Mon, 23 Nov 2026 12:00:00 GMT


@pytest.mark.parametrize(
    ("retry", "random", "expected"),
    [(0, 0.0, 0.5), (0, 1.0, 0.375), (1, 0.0, 1.0), (3, 0.0, 4.0), (4, 0.0, 8.0), (99, 0.0, 8.0)],
)
def test_back_off_doubles_to_a_cap_less_up_to_a_quarter(retry: int, random: float, expected: float) -> None:
    """Half a second, one, two, up to eight; jitter only shortens."""
    assert expected == delay(retry, None, random)


@pytest.mark.parametrize(("asked", "expected"), [(0.1, 0.1), (60.0, 60.0), (60.1, 0.5), (0.0, 0.5)])
def test_a_server_is_heeded_up_to_a_minute(asked: float, expected: float) -> None:
    """A longer wait, or none at all, gives the client's own back-off."""
    assert expected == delay(0, asked, 0.0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT", "date": "Mon, 23 Nov 2026 12:00:20 GMT"}, 10.0),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], expected: float | None) -> None:
    """Milliseconds, seconds, a date against the server's own clock; nonsense is no wish."""
    assert expected == retry_after_seconds(headers, NOON)


@pytest.mark.parametrize("value", [-1, True, "3", 1.5, None])
def test_a_number_of_retries_must_be_one(value: Any) -> None:
    """The error names the argument, what was expected and what came."""
    with pytest.raises(ConfigurationError, match=r"max_retries= must be an int of 0 or more, or a RetryPolicy; got"):
        RetryPolicy.of(value)
