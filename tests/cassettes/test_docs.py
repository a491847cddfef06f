"""The page about cassettes shows a file that is one."""

from __future__ import annotations

import re
from pathlib import Path

from portkey_testing.cassettes import RecordedResponse, codec, events, model

PAGE = Path(__file__).parents[2] / "docs" / "cassettes.md"


def test_the_cassette_on_the_page_is_what_the_library_writes() -> None:
    """The example can be read, holds what it says, and is spelt as a recording is."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    cassette = codec.decode(blocks[0].encode())
    (interaction,) = cassette.interactions

    assert isinstance(interaction.response, RecordedResponse)
    assert isinstance(interaction.response.body, model.EventStream)
    assert [312, 340, 381, 381] == [when for when, _ in events.unpack(interaction.response.body)]
    assert blocks[0] == codec.encode(cassette)
