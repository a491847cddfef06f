"""Which script answers which attempt."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest

from portkey_testing import FakeGateway, UnscriptedRequest
from portkey_testing.matching import AttemptView
from tests.fake_support import SYNC, TOOLS, USER, Side, body, sides

CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": '{"degrees": 21}'}
ONE_TARGET = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "openai", "api_key": "K1"}]}


@sides
def test_queues_answer_in_turn(side: Side) -> None:
    """Each queued reply answers one attempt."""
    fake = FakeGateway()
    fake.provider("openai").reply("one", "two")

    answers = side.ask_all(fake, [body(), body()])

    assert ["one", "two"] == [answer.said for answer in answers]
    fake.verify()


def test_queues_go_before_what_stands_by() -> None:
    """A later queue wins over an earlier stand-by, and the stand-by takes what is left over."""
    fake = FakeGateway()
    fake.always("for ever")
    fake.provider("openai").reply("queued")

    answers = SYNC.ask_all(fake, [body(), body(), body()])

    assert ["queued", "for ever", "for ever"] == [answer.said for answer in answers]


def test_within_a_pass_the_declared_order_decides() -> None:
    """The first of two scripts that both match answers first."""
    fake = FakeGateway()
    fake.provider("openai").reply("first")
    fake.reply("second")

    assert ["first", "second"] == [answer.said for answer in SYNC.ask_all(fake, [body(), body()])]


def test_the_same_handle_has_the_same_queue() -> None:
    """Asking twice for one provider goes on with its queue."""
    fake = FakeGateway()
    fake.provider("openai").reply("one")
    fake.provider("openai").reply("two")
    fake.when(json={"temperature": 1, "n": 1}).reply("three")
    fake.when(json={"temperature": 1, "n": 1}).reply("four")

    plain = SYNC.ask_all(fake, [body(), body()])
    warm = SYNC.ask_all(fake, [body(temperature=1, n=1)] * 2)

    assert ["one", "two", "three", "four"] == [answer.said for answer in (*plain, *warm)]


@pytest.mark.parametrize(
    ("wanted", "request_body"),
    [
        ({"message": "Oslo"}, body()),
        ({"message": re.compile(r"\bOslo\?$")}, body()),
        (
            {"message": "Weather"},
            body(messages=[{"role": "user", "content": [{"type": "text", "text": "Weather"}]}, CALLED, RESULT]),
        ),
        ({"system": "kind"}, body(messages=[{"role": "developer", "content": "Be kind."}, *USER])),
        (
            {"system": re.compile("KIND", re.IGNORECASE)},
            body(messages=[{"role": "system", "content": "Be kind"}, *USER]),
        ),
        ({"model": "gpt-4o*"}, body()),
        ({"model": "gpt-4o-mini"}, body()),
        ({"provider": "openai"}, body()),
        ({"target": "config.targets[0]"}, body()),
        ({"api_key": "K1"}, body()),
        ({"tools": ["get_time"]}, body(tools=TOOLS)),
        ({"tools": []}, body()),
        ({"turn": 1}, body()),
        ({"turn": 2}, body(messages=[*USER, CALLED, RESULT])),
        ({"stream": True}, body(stream=True)),
        ({"stream": False}, body()),
        ({"tool_result": {"get_weather": "21"}}, body(messages=[*USER, CALLED, RESULT])),
        ({"tool_result": {"get_weather": re.compile(r"\d+")}}, body(messages=[*USER, CALLED, RESULT])),
        ({"tool_result": {"get_weather": {"degrees": 21}}}, body(messages=[*USER, CALLED, RESULT])),
        ({"metadata": {"user": "ada"}}, body(metadata={"user": "ada"}, store=True)),
        ({"metadata": {"plan": "pro"}}, body()),
        ({"json": {"messages[0].content": "Weather in Oslo?"}}, body()),
        ({"json": {"$.messages[-1].role": "user", "temperature": 0.5}}, body(temperature=0.5)),
        ({"json": {"messages[0].content": re.compile("Oslo")}}, body()),
        (
            {"messages": [{"role": "user"}, {"tool_calls": [{"id": "c1"}]}, {"role": "tool"}]},
            body(messages=[*USER, CALLED, RESULT]),
        ),
        ({"predicate": lambda attempt: attempt.params["n"] == 1}, body(n=1)),
    ],
)
def test_a_condition_finds_its_attempt(wanted: dict[str, Any], request_body: dict[str, Any]) -> None:
    """Every condition is met by the attempt it describes."""
    fake = FakeGateway()
    fake.when(**wanted).reply("matched")
    fake.always("not matched")

    answer = SYNC.ask(fake, request_body, config=ONE_TARGET, metadata='{"plan": "pro"}')

    assert "matched" == answer.said


@pytest.mark.parametrize(
    "wanted",
    [
        {"message": "Bergen"},
        {"message": re.compile("^Oslo")},
        {"system": "kind"},
        {"model": "gpt-4"},
        {"provider": "anthropic"},
        {"target": "config.targets[1]"},
        {"tools": ["get_news"]},
        {"turn": 2},
        {"stream": True},
        {"tool_result": {"get_weather": ""}},
        {"metadata": {"plan": "free"}},
        {"json": {"temperature": 1}},
        {"json": {"stream": 0}},
        {"messages": [{"role": "user"}, {"role": "user"}]},
        {"predicate": lambda _: False},
    ],
)
def test_a_condition_refuses_other_attempts(wanted: dict[str, Any]) -> None:
    """A condition that is not met leaves the attempt to others."""
    fake = FakeGateway()
    fake.allow("unused_replies")
    fake.when(**wanted).reply("matched")
    fake.always("not matched")

    answer = SYNC.ask(fake, body(tools=TOOLS[:1], stream=False), config=ONE_TARGET, metadata='{"plan": "pro"}')

    assert "not matched" == answer.said


def test_conditions_see_the_overrides_of_the_target() -> None:
    """What the provider gets decides, not what the application sent."""
    fake = FakeGateway()
    fake.when(model="gpt-4o").reply("overridden")

    target = {"provider": "openai", "api_key": "K", "override_params": {"model": "gpt-4o"}}

    assert "overridden" == SYNC.ask(fake, body(), config=target).said


def test_only_the_results_of_the_current_turn_count() -> None:
    """A result from an earlier turn does not decide what is said now."""
    fake = FakeGateway()
    fake.when(tool_result={"get_weather": "21"}).always("current")
    fake.always("something else")
    later = [*USER, CALLED, RESULT, {"role": "assistant", "content": "21 degrees."}, *USER]

    answers = SYNC.ask_all(fake, [body(messages=[*USER, CALLED, RESULT]), body(messages=later)])

    assert ["current", "something else"] == [answer.said for answer in answers]


def test_a_function_gets_the_attempt() -> None:
    """A reply may be made from what was asked."""
    fake = FakeGateway()
    seen: list[AttemptView] = []

    def reply(attempt: AttemptView) -> str:
        seen.append(attempt)
        return f"{attempt.message} is asked of {attempt.provider}"

    fake.reply(reply)

    assert "Weather in Oslo? is asked of openai" == SYNC.ask(fake).said
    (attempt,) = seen
    assert (1, "gpt-4o-mini", "") == (attempt.turn, attempt.model, attempt.system)
    assert "https://api.openai.com/v1/chat/completions" == (attempt.request and attempt.request.url)
    assert "/v1/chat/completions" == attempt.client_request.path


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"tools": "get_weather"}, "takes the names of tools in a list"),
        ({"message": 5}, "takes a part of the text or a compiled pattern"),
        ({"predicate": 5}, "takes a function of the attempt"),
        ({"json": {"a": object()}}, "cannot become JSON"),
    ],
)
def test_a_condition_that_cannot_be_met_is_refused_at_once(wanted: dict[str, Any], message: str) -> None:
    """Mistakes are found where they are written."""
    with pytest.raises(TypeError, match=message):
        FakeGateway().when(**wanted)


@pytest.mark.parametrize("path", ["", "messages[x]", "a..b", "[0"])
def test_a_path_that_is_none_is_refused_at_once(path: str) -> None:
    """A path is checked where it is written."""
    with pytest.raises(ValueError, match="is no path such as"):
        FakeGateway().when(json={path: 1})


def missed(fake: FakeGateway, request_body: dict[str, Any]) -> str:
    """What is said about a request that no script answers."""
    with pytest.raises(UnscriptedRequest) as caught:
        SYNC.ask(fake, request_body)
    return str(caught.value)


def test_a_miss_names_the_attempt_and_the_nearest_scripts() -> None:
    """The first condition that refused, with both values, and the line of the test that declared the script."""
    fake = FakeGateway()
    fake.when(model="gpt-3*", stream=True, turn=3).reply("far")
    fake.when(message="weather in oslo").reply("near")

    explanation = missed(fake, body()).splitlines()

    assert "no script answers openai config #1: model 'gpt-4o-mini', plain, turn 1" == explanation[0]
    assert "    user: Weather in Oslo?" == explanation[1]
    near = next(i for i, line in enumerate(explanation) if "message='weather in oslo'" in line)
    far = next(i for i, line in enumerate(explanation) if "model='gpt-3*'" in line)
    assert near < far
    assert f"{__file__}:" in explanation[near]
    assert "message is 'Weather in Oslo?', the script wants 'weather in oslo'" in explanation[near + 1]
    assert "only upper and lower case differ" in explanation[near + 2]
    assert "turn is 1, the script wants 3" in explanation[far + 1]
    assert "nor does it meet: stream, model" in explanation[far + 2]
    assert "Script it, for example: fake.provider('openai').reply(...)" == explanation[-1]


def test_a_miss_says_when_a_queue_is_used_up() -> None:
    """An agent that goes on past its script is told so."""
    fake = FakeGateway()
    fake.reply("one")
    SYNC.ask(fake)

    assert "it matches, but its queue is used up: it has answered 1 attempt" in missed(fake, body())


def test_a_miss_shows_conversations_message_by_message() -> None:
    """What is as wanted, what was wanted and what came, one line each."""
    fake = FakeGateway()
    fake.when(messages=[{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant"}]).reply("never")

    lines = [line.strip() for line in missed(fake, body(messages=[*USER, *USER])).splitlines()]

    at = lines.index("= user: Weather in Oslo?")
    assert ["- assistant:", "+ user: Weather in Oslo?"] == lines[at + 1 : at + 3]


def test_the_last_of_many_scripts_answers() -> None:
    """Two hundred scripts are told apart by what the user said."""
    fake = FakeGateway()
    for number in range(200):
        fake.when(message=f"question {number}?").always(f"answer {number}")

    assert "answer 199" == SYNC.ask(fake, body(messages=[{"role": "user", "content": "question 199?"}])).said


def test_threads_get_each_reply_once() -> None:
    """Parallel calls share a queue without losing or doubling a reply."""
    fake = FakeGateway()
    fake.reply(*[str(number) for number in range(40)])
    said: list[str] = []

    def work() -> None:
        said.extend(answer.said for answer in SYNC.ask_all(fake, [body()] * 5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, range(40))) == sorted(said)
    assert list(range(1, 41)) == [call.number for call in fake.calls]
    fake.verify()


def test_scripts_may_be_added_while_another_thread_asks() -> None:
    """Declaring and matching do not disturb each other."""
    fake = FakeGateway()
    fake.always("here")
    stop = threading.Event()

    def declare() -> None:
        number = 0
        while not stop.is_set() and number < 5_000:
            fake.when(json={"seed": number}).always("never")
            number += 1

    declaring = threading.Thread(target=declare)
    declaring.start()
    said = {answer.said for answer in SYNC.ask_all(fake, [body()] * 30)}
    stop.set()
    declaring.join()

    assert {"here"} == said


def test_metadata_that_is_no_object_is_no_metadata() -> None:
    """Whatever the application sends, matching does not fail on it."""
    fake = FakeGateway()
    fake.when(metadata={"a": 1}).always("never")
    fake.always("fine")

    assert "fine" == SYNC.ask(fake, body(), metadata=json.dumps([1])).said


def test_a_key_shows_its_ends_only() -> None:
    """The keys of a run may be real ones, and its messages end up in logs."""
    fake = FakeGateway()
    fake.virtual_key("prod", provider="openai")
    fake.provider("openai", api_key="sk-the-scripted-secret-1234").always("hi")
    fake.provider("openai", virtual_key="prod").always("hi")
    fake.provider("openai", api_key="K2").always("hi")

    with pytest.raises(UnscriptedRequest) as caught:
        SYNC.ask(fake, config={"provider": "openai", "api_key": "sk-the-real-secret-5678"})

    said = f"{caught.value} {fake.journal}"
    assert "api_key is 'sk-t…5678', the script wants 'sk-t…1234'" in said
    assert "'key-of-prod'" in said
    assert "'K2'" in said
    assert "secret" not in said
