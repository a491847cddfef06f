"""The fixture, its configuration, and its life beside other plugins."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import QUICK, Run

FALLS = "def test_it(portkey_fake):\n    portkey_fake.reply('Sunny')\n    assert ask() == 'Sunny'\n"


def test_the_fixture_comes_with_the_package(run: Run) -> None:
    """Nothing has to be imported or registered."""
    run(FALLS).assert_outcomes(passed=1)


def test_an_unused_fixture_loads_nothing(pytester: pytest.Pytester) -> None:
    """A pytest run that does not use the fixture never loads the fake or the client."""
    pytester.makepyfile(
        "import sys\n\ndef test_it():\n    ours = [name for name in sys.modules if name.startswith('portkey_')]\n"
        "    assert sorted(ours) == ['portkey_testing', 'portkey_testing.plugin']\n"
        "    assert not {'httpx', 'httpcore', 'pydantic', 'yaml', 'jsonschema'} & set(sys.modules)\n"
    )

    # Without the plugins of others that load these themselves.
    others = ("respx", "anyio", "hypothesispytest", "pytest_cov", "xdist")
    result = pytester.runpytest_subprocess(*(part for name in others for part in ("-p", f"no:{name}")))

    result.assert_outcomes(passed=1)


def test_help_describes_options_and_ini_keys(pytester: pytest.Pytester) -> None:
    """`pytest --help` is the reference of both."""
    result = pytester.runpytest_inprocess(*QUICK, "--help")

    result.stdout.fnmatch_lines(
        [
            "fake Portkey gateway:",
            "*--portkey-seed=N*",
            "*portkey_cassettes (string):*",
            "*portkey_gateway_urls (linelist):*",
            "*portkey_allow_hosts (linelist):*",
        ]
    )


def test_markers_describes_ours(pytester: pytest.Pytester) -> None:
    """`pytest --markers` tells what the marker does and which name it defaults to."""
    result = pytester.runpytest_inprocess(*QUICK, "--markers")

    result.stdout.fnmatch_lines(
        ["@pytest.mark.portkey_cassette(name=None, max_age=None): replay a recorded cassette*MODULE/TEST.yaml*"]
    )


def test_fixtures_describes_ours(pytester: pytest.Pytester) -> None:
    """`pytest --fixtures` lists the fixture and the two that configure it, each with a sentence."""
    result = pytester.runpytest_inprocess(*QUICK, "--fixtures")

    result.stdout.fnmatch_lines_random(
        [
            "portkey_fake -- *",
            "portkey_settings *-- *",
            "portkey_cassette_dir *-- *",
            "    A fake Portkey gateway that answers*",
        ]
    )


def test_an_ordinary_run_has_no_header_of_ours(run: Run) -> None:
    """The header tells what sets a run apart."""
    run(FALLS).stdout.no_fnmatch_line("portkey: *")


def test_the_header_tells_what_sets_a_run_apart(run: Run, pytester: pytest.Pytester) -> None:
    """Seed, cassette folder and allowed hosts are in the header, and the seed reaches the fake."""
    pytester.mkdir("tapes")
    pytester.makeini("[pytest]\nportkey_cassettes = tapes\nportkey_allow_hosts =\n    *.corp.example\n    10.0.0.1\n")

    result = run("def test_it(portkey_fake):\n    assert portkey_fake.seed == 7\n", "--portkey-seed=7")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [f"portkey: seed 7, cassettes in {pytester.path}/tapes, allowed hosts *.corp.example 10.0.0.1"]
    )


def test_a_gateway_of_ones_own_is_declared_once(run: Run, pytester: pytest.Pytester) -> None:
    """Requests to a URL of the ini key are the gateway's, whatever headers they have; others are not."""
    pytester.makeini("[pytest]\nportkey_gateway_urls = https://llm.corp.example/v1\n")

    result = run(
        "import httpx\n\n\n@pytest.mark.parametrize('host', ['llm.corp.example', 'other.corp.example'])\n"
        "def test_it(portkey_fake, host):\n    portkey_fake.default_provider('openai')\n"
        "    portkey_fake.always('Sunny')\n"
        "    body = {'model': 'gpt-4o', 'messages': [{'role': 'user', 'content': 'Hi'}]}\n"
        "    assert httpx.post(f'https://{host}/v1/chat/completions', json=body).status_code == 200\n"
    )

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E*EscapedRequest: POST https://other.corp.example/*portkey_gateway_urls*"])


