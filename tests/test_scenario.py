"""Scripts in YAML files: the same model, the same validation, and errors that name file, line and field."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from portkey_testing import FakeGateway, ScenarioError
from tests.fake_support import SYNC, TOOLS, body

WHOLE = """\
portkey_scenario: 1
allow: [unused_replies]
virtual_keys: {openai-prod: openai}
saved_configs:
  pc-1: {provider: openai, api_key: K}
scripts:
- when: {provider: openai, message: {regex: "[Ww]eather"}}
  reply:
  - Sunny
  - text: It is raining
    streamed: {by: char, ttft: 0.5, tps: 10}
    cut: {chunks: 3}
  - tool_call: {name: get_weather, arguments: {city: Oslo}, call_id: c1}
  - parts: [Let me see., {tool_call: {name: get_weather, arguments: {city: Oslo}}}]
  - error: {name: rate_limited, retry_after: 20}
  - error: overloaded
  - status: 503
  - 502
  - fault: refused
  - text: later
    delayed: 2
    with_usage: {prompt_tokens: 1, completion_tokens: 2}
    with_headers: {x-more: yes}
    times: 2
    finished: length
  always: For ever
gateway:
  reply:
  - fault: reset_before_headers
"""


def loaded(tmp_path: Path, written: str) -> FakeGateway:
    """A fake that has loaded a scenario."""
    path = tmp_path / "scenario.yaml"
    path.write_text(written, encoding="utf-8")
    fake = FakeGateway()
    fake.load(path)
    return fake


def test_a_scenario_scripts_what_a_test_would(tmp_path: Path) -> None:
    """Every kind of reply, with its modifiers, in order."""
    fake = loaded(tmp_path, WHOLE)

    with pytest.raises(httpx.ReadError):
        SYNC.ask(fake)
    assert "Sunny" == SYNC.ask(fake).said
    assert "It " == SYNC.ask(fake, body(stream=True)).said
    assert 0.7 == pytest.approx(fake.clock.now)
    assert "c1" == SYNC.ask(fake, body(tools=TOOLS)).message["tool_calls"][0]["id"]
    assert "Let me see." == SYNC.ask(fake, body(tools=TOOLS)).said
    assert "20" == SYNC.ask(fake).headers["retry-after"]
    assert [503, 503, 502, 500] == [answer.status for answer in SYNC.ask_all(fake, [body()] * 4)]
    later = SYNC.ask_all(fake, [body()] * 2)[1]
    assert ("later", "length") == (later.said, later.json["choices"][0]["finish_reason"])
    assert 3 == later.json["usage"]["total_tokens"]
    assert "For ever" == SYNC.ask(fake, provider="@openai-prod").said
    fake.verify()


ONE = "portkey_scenario: 1\n"
REPLY = f"{ONE}scripts:\n- reply:\n  - "


@pytest.mark.parametrize(
    ("written", "line", "field", "problem"),
    [
        ("portkey_scenario: 2\n", 1, "portkey_scenario", "expected the version of the format, 1, not 2"),
        ("portkey_scenario: 1\nscript: []\n", 2, "script", "Did you mean 'scripts'?"),
        (
            "portkey_scenario: 1\nscripts:\n- when: {provdier: openai}\n  reply: [a]\n",
            3,
            "scripts[0].when.provdier",
            "Did you mean 'provider'?",
        ),
        (
            "portkey_scenario: 1\nscripts:\n- reply:\n  - a\n  - error: nope\n",
            5,
            "scripts[0].reply[1].error",
            "no provider error",
        ),
        (
            "portkey_scenario: 1\nscripts:\n- reply:\n  - {text: a, error: overloaded}\n",
            4,
            "scripts[0].reply[0]",
            "exactly one of",
        ),
        (
            "portkey_scenario: 1\nscripts:\n- reply:\n  - text: a\n    streamed: {by: words}\n",
            5,
            "scripts[0].reply[0].streamed",
            "takes one of",
        ),
        (
            "portkey_scenario: 1\nscripts:\n- reply:\n  - text: a\n    cut: 3\n",
            5,
            "scripts[0].reply[0].cut",
            "takes a mapping",
        ),
        ("portkey_scenario: 1\nscripts:\n- reply:\n  - text: 5\n", 4, "scripts[0].reply[0].text", "takes a string"),
        ("portkey_scenario: 1\nscripts:\n- reply: a\n", 3, "scripts[0].reply", "a list is wanted"),
        ("portkey_scenario: 1\nscripts:\n- {}\n", 3, "scripts[0]", "`reply`, `always` or both"),
        ("portkey_scenario: 1\nallow: [nope]\n", 2, "allow", "no rule"),
        ("portkey_scenario: 1\nchaos: {rate: 2}\n", 2, "chaos", "from 0 to 1"),
        (
            "portkey_scenario: 1\nscripts:\n- when: {json: {'a..b': 1}}\n  reply: [a]\n",
            3,
            "scripts[0].when",
            "is no path",
        ),
        (
            "portkey_scenario: 1\nscripts:\n- when: {message: {regex: '('}}\n  reply: [a]\n",
            3,
            "scripts[0].when",
            "unterminated",
        ),
        (f"{ONE}saved_configs: [a]\n", 2, "saved_configs", "a mapping is wanted"),
        (f"{ONE}saved_configs: {{a: 5}}\n", 2, "saved_configs.a", "a mapping is wanted"),
        (f"{ONE}virtual_keys:\n  a: {{provider: openai}}\n", 3, "virtual_keys.a", "a string is wanted"),
        (f"{ONE}default_provider: 5\n", 2, "default_provider", "a string is wanted"),
        (f"{ONE}default_provider: opena\n", 2, "default_provider", "Did you mean 'openai'?"),
        (f"{ONE}virtual_keys:\n  a: opena\n", 3, "virtual_keys.a", "Did you mean 'openai'?"),
        (f"{ONE}scripts:\n- when: {{provider: opena}}\n  reply: [a]\n", 3, "scripts[0].when", "Did you mean 'openai'?"),
        (f"{ONE}chaos: {{rate: 0.1, faults: refused}}\n", 2, "chaos", "names in a list"),
        (f"{ONE}scripts:\n- when: {{turn: two}}\n  reply: [a]\n", 3, "scripts[0].when", "a number from 1 on"),
        (f"{ONE}scripts:\n- when: {{stream: 1}}\n  reply: [a]\n", 3, "scripts[0].when", "True or False"),
        (f"{ONE}scripts:\n- when: {{model: 4}}\n  reply: [a]\n", 3, "scripts[0].when", "takes a string"),
        (f"{ONE}scripts:\n- reply: [a]\n  reply: [b]\n", 4, "scripts[0].reply", "a second time, first on line 3"),
        (f"{ONE}scripts: &all\n- *all\n", 2, "scripts[0]", "a part of"),
        (f"{REPLY}{{text: a, delayed: soon}}\n", 4, "scripts[0].reply[0].delayed", "a number of seconds"),
        (f"{REPLY}{{text: a, times: two}}\n", 4, "scripts[0].reply[0].times", "a number from 1 on"),
        (f"{REPLY}{{text: a, finished: 5}}\n", 4, "scripts[0].reply[0].finished", "a reason such as"),
        (f"{REPLY}{{text: a, with_headers: [b]}}\n", 4, "scripts[0].reply[0].with_headers", "a mapping of names"),
        (f"{REPLY}{{status: 503, with_logprobs: []}}\n", 4, "scripts[0].reply[0].with_logprobs", "a model says"),
        (f"{REPLY}{{tool_call: {{name: f, call_id: 5}}}}\n", 4, "scripts[0].reply[0].tool_call", "call_id is a string"),
        (f"{REPLY}{{tool_call: {{name: f, raw: {{}}}}}}\n", 4, "scripts[0].reply[0].tool_call", "raw is the argument"),
        (f"{REPLY}{{error: {{name: overloaded, retry_after: x}}}}\n", 4, "scripts[0].reply[0].error", "seconds"),
        (f"{REPLY}{{native: {{body: a, status: b}}}}\n", 4, "scripts[0].reply[0].native", "an HTTP status"),
        (f"{REPLY}{{native: {{events: 5}}}}\n", 4, "scripts[0].reply[0].native.events", "a list is wanted"),
        (f"{REPLY}{{recorded: {{cassette: no.yaml}}}}\n", 4, "scripts[0].reply[0].recorded", "no such cassette"),
        (f"{REPLY}{{choices: [a, {{status: 500}}]}}\n", 4, "scripts[0].reply[0].choices", "what a model says"),
        (f"{REPLY}{{chunks: 5}}\n", 4, "scripts[0].reply[0].chunks", "a list is wanted"),
        (f"{REPLY}{{audio: {{transcript: a, data: '%'}}}}\n", 4, "scripts[0].reply[0].audio", "base64"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_field(
    tmp_path: Path, written: str, line: int, field: str, problem: str
) -> None:
    """As the Python interface would say it, and where."""
    with pytest.raises(ScenarioError) as caught:
        loaded(tmp_path, written)

    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'scenario.yaml'}:{line}: {field}: ")
    assert problem in said


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("a: 1\nb: [", r"scenario\.yaml:\d: this is no YAML"),
        ("portkey_cassette: 1\n---\na: 1\n...\n", r"this is a cassette; .*serve --cassette"),
        ("", "a mapping is wanted"),
        ("- a", "a mapping is wanted"),
    ],
)
def test_what_is_no_scenario_is_refused(tmp_path: Path, written: str, problem: str) -> None:
    """A broken file, a cassette, an empty one, a list."""
    with pytest.raises(ScenarioError, match=problem):
        loaded(tmp_path, written)


def test_every_kind_of_reply_can_be_written(tmp_path: Path) -> None:
    """Speech, log probabilities, choices and lists of what is said, as in Python."""
    said = ["always: [Hm., {tool_call: {name: f, raw: '{}'}}]"]
    said += [
        "reply: [{choices: [one, {text: two, finished: length}]}]",
        "reply: [{audio: {transcript: Hi, data: aGk=}}]",
    ]
    said += ["reply: [{text: ab, with_logprobs: [[a, -1], [b, -2]]}]"]
    (tmp_path / "scenario.yaml").write_text(ONE + "scripts:\n" + "".join(f"- {line}\n" for line in said))
    fake = FakeGateway()

    fake.load(tmp_path / "scenario.yaml")

    left = fake.leftovers or ""
    for written in ("choices(text('one'), text('two').finished('length'))", "audio('Hi')", "text('ab')"):
        assert written in left


def test_a_text_that_is_no_utf_8_is_an_error(tmp_path: Path) -> None:
    """With the line, and what to do."""
    (tmp_path / "scenario.yaml").write_bytes("portkey_scenario: 1\nscripts: [{always: Malmö}]".encode("latin-1"))

    with pytest.raises(ScenarioError, match=r"scenario\.yaml:2: expected UTF-8, found the byte 0xf6: save the file"):
        FakeGateway().load(tmp_path / "scenario.yaml")


def test_a_scenario_with_a_mistake_scripts_nothing(tmp_path: Path) -> None:
    """So that it can be mended and loaded again."""
    fake = FakeGateway()
    (tmp_path / "scenario.yaml").write_text(ONE + "scripts:\n- reply: [Sunny]\n- reply: Rain\n")

    with pytest.raises(ScenarioError, match=r"scripts\[1\]\.reply: a list is wanted"):
        fake.load(tmp_path / "scenario.yaml")
    assert fake.leftovers is None


def test_what_is_left_over_is_found_in_the_file(tmp_path: Path) -> None:
    """By its line there: no line of Python has scripted it."""
    fake = FakeGateway()
    (tmp_path / "scenario.yaml").write_text(ONE + "scripts:\n- when: {model: gpt-*}\n  reply: [Sunny]\n")
    fake.load(tmp_path / "scenario.yaml")

    assert f"{tmp_path / 'scenario.yaml'}:3" in (fake.leftovers or "")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(ScenarioError, match=r"nowhere\.yaml: the scenario cannot be read"):
        FakeGateway().load(tmp_path / "nowhere.yaml")
