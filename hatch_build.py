"""What a package index shows of the README: a link into the repository leads nowhere there, so its text alone stays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?!https?:|#)[^)]+\)")
INCLUDED = re.compile(r"<!-- --8<-- .*? -->\n\n")  # marks for the site


class ReadmeHook(MetadataHookInterface):
    """Gives the description of the distribution."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the README into the metadata."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": LINK.sub(r"\g<text>", INCLUDED.sub("", text))}