def test_settings_can_be_overridden(run: Run) -> None:
    """A fixture of the user's configures the fake, in any scope; the command line goes before its seed."""
    result = run(
        "@pytest.fixture\ndef portkey_settings():\n    return {'seed': 3, 'edition': 'open-source'}\n\n\n"
        "def test_it(portkey_fake, request):\n"
        "    assert portkey_fake.edition == 'open-source'\n"
        "    assert portkey_fake.seed == (request.config.getoption('--portkey-seed') or 3)\n"
    )

    result.assert_outcomes(passed=1)


def test_the_seed_of_the_command_line_goes_before_the_settings(run: Run) -> None:
    """What reproduces a failure works whatever the project configures."""
    result = run(
        "@pytest.fixture\ndef portkey_settings():\n    return {'seed': 3}\n\n\n"
        "def test_it(portkey_fake):\n    assert portkey_fake.seed == 7\n",
        "--portkey-seed=7",
    )

    result.assert_outcomes(passed=1)


def test_settings_may_hold_for_a_package(run: Run, pytester: pytest.Pytester) -> None:
    """A `conftest.py` configures the tests beside and below it, and no others."""
    pytester.makepyfile(
        **{
            "unit/__init__": "",
            "unit/conftest": (
                "import pytest\n\n@pytest.fixture(scope='package')\ndef portkey_settings():\n    return {'seed': 3}\n"
            ),
            "unit/deep/__init__": "",
            "unit/deep/test_it": "def test_below(portkey_fake):\n    assert portkey_fake.seed == 3\n",
        }
    )

    run("def test_beside(portkey_fake):\n    assert portkey_fake.seed == 0\n").assert_outcomes(passed=2)


@pytest.mark.parametrize("allowed", [True, False])
def test_hosts_are_allowed_by_name(run: Run, pytester: pytest.Pytester, allowed: bool) -> None:
    """The ini key names them once for all tests; the connection is made to an address."""
    pytester.makeini(f"[pytest]\nportkey_allow_hosts = {'*.corp.example' if allowed else 'other.example'}\n")

    result = run(
        "import socket, urllib.request\n\n\n@pytest.fixture(autouse=True)\ndef network(monkeypatch):\n"
        "    def connect(self, address):\n        raise ConnectionRefusedError(address)\n"
        "    found = socket.getaddrinfo('203.0.114.7', 80, type=socket.SOCK_STREAM)\n"
        "    monkeypatch.setattr(socket, 'getaddrinfo', lambda *_, **options: found)\n"
        "    monkeypatch.setattr(socket.socket, 'connect', connect)\n\n\n"
        "def test_it(network, portkey_fake):\n    with pytest.raises(OSError, match='203.0.114.7'):\n"
        "        urllib.request.urlopen('http://llm.corp.example/')\n"
    )

    result.assert_outcomes(passed=int(allowed), failed=int(not allowed))
    if not allowed:
        result.stdout.fnmatch_lines(["E*EscapedRequest: a connection to llm.corp.example *test_app.py:*"])


def test_a_wrong_setting_is_an_error_that_names_it(run: Run) -> None:
    """Settings are the keyword arguments of `FakeGateway`."""
    result = run("@pytest.fixture\ndef portkey_settings():\n    return {'sead': 3}\n\n\n" + FALLS)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E*TypeError*unexpected keyword argument 'sead'*"])


def test_a_seed_that_is_no_number_is_refused(run: Run) -> None:
    """The command line says what it wants."""
    result = run(FALLS, "--portkey-seed=abc")

    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines(["*argument --portkey-seed: invalid int value: 'abc'*"])


def test_another_fixture_may_use_the_fake(run: Run) -> None:
    """A test sees the same fake as its fixtures, also when one asks for it by name, and is judged by it."""
    result = run(
        "@pytest.fixture\ndef sunny(request):\n    fake = request.getfixturevalue('portkey_fake')\n"
        "    fake.reply('Sunny')\n    return fake\n\n\n"
        "def test_used(sunny, portkey_fake):\n    assert sunny is portkey_fake\n    assert ask() == 'Sunny'\n\n\n"
        "def test_unused(sunny):\n    pass\n"
    )

    result.assert_outcomes(passed=1, failed=1)


