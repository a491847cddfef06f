"""Stored completions, for the SDKs that have them."""

from __future__ import annotations

import pytest

from tests.clients.conftest import Reached, sdks
from tests.clients.sdk import QUESTION, Ask, SdkError


@sdks(lambda sdk: sdk.stores)
def test_a_stored_completion(reached: Reached) -> None:
    """It can be fetched, listed, given metadata, asked for its messages and deleted, and is gone then."""
    reached.fake.reply("Sunny")
    stored = reached.sdk.stored

    made = reached.chat(Ask(params={"store": True, "metadata": {"run": "1"}}))
    fetched = stored(reached.base_url, "retrieve", made.id)
    listed = stored(reached.base_url, "list", None)
    changed = stored(reached.base_url, "update", made.id, metadata={"run": "2"})
    messages = stored(reached.base_url, "messages", made.id)
    deleted = stored(reached.base_url, "delete", made.id)
    with pytest.raises(SdkError) as gone:
        stored(reached.base_url, "retrieve", made.id)

    assert (made.id, "Sunny") == (fetched["id"], fetched["choices"][0]["message"]["content"])
    assert [made.id] == [each["id"] for each in listed["data"]]
    assert {"run": "2"} == changed["metadata"]
    assert [QUESTION] == [each["content"] for each in messages["data"]]
    assert (made.id, True) == (deleted["id"], deleted["deleted"])
    assert 404 == gone.value.status
