"""Completions that were stored: through Portkey's client, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import portkey_client as p
from portkey_testing import FakeGateway, fault, text
from tests.fake_support import URL, USER, body, headers


class Session:
    """A client of one fake, whose calls all look synchronous."""

    def __init__(self, kind: str) -> None:
        self.fake = FakeGateway()
        transport = self.fake.transport()
        self.loop = asyncio.new_event_loop()
        options: dict[str, Any] = {"api_key": "PK", "provider": "openai", "max_retries": 0}
        self.client: Any = (
            p.Portkey(http_client=httpx.Client(transport=transport), **options)
            if kind == "sync"
            else p.AsyncPortkey(http_client=httpx.AsyncClient(transport=transport), **options)
        )

    def run(self, result: Any) -> Any:
        """The result, awaited if need be."""
        return self.loop.run_until_complete(result) if hasattr(result, "__await__") else result

    @property
    def completions(self) -> Any:
        return self.client.chat.completions

    def create(self, said: str, **fields: Any) -> Any:
        """A completion that is stored."""
        self.fake.reply(said)
        return self.run(self.completions.create(model="gpt-4o", messages=USER, store=True, **fields))

    def ids(self, **query: Any) -> list[str]:
        """The ids of one page."""
        return [item.id for item in self.run(self.completions.list(**query)).data]


@pytest.fixture(params=["sync", "async"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session of either kind."""
    made = Session(request.param)
    yield made
    made.run(made.client.close())
    made.loop.close()


def test_what_was_stored_can_be_retrieved(session: Session) -> None:
    """As it was answered, with its metadata."""
    created = session.create("Sunny", metadata={"user": "ada"})

    found = session.run(session.completions.retrieve(created.id))

    assert (created.id, "Sunny", {"user": "ada"}) == (
        found.id,
        found.choices[0].message.content,
        dict(found["metadata"]),
    )


def test_what_a_model_always_says_is_no_answer_to_those_who_ask_the_store(session: Session) -> None:
    """A script for the model stands by, and what was stored is still what comes back."""
    session.fake.always("Sunny")
    created = session.run(session.completions.create(model="gpt-4o", messages=USER, store=True))

    retrieved = session.run(session.completions.retrieve(created.id))

    assert created.id == retrieved.id
    with pytest.raises(p.NotFoundError):
        session.run(session.completions.retrieve("chatcmpl-unknown"))


def test_what_was_not_stored_cannot(session: Session) -> None:
    """The provider's own 404."""
    session.fake.reply("Sunny")
    created = session.run(session.completions.create(model="gpt-4o", messages=USER))

    with pytest.raises(p.NotFoundError, match="not found"):
        session.run(session.completions.retrieve(created.id))


def test_a_stored_stream_is_kept_as_a_completion(session: Session) -> None:
    """Under the id that its chunks have."""
    session.fake.reply(text("It is raining"))

    async def read() -> str:
        stream = await session.completions.create(model="gpt-4o", messages=USER, store=True, stream=True)
        ids: list[str] = [chunk.id async for chunk in stream]
        return ids[-1]

    if isinstance(session.client, p.AsyncPortkey):
        found = session.loop.run_until_complete(read())
    else:
        stream = session.completions.create(model="gpt-4o", messages=USER, store=True, stream=True)
        found = [chunk.id for chunk in stream][-1]

    assert "It is raining" == session.run(session.completions.retrieve(found)).choices[0].message.content


def test_lists_have_pages_order_and_filters(session: Session) -> None:
    """Oldest first unless asked otherwise; by model and metadata."""
    ids = [session.create(str(n), metadata={"even": str(n % 2 == 0)}).id for n in range(5)]
    other = session.fake.store_completion("put there", model="gpt-4o-mini")

    assert [*ids, other] == session.ids()
    assert [other, *reversed(ids)] == session.ids(order="desc")
    assert ids[:2] == session.ids(limit=2)
    assert ids[2:4] == session.ids(limit=2, after=ids[1])
    assert [other] == session.ids(model="gpt-4o-mini")
    assert ids[::2] == session.ids(metadata={"even": "True"})
    assert session.run(session.completions.list(limit=2)).has_more


def test_metadata_can_be_changed(session: Session) -> None:
    """And the change stays."""
    created = session.create("Sunny", metadata={"a": "1"})

    session.run(session.completions.update(created.id, metadata={"b": "2"}))

    assert {"b": "2"} == dict(session.run(session.completions.retrieve(created.id))["metadata"])


def test_what_was_deleted_is_gone(session: Session) -> None:
    """Deleting says so, and then it is a 404."""
    created = session.create("Sunny")

    assert session.run(session.completions.delete(created.id)).deleted
    assert [] == session.ids()
    with pytest.raises(p.NotFoundError):
        session.run(session.completions.delete(created.id))


def test_the_messages_of_a_completion(session: Session) -> None:
    """Listed, created, retrieved, updated and deleted."""
    created = session.create("Sunny")
    messages = session.completions.messages

    (first,) = session.run(messages.list(created.id)).data
    assert ("user", "Weather in Oslo?") == (first.role, first.content)
    added = session.run(messages.create(created.id, role="user", content="And tomorrow?"))
    assert "And tomorrow?" == session.run(messages.retrieve(created.id, added.id)).content
    session.run(messages.update(created.id, added.id, content="And now?"))
    assert ["Weather in Oslo?", "And now?"] == [m.content for m in session.run(messages.list(created.id)).data]
    assert session.run(messages.delete(created.id, added.id)).deleted
    with pytest.raises(p.NotFoundError):
        session.run(messages.retrieve(created.id, added.id))


@pytest.mark.parametrize("query", [{"order": "up"}, {"limit": 0}, {"after": "nope"}])
def test_a_list_that_makes_no_sense_is_refused(session: Session, query: dict[str, Any]) -> None:
    """In the provider's words."""
    session.create("Sunny")

    with pytest.raises(p.APIStatusError) as caught:
        session.ids(**query)

    assert caught.value.status_code in (400, 404)


def test_a_script_goes_before_the_store(session: Session) -> None:
    """An outage of the store can be scripted like any other."""
    from portkey_testing import status

    created = session.create("Sunny")
    session.fake.reply(status(503, {"error": {"message": "down"}}))

    with pytest.raises(p.APIStatusError):
        session.run(session.completions.retrieve(created.id))


def test_only_what_a_model_says_can_be_stored() -> None:
    """An error is no completion."""
    from portkey_testing import error

    with pytest.raises(TypeError, match="only what a model says"):
        FakeGateway().store_completion(error("overloaded"))


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        (fault("empty_body"), {}),
        (fault("empty_body"), {"stream": True}),
        (text("hi").damaged("broken_json"), {}),
        ({"choices": []}, {}),
    ],
    ids=str,
)
def test_what_cannot_be_found_again_is_not_kept(said: Any, fields: dict[str, Any]) -> None:
    """An answer that comes damaged, or a completion without an id, arrives as it is scripted and that is all."""
    fake = FakeGateway()
    fake.reply(said)

    with httpx.Client(transport=fake.transport()) as client:
        client.post(URL, json=body(store=True, **fields), headers=headers())
        listed = client.get(URL, headers=headers()).json()

    assert [] == listed["data"]


def test_a_completion_to_be_stored_needs_an_id() -> None:
    """It is refused where the test puts it there."""
    with pytest.raises(ValueError, match="asked for by its id, and this has none"):
        FakeGateway().store_completion({"choices": []})