def test_a_fake_is_not_scripted_after_its_test(run: Run) -> None:
    """It would answer nobody: whoever kept it is told whose it was, and how several tests share one."""
    result = run(
        """
KEPT = []

def test_one(portkey_fake):
    KEPT.extend([portkey_fake, portkey_fake.provider("openai")])

def test_two(portkey_fake):
    fake, handle = KEPT
    for script in (fake.reply, fake.always, fake.gateway.reply, fake.when(message="Oslo").reply, handle.reply):
        with pytest.raises(RuntimeError, match=r"test_app.py::test_one, which is over: .*FakeGateway\\(\\).mount"):
            script("Sunny")
    portkey_fake.reply("Sunny")
    assert ask() == "Sunny"
"""
    )

    result.assert_outcomes(passed=2)


def test_a_fake_for_a_whole_module_can_be_mounted_around_the_fixture(run: Run) -> None:
    """A wider scope is a fixture of the user's; the innermost fake answers, and afterwards the outer one again."""
    result = run(
        "from portkey_testing import FakeGateway\n\n\n"
        "@pytest.fixture(scope='module', autouse=True)\ndef whole_module():\n"
        "    with FakeGateway().mount() as fake:\n        fake.always('outer')\n        yield fake\n\n\n"
        "def test_one():\n    assert ask() == 'outer'\n\n\n"
        "def test_two(portkey_fake):\n    portkey_fake.reply('inner')\n    assert ask() == 'inner'\n\n\n"
        "def test_three():\n    assert ask() == 'outer'\n"
    )

    result.assert_outcomes(passed=3)


UNITTEST = """
@pytest.mark.usefixtures("portkey_fake")
class TestMarked(unittest.TestCase):
    def test_unscripted(self):
        ask()

class TestAutouse(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def keep(self, portkey_fake):
        self.fake = portkey_fake

    def test_passes(self):
        self.fake.reply("Sunny")
        self.assertEqual(ask(), "Sunny")

    def test_unused(self):
        self.fake.reply("Sunny")

    def test_fails_anyway(self):
        self.fake.reply("left over")
        self.assertEqual(1, 2)
"""


def test_unittest_classes_are_judged_alike(run: Run) -> None:
    """A `TestCase` gets the same failures, the same short report and the same leftovers."""
    result = run(UNITTEST)

    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(["app.py:*: UnscriptedRequest"])
    result.stdout.fnmatch_lines_random(["*UnusedReplies*", "*text('left over')*", "E*AssertionError: 1 != 2"])
    result.stdout.no_fnmatch_line("*site-packages/httpx*")


def test_asynchronous_unittest_classes_are_judged_alike(run: Run) -> None:
    """A failure that a task group wraps is told unwrapped there, too."""
    result = run(
        "class TestApp(unittest.IsolatedAsyncioTestCase):\n"
        "    @pytest.fixture(autouse=True)\n    def keep(self, portkey_fake):\n        self.fake = portkey_fake\n\n"
        "    async def test_passes(self):\n        self.fake.reply('Sunny')\n"
        "        self.assertEqual('Sunny', await ask_async())\n\n"
        "    async def test_grouped(self):\n        async with asyncio.TaskGroup() as group:\n"
        "            group.create_task(ask_async())\n"
    )

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["app.py:*: UnscriptedRequest"])
    result.stdout.no_fnmatch_line("*ExceptionGroup: *")


ASYNC = """
@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

@pytest.mark.anyio
async def test_passes(portkey_fake):
    portkey_fake.reply("Sunny")
    assert await ask_async() == "Sunny"

@pytest.mark.anyio
async def test_unscripted(portkey_fake):
    await ask_async()

@pytest.mark.anyio
async def test_unused(portkey_fake):
    portkey_fake.reply("Sunny")
"""


def test_anyio_tests_are_judged_alike(run: Run) -> None:
    """Coroutine tests fail and pass like others, on asyncio and trio."""
    # In a process of its own: anyio leaves a task behind whose failure asyncio logs whenever it is collected.
    result = run(ASYNC, apart=True)

    result.assert_outcomes(passed=2, failed=4)
    result.stdout.fnmatch_lines_random(["app.py:*: UnscriptedRequest", "FAILED *test_unused?trio? - *UnusedReplies*"])
    result.stdout.no_fnmatch_line("*site-packages*")


