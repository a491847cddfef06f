"""Tables that age: a JSON file for each, with its source, date and gateway version under `about`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def table(name: str) -> dict[str, Any]:
    """The table of that name, without what it says about itself."""
    read: dict[str, Any] = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))
    return {key: value for key, value in read.items() if key != "about"}
