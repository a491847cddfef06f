"""The version of the distribution: its only home, read by the build backend and sent with every request."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