@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="pytest has them since 9.0")
def test_subtests_are_judged_once(run: Run) -> None:
    """A failure within a subtest is told there, with the journal, and not again at the end of the test."""
    result = run(
        "def test_it(portkey_fake, subtests):\n    with subtests.test(msg='one'):\n        ask()\n"
        "    with subtests.test(msg='two'):\n        portkey_fake.reply('Sunny')\n        assert ask() == 'Sunny'\n"
    )

    result.stdout.fnmatch_lines(["app.py:*: UnscriptedRequest", "*portkey_fake, seed 0*"])
    assert 1 == len([line for line in result.stdout.lines if line.startswith("E ") and "no script answers" in line])


def test_workers_agree_with_one_process(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under pytest-xdist the same tests pass and fail, with the same seeds in their reports."""
    tests = (
        "@pytest.mark.parametrize('place', ['Oslo', 'Bergen', 'Rome', 'Paris'])\ndef test_it(portkey_fake, place):\n"
        "    portkey_fake.reply('Sunny')\n    if place != 'Rome':\n        ask(place)\n"
    )

    one = run(tests, "--portkey-seed=5")
    # In a process of its own: these tests may run under pytest-xdist themselves.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    two = run(tests, "--portkey-seed=5", "-n", "2", "--dist", "load", apart=True)

    for result in (one, two):
        result.assert_outcomes(passed=3, failed=1)
        result.stdout.fnmatch_lines(
            ["*test_it?Rome? *", "*portkey_fake, seed 5*", "FAILED *test_it?Rome? - *UnusedReplies*"]
        )


@pytest.mark.parametrize(
    "option", ["--import-mode=importlib", "--doctest-modules", "--strict-markers", "--strict-config"]
)
def test_options_of_pytest_make_no_difference(run: Run, option: str) -> None:
    """However modules are imported and whatever is collected beside tests."""
    run(f"@pytest.mark.usefixtures('portkey_fake')\n{FALLS}", option).assert_outcomes(passed=1)


def test_collecting_starts_nothing(run: Run) -> None:
    """`--collect-only` lists a test with a missing cassette like any other."""
    result = run("@pytest.mark.portkey_cassette\n" + FALLS, "--collect-only", "-q")

    result.stdout.fnmatch_lines(["test_app.py::test_it", "1 test collected*"])


def test_the_plugin_can_be_switched_off(run: Run) -> None:
    """`-p no:portkey_testing` leaves a pytest that has never heard of it."""
    result = run(FALLS, "-p", "no:portkey_testing")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'portkey_fake' not found"])


@pytest.mark.parametrize("name", ["respx", "anyio", "xdist", "unittest", "threadexception"])
def test_other_plugins_may_be_switched_off(run: Run, name: str) -> None:
    """The fixture needs no other plugin, not even that of the library it mounts with."""
    run(FALLS, "-p", f"no:{name}").assert_outcomes(passed=1)


def test_respx_of_the_user_works_beside_the_fixture(run: Run) -> None:
    """`respx_mock` answers what is not the gateway's, in either order."""
    body = (
        "    respx_mock.get('https://api.example.com/').respond(json={'ok': True})\n    portkey_fake.reply('Sunny')\n"
        "    assert ask() == 'Sunny'\n    assert httpx.get('https://api.example.com/').json() == {'ok': True}\n"
    )

    result = run(
        f"import httpx\n\n\ndef test_ours_first(portkey_fake, respx_mock):\n{body}\n\n"
        f"def test_theirs_first(respx_mock, portkey_fake):\n{body}"
    )

    result.assert_outcomes(passed=2)


def test_a_missing_extra_is_named(pytester: pytest.Pytester) -> None:
    """Where the `testing` extra is not installed, the fixture says what to install."""
    pytester.makeconftest("import sys\n\nsys.modules['jsonschema'] = None\n")
    pytester.makepyfile("def test_it(portkey_fake):\n    pass\n")

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ['portkey_fake needs jsonschema, which comes with: pip install "portkey-testing?testing?"']
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_an_old_pytest_is_named(pytester: pytest.Pytester) -> None:
    """What the fixture needs beside the extra is said in the same way; tests without it run."""
    pytester.makeconftest("import pytest\n\npytest.__version__, pytest.version_tuple = '8.1.2', (8, 1, 2)\n")
    pytester.makepyfile(
        "import pytest\n\ndef test_without():\n    pass\n\n"
        "@pytest.mark.portkey_cassette\ndef test_it(portkey_fake):\n    pass\n"
    )

    result = pytester.runpytest_subprocess(*QUICK)

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["portkey_fake needs pytest 8.2 or newer, not 8.1.2: pip install --upgrade pytest"])
