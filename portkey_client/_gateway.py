"""What the gateway says about an answer in its response headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class GatewayInfo(NamedTuple):  # a frozen dataclass takes eight times as long to define, at import
    """How the gateway came by an answer; None where it did not say.

    Attributes:
        trace_id: The request's trace id (`x-portkey-trace-id`; the open-source gateway leaves it empty if none was
            given).
        provider: The provider that answered, such as `openai` (`x-portkey-provider`).
        target: JSON path of the target that answered, such as `config.targets[1]` (`x-portkey-last-used-option-index`).
        retry_attempts: Retries the gateway made at that target; -1 when it gave up (`x-portkey-retry-attempt-count`).
        cache_status: `HIT`, `SEMANTIC HIT`, `MISS`, `REFRESH`, `DISABLED`, ... (`x-portkey-cache-status`).
    """

    trace_id: str | None = None
    provider: str | None = None
    target: str | None = None
    retry_attempts: int | None = None
    cache_status: str | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> GatewayInfo:
        """Read the facts from response headers (a mapping that finds names in lower case)."""
        attempts = headers.get("x-portkey-retry-attempt-count") or ""
        return cls(
            trace_id=headers.get("x-portkey-trace-id") or None,
            provider=headers.get("x-portkey-provider") or None,
            target=headers.get("x-portkey-last-used-option-index") or None,
            retry_attempts=int(attempts) if attempts.removeprefix("-").isdecimal() and len(attempts) < 10 else None,
            cache_status=headers.get("x-portkey-cache-status") or None,
        )

    def __str__(self) -> str:
        """The known facts on one line, for error texts; empty if there are none."""
        facts = {
            "provider": self.provider,
            "target": self.target,
            "gateway retries": self.retry_attempts,
            "cache": self.cache_status if self.cache_status not in (None, "DISABLED", "MISS") else None,
            "trace id": self.trace_id,
        }
        return ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)


def gateway_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The gateway's own response headers, without their `x-portkey-` prefix."""
    return {name.removeprefix("x-portkey-"): value for name, value in headers.items() if name.startswith("x-portkey-")}
