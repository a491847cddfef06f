"""The command line, as a person or a script meets it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from click.testing import CliRunner, Result

from portkey_client.types import ChatCompletions
from portkey_testing._cli.commands import portkey_testing
from portkey_testing.cassettes import load_cassette
from portkey_testing.cassettes.verify import knows
from tests.live.record import CASSETTES
from tests.recording_support import CHUNKS, TinyGateway, tiny_gateway

KEY: Final = "pk-live-3f8a9c2e71d04b56"
COMMAND: Final = (sys.executable, "-m", "portkey_testing.cli")
ENVIRONMENT: Final = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PORTKEY_API_KEY": KEY}
WEATHER: Final = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Weather in Oslo?"}]}

SCENARIO: Final = """
portkey_scenario: 1
default_provider: openai
scripts:
- always: Sunny
"""

PROGRAM: Final = """
import os, sys
from portkey_client import Portkey
with Portkey(api_key=os.environ["PORTKEY_API_KEY"], provider="openai") as client:
    messages = [{"role": "user", "content": sys.argv[1]}]
    print(client.chat.completions.create(model="m", messages=messages).choices[0].message.content)
sys.exit(7)
"""


@pytest.fixture
def gateway() -> Iterator[TinyGateway]:
    """A gateway on loopback."""
    with tiny_gateway() as running:
        yield running


def run(*arguments: str | Path) -> Result:
    """One command within this process."""
    return CliRunner().invoke(portkey_testing, [str(argument) for argument in arguments], prog_name="portkey-testing")


@contextmanager
def serving(*arguments: str | Path) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """`serve` as a process, and the base URL it announces; it is stopped as a script would stop it."""
    with subprocess.Popen(
        [*COMMAND, "serve", *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            assert ready.startswith("portkey-testing: listening on http://127.0.0.1:")
            yield ready.split()[-1], process
        finally:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


def ask(url: str, text: str = "Weather in Oslo?") -> httpx.Response:
    """A chat request of any program."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    headers = {"x-portkey-provider": "openai", "authorization": f"Bearer {KEY}"}
    return httpx.post(f"{url}/chat/completions", json=body, headers=headers, trust_env=False)


# serve


def test_a_scenario_is_served_until_somebody_says_stop(tmp_path: Path) -> None:
    """The journal can be read, scripts loaded and everything reset over HTTP; SIGTERM ends it in order."""
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(SCENARIO)

    with serving(scenario) as (url, process), httpx.Client(base_url=url.removesuffix("v1"), trust_env=False) as control:
        said = ask(url).json()["choices"][0]["message"]["content"]
        journal = control.get("__portkey__/journal").json()["calls"]
        text = control.get("__portkey__/journal", headers={"accept": "text/plain"}).text
        loaded = control.post("__portkey__/script", content=SCENARIO.replace("always: Sunny", "reply: [Rain]"))
        rain = ask(url).json()["choices"][0]["message"]["content"]
        control.post("__portkey__/reset")
        after = control.get("__portkey__/journal").json()["calls"]
        again = ask(url).json()["choices"][0]["message"]["content"]

    assert ("Sunny", {"loaded": True}, "Rain", "Sunny") == (said, loaded.json(), rain, again)
    (call,) = journal
    assert ("gpt-4o", 200, "openai") == (call["request"]["model"], call["status"], call["steps"][0]["provider"])
    assert text.startswith("call 1 at")
    assert [] == after
    assert 0 == process.returncode


def test_an_unscripted_request_is_explained_and_not_to_be_retried() -> None:
    """Without a scenario nothing is scripted: the answer says what to write, in words that can be posted."""
    with serving() as (url, _):
        answer = ask(url)
        said = answer.json()["error"]["message"]
        script = url.removesuffix("v1") + "__portkey__/script"
        loaded = httpx.post(script, content=textwrap.dedent(said.partition("script:\n")[2]), trust_env=False)
        again = ask(url)

    assert (400, "false") == (answer.status_code, answer.headers["x-should-retry"])
    assert "no script answers" in said
    assert {"loaded": True} == loaded.json()
    assert "Sunny" == again.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("path", "options", "status", "said"),
    [
        ("script", {"content": "portkey_scenario: 2"}, 400, "expected the version"),
        ("script", {"content": SCENARIO + "- reply: [{recorded: {cassette: /etc/passwd}}]"}, 400, "names no files"),
        ("script", {"content": SCENARIO + '- reply: [{"recorde\\u0064": {cassette: /x}}]'}, 400, "names no files"),
        ("script", {"content": b"#" * (2**20 + 1)}, 413, "1048576 bytes"),
        ("reset", {"headers": {"origin": "https://evil.example"}}, 403, "web pages"),
        ("elsewhere", {}, 404, "/__portkey__/journal"),
    ],
)
def test_the_back_door_is_narrow(path: str, options: dict[str, Any], status: int, said: str) -> None:
    """Bad scripts, scripts that name files, endless ones and web pages are refused with the reason."""
    with serving() as (url, _):
        answer = httpx.post(f"{url.removesuffix('/v1')}/__portkey__/{path}", trust_env=False, **options)

    assert status == answer.status_code
    assert said in answer.text


def test_a_cassette_is_served() -> None:
    """Any program may replay one."""
    with serving("--cassette", CASSETTES / "agent" / "error.yaml", "--time-scale", "0") as (url, _):
        config = json.dumps({"provider": "openai", "api_key": "OPENAI_KEY"})
        headers = {"x-portkey-config": config, "x-portkey-strict-open-ai-compliance": "false"}
        answer = httpx.post(f"{url}/chat/completions", json=WEATHER, headers=headers, trust_env=False)

    assert 401 == answer.status_code


def test_what_is_served_can_be_recorded(tmp_path: Path, gateway: TinyGateway) -> None:
    """With --record each piece of a stream comes as the gateway sends it, and early ends are kept as what they were."""
    file = tmp_path / "x.yaml"
    stream = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "stream"}]}
    headers = {"x-portkey-provider": "openai"}

    with (
        serving("--record", gateway.url, "--cassette", file) as (url, process),
        httpx.Client(trust_env=False) as client,
    ):
        pieces = []
        with client.stream("POST", f"{url}/chat/completions", json=stream, headers=headers) as response:
            for piece in response.iter_raw():
                pieces.append(piece)
                gateway.read.release()
        refused = ask(url, "refuse")
        with pytest.raises(httpx.TransportError):
            ask(url, "drop")

    assert [*CHUNKS, b"data: [DONE]\n\n"] == pieces
    assert 401 == refused.status_code
    assert 0 == process.returncode
    text = file.read_text()
    assert 3 == len(load_cassette(file).interactions)
    assert "fault: closed_before_headers" in text
    assert KEY not in text


def test_a_program_that_hangs_up_is_recorded_as_that(tmp_path: Path, gateway: TinyGateway) -> None:
    """The proxy hangs up on the gateway too, and the recording says who ended it."""
    file = tmp_path / "x.yaml"
    stream = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "stream"}]}

    with serving("--record", gateway.url, "--cassette", file) as (url, _):
        options: dict[str, Any] = {"json": stream, "headers": {"x-portkey-provider": "openai"}}
        with (
            httpx.Client(trust_env=False) as client,
            client.stream("POST", f"{url}/chat/completions", **options) as response,
        ):
            next(response.iter_raw())

    assert "ended: closed" in file.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "a.yaml", "--cassette", "b.yaml"), "not both"),
        (("serve", "--record", "http://h"), "--record needs --cassette"),
        (("serve", "--record", "localhost", "--cassette", "x"), "expected a URL such as"),
        (("serve", "missing.yaml"), "missing.yaml"),
        (("serve", "--port", "70000"), "--port"),
        (("show", "missing.yaml"), "missing.yaml"),
        (("show", str(CASSETTES / "agent" / "plain.yaml"), "--json", "--mermaid"), "not both"),
        (("check", "missing"), "no such file or folder"),
        (("check", "."), "no cassette (*.yaml) in .: give files or other folders"),
        (("record", "--gateway", "http://h", "-o", "x.yaml"), "COMMAND"),
        (("record", "--gateway", "http://h", "-o", "x.yaml", "--", "no-such-program"), "cannot run 'no-such-program'"),
        (("verify", "--gateway", "http://h", "-H", "x", str(CASSETTES / "agent" / "plain.yaml")), "NAME:VALUE"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_why(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, no traceback."""
    monkeypatch.chdir(tmp_path)

    result = run(*arguments)

    assert 2 == result.exit_code, result.output
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_port_in_use_ends_with_2() -> None:
    """The message names the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--port", str(port))

    assert 2 == result.exit_code
    assert f"cannot listen on 127.0.0.1:{port}" in result.output
    assert "0 for any free one" in result.output


def test_ctrl_c_stops_the_server_in_order() -> None:
    """As SIGTERM does."""
    with serving() as (_, process):
        process.send_signal(signal.SIGINT)
        status = process.wait(timeout=10)

    assert 0 == status


# record


def test_a_program_is_recorded_and_its_status_kept(tmp_path: Path, gateway: TinyGateway) -> None:
    """The program finds the proxy in its environment, uses its own key, and ends as it ends."""
    file = tmp_path / "x.yaml"
    record = ("record", "--gateway", gateway.url, "-o", str(file), "--", sys.executable, "-c", PROGRAM, "Hi")

    done = subprocess.run([*COMMAND, *record], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    again = subprocess.run([*COMMAND, *record], env=ENVIRONMENT, capture_output=True, text=True, check=False)

    assert (7, "answer 1\n") == (done.returncode, done.stdout), done.stderr
    assert f"{file} has 1 interaction\n" in done.stderr
    assert (7, "answer 1\n") == (again.returncode, again.stdout), again.stderr
    ((_, headers),) = gateway.requests
    assert KEY == headers["x-portkey-api-key"]
    assert KEY not in file.read_text()


def test_a_recording_of_a_gateway_that_is_not_up_says_so(tmp_path: Path) -> None:
    """Else it would pass for a recording, and be replayed."""
    file = tmp_path / "x.yaml"
    record = ("record", "--gateway", "http://127.0.0.1:9/v1", "-o", str(file), "--", sys.executable, "-c", PROGRAM)

    done = subprocess.run([*COMMAND, *record, "Hi"], env=ENVIRONMENT, capture_output=True, text=True, check=False)

    assert "of them without an answer: if that was not meant, delete the file" in done.stderr


# demo


def test_the_demo_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anywhere, without keys, it shows an outage survived, half an answer noticed and a recording replayed."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if "KEY" in name]:
        monkeypatch.delenv(name)

    result = run("demo")

    assert 0 == result.exit_code, result.output
    for wanted in (
        "1. Scripted: ",
        "2. Scripted: ",
        "3. Replayed: ",
        "IncompleteStreamError",
        "█",
        "Virtual time: 2.20 s",
    ):
        assert wanted in result.output
    assert "\x1b" not in result.output


@pytest.mark.parametrize(("variable", "coloured"), [("FORCE_COLOR", True), ("NO_COLOR", False)])
def test_colour_can_be_asked_for_and_refused(
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    coloured: bool,
) -> None:
    """In a pipe, and on a terminal, which `color=True` of the runner stands for."""
    monkeypatch.setenv(variable, "1")

    said = CliRunner().invoke(portkey_testing, ["show", str(CASSETTES / "agent" / "plain.yaml")], color=not coloured)

    assert coloured is ("\x1b[32m├─" in said.output)
    assert coloured is ("\x1b" in said.output)


# the terminal and the shell


def test_a_misspelt_command_is_recognised() -> None:
    """The nearest one is suggested; where none is near, all are listed."""
    near, far = run("shwo", "x"), run("launch")

    assert (2, 2) == (near.exit_code, far.exit_code)
    assert "there is no command 'shwo'; did you mean 'show'?" in near.output
    assert "there are: check, demo, record, serve, show, verify" in far.output


def test_help_tells_the_exit_statuses() -> None:
    """And where to start."""
    result = run("--help")

    assert 0 == result.exit_code
    assert "portkey-testing demo" in result.output
    assert "3 the gateway cannot be" in result.output


def test_a_reader_that_hangs_up_ends_the_command_quietly() -> None:
    """As `| head` does: no traceback, and a status that is not that of a finding."""
    with subprocess.Popen(
        [*COMMAND, "show", CASSETTES / "agent" / "plain.yaml"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()

    assert (141, b"") == (process.returncode, said)


def test_ctrl_c_has_a_status_of_its_own() -> None:
    """A check that was interrupted has found nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with subprocess.Popen(
            [*COMMAND, "verify", "--gateway", url, CASSETTES / "agent" / "plain.yaml"],
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stderr is not None
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                said = process.stderr.read()

    assert 130 == process.returncode, said
    assert b"Traceback" not in said


def test_an_old_encoding_gets_plain_signs(tmp_path: Path) -> None:
    """Trees are drawn with what there is, and JSON stays JSON."""
    file = tmp_path / "x.yaml"
    file.write_text((CASSETTES / "agent" / "plain.yaml").read_text().replace("21 degrees", "21 \N{DEGREE CELSIUS} 🌞"))
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "latin-1"}

    def shown(*options: str) -> str:
        command = [*COMMAND, "show", str(file), *options]
        return subprocess.run(command, env=environment, capture_output=True, check=True).stdout.decode("latin-1")

    assert "\n`- " in shown()
    (interaction,) = json.loads(shown("--json"))["interactions"]
    assert ["assistant: 21 \N{DEGREE CELSIUS} 🌞"] == interaction["says"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_progress_and_cut_lines_are_for_terminals() -> None:
    """A bar while something goes on, and trees that a narrow window does not fold; in a pipe no bar and whole lines."""
    check, show = ("check", CASSETTES), ("show", CASSETTES / "agent" / "plain.yaml")
    narrow = {**ENVIRONMENT, "COLUMNS": "40", "NO_COLOR": "1"}
    ours, theirs = os.openpty()
    try:
        subprocess.run([*COMMAND, *check], env=narrow, stdout=subprocess.DEVNULL, stderr=theirs, check=True)
        progress = os.read(ours, 4096)
        subprocess.run([*COMMAND, *show], env=narrow, stdout=theirs, check=True)
        tree = os.read(ours, 4096).decode().splitlines()
    finally:
        os.close(ours)
        os.close(theirs)
    piped = [
        subprocess.run([*COMMAND, *arguments], env=narrow, capture_output=True, check=True)
        for arguments in (check, show)
    ]

    assert b"judging cassettes" in progress
    assert 40 == max(len(line) for line in tree[1:])
    assert [b"", b""] == [done.stderr for done in piped]
    assert 40 < max(len(line) for line in piped[1].stdout.decode().splitlines())


# show


def test_show_draws_a_tree() -> None:
    """Plain text in a pipe: request, answer, what it says, and when."""
    result = run("show", CASSETTES / "agent" / "parallel_tool_calls.yaml")

    assert 0 == result.exit_code
    assert '│  calls get_weather({"location":"Bergen"})' in result.output
    assert "events in" in result.output
    assert "\x1b" not in result.output


def test_show_speaks_json_and_mermaid() -> None:
    """For programs, and for pull requests."""
    file = CASSETTES / "agent" / "fallback.yaml"

    (interaction,) = json.loads(run("show", "--json", file).output)["interactions"]
    diagram = run("show", "--mermaid", file).output

    assert (200, "anthropic", "config.targets[1]") == (
        interaction["status"],
        interaction["provider"],
        interaction["target"],
    )
    assert diagram.startswith("sequenceDiagram\n    participant application")


# check


def test_the_cassettes_of_this_repository_pass() -> None:
    """No errors: they load, fit the models, and hold no secret."""
    result = run("check", CASSETTES)

    assert 0 == result.exit_code, result.output
    assert "7 cassettes, 0 errors" in result.output


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("portkey_cassette: 1", "portkey_cassette: 99", "damaged"),
        ("\n...\n", "\n", "damaged"),
        ("content: '21 degrees'", f"content: '{KEY}'", "secret"),
        ("finish_reason: stop", "finish_reason: 5", "drift"),
        ("finish_reason: stop", "finish_reason: stop\n      mood: good", "drift"),
        ("recorded: '2026", "recorded: '2001", "expired"),
    ],
)
def test_a_fault_is_found_by_rule_and_place(tmp_path: Path, old: str, new: str, rule: str) -> None:
    """Each finding has its file, line and rule; warnings count as errors with --strict only."""
    original = (CASSETTES / "agent" / "plain.yaml").read_text()
    assert old in original
    file = tmp_path / "x.yaml"
    file.write_text(original.replace(old, new))

    result = run("check", "--json", "--max-age", "3650", tmp_path)
    strict = run("check", "--strict", "--max-age", "3650", file)

    (found,) = json.loads(result.output)["findings"]
    assert (str(file), rule) == (found["path"], found["rule"])
    assert (1 if found["level"] == "error" else 0) == result.exit_code
    assert 1 == strict.exit_code
    assert KEY not in strict.output


# verify


def test_verify_says_who_moved(tmp_path: Path, gateway: TinyGateway) -> None:
    """What the live answer lacks is a difference, and whether the models know of it is said; words are none."""
    result = run("verify", "--gateway", gateway.url, "--json", CASSETTES / "agent" / "plain.yaml")

    found = {entry["path"]: entry for entry in json.loads(result.output)["differences"]}
    assert 1 == result.exit_code
    usage = found["body.usage"]
    assert ("object", "absent", "know it") == (usage["cassette"], usage["live"], usage["models"])
    assert "The gateway no longer sends it" in usage["verdict"]
    assert not any("content" in path for path in found if path.startswith("body"))


def test_verify_finds_nothing_where_nothing_moved(tmp_path: Path, gateway: TinyGateway) -> None:
    """Sent with the credentials of the environment, the request gets the answer it was recorded with."""
    file = tmp_path / "x.yaml"
    record = ("record", "--gateway", gateway.url, "-o", str(file), "--", sys.executable, "-c", PROGRAM, "Hi")
    subprocess.run([*COMMAND, *record], env=ENVIRONMENT, capture_output=True, check=False)

    result = run("verify", "--gateway", gateway.url, "-H", "x-any: 1", file)

    assert 0 == result.exit_code, result.output
    assert "1" == gateway.requests[-1][1]["x-any"]


def test_a_gateway_that_is_not_there_ends_with_3() -> None:
    """Its own status, so that CI can tell it from a difference."""
    result = run("verify", "--gateway", "http://127.0.0.1:9/v1", CASSETTES / "agent" / "plain.yaml")

    assert 3 == result.exit_code
    assert "the gateway at http://127.0.0.1:9/v1 cannot be reached" in result.output


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("body.choices[*].message.content", True),
        ("body.choices[*].message.mood", False),
        ("body[*].choices", True),
        ("body", True),
        ("body.mood", False),
    ],
)
def test_the_models_know_their_fields(path: str, known: bool) -> None:
    """A path is looked up through lists and optional parts."""
    assert known == knows(ChatCompletions, path)


@pytest.mark.parametrize(("missing", "command"), [("click", "show"), ("uvicorn", "serve")])
def test_without_the_extra_it_says_what_to_install(tmp_path: Path, missing: str, command: str) -> None:
    """The command is installed with the client alone, too, and then needs more, at the start or for what it does."""
    (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError(name={missing!r})")
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}"}

    done = subprocess.run([*COMMAND, command], env=environment, capture_output=True, text=True, check=False)

    assert 2 == done.returncode
    assert f'portkey-testing needs {missing}, which comes with: pip install "portkey-testing[testing]"\n' == done.stderr
