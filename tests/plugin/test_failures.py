"""What a user sees when the fake fails a test."""

from __future__ import annotations

import re

import pytest

from tests.plugin.conftest import Run

UNSCRIPTED = "*no script answers openai config #1: model 'gpt-4o', plain, turn 1*"
UNUSED = "1 scripted reply was never used:"


def test_an_unscripted_request_fails_with_the_journal_and_the_seed(run: Run) -> None:
    """The report has the explanation, the line of the application, the journal and the seed, and no library frames."""
    result = run("def test_it(portkey_fake):\n    ask()\n", "--portkey-seed=7")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       ask()",
            "E *.UnscriptedRequest: no script answers openai config #1:*",
            "E *user: Weather?",
            "E *Script it, for example: fake.provider('openai').reply(...)*",
            "app.py:*: UnscriptedRequest",
            "*portkey_fake, seed 7*",
            "call 1 at 0.00 s: POST /v1/chat/completions gpt-4o",
            "FAILED test_app.py::test_it - *UnscriptedRequest*",
        ]
    )
    result.stdout.no_fnmatch_line("*site-packages*")
    result.stdout.no_fnmatch_line("*portkey_client/_*")


def test_an_error_of_the_client_has_no_frames_of_it(run: Run) -> None:
    """What the client raised says why; how it came to raise it is nobody's business."""
    result = run("def test_it(portkey_fake):\n    portkey_fake.reply(400)\n    ask()\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">       ask()", "E *BadRequestError: *", "app.py:*: BadRequestError"])
    result.stdout.no_fnmatch_line("*portkey_client/_*")


@pytest.mark.parametrize(("verbosity", "shown"), [("-v", False), ("-vv", True)])
def test_a_long_journal_is_abridged(run: Run, verbosity: str, shown: bool) -> None:
    """A report shows how it began and what came last, and says how to see the rest."""
    hint = "... 90 lines are left out; pytest -vv and print(portkey_fake.journal) show them ..."
    result = run(
        "def test_it(portkey_fake):\n    portkey_fake.always('Sunny')\n"
        "    for _ in range(70):\n        ask()\n    assert False\n",
        verbosity,
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["call 1 at *", "call 30 at *" if shown else hint, "call 70 at *"])


def test_a_full_traceback_is_there_on_request(run: Run) -> None:
    """`--full-trace` shows the frames that are otherwise left out."""
    result = run("def test_it(portkey_fake):\n    ask()\n", "--full-trace")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*httpx*_client.py:*"])


def test_an_unused_reply_fails_a_test_that_passed(run: Run) -> None:
    """It is a failed test, not an error beside a passed one, and names the line that scripted the reply."""
    result = run("def test_it(portkey_fake):\n    portkey_fake.reply('one', 'two')\n    ask()\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            UNUSED,
            "*text('two')*test_app.py:5",
            "*portkey_fake, seed 0*",
            "*text('one')",
            "FAILED test_app.py::test_it - *UnusedReplies*",
        ]
    )
    result.stdout.no_fnmatch_line("*_engine.py*")


def test_a_test_that_failed_anyway_lists_what_is_left_over(run: Run) -> None:
    """Its own failure stays the failure; the unused reply is told beside it, once, and fails nothing twice."""
    result = run("def test_it(portkey_fake):\n    portkey_fake.reply('one')\n    assert 1 == 2\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E       assert 1 == 2", "*portkey_fake, what else went wrong*", UNUSED])
    assert 1 == result.stdout.lines.count(UNUSED)


SWALLOWED = {
    "gather": "    asyncio.run(gathered())\n",
    "except": "    try:\n        ask()\n    except BaseException:\n        pass\n",
    "executor": (
        "    from concurrent.futures import ThreadPoolExecutor\n"
        "    with ThreadPoolExecutor() as pool:\n        pool.submit(ask)\n"
    ),
    "task": "    asyncio.run(forgotten())\n",
    "raises": "    with pytest.raises(BaseException):\n        ask()\n",
}

HELPERS = """
async def gathered():
    return await asyncio.gather(ask_async(), return_exceptions=True)

async def forgotten():
    task = asyncio.create_task(ask_async())
    await asyncio.wait([task])
    task.exception()

async def grouped():
    async with asyncio.TaskGroup() as group:
        group.create_task(ask_async())

"""


@pytest.mark.parametrize("body", SWALLOWED.values(), ids=SWALLOWED)
def test_a_swallowed_failure_fails_the_test_at_its_end(run: Run, body: str) -> None:
    """What a library or the application kept from the test is told all the same, once."""
    result = run(f"{HELPERS}def test_it(portkey_fake):\n{body}")

    result.assert_outcomes(failed=1)
    assert 1 == len(re.findall(r"^E? *(?:portkey_testing\S* )?no script answers", result.stdout.str(), re.MULTILINE))


def test_a_failure_in_a_thread_fails_the_test_at_its_end(run: Run) -> None:
    """A bare thread tells nobody but the fake, whose report shows where the thread called from."""
    result = run(
        "@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')\n"
        "def test_it(portkey_fake):\n    thread = threading.Thread(target=ask)\n    thread.start()\n    thread.join()\n"
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["app.py:*: UnscriptedRequest", "*portkey_fake, seed 0*"])


def test_a_failure_in_a_task_group_is_unwrapped(run: Run) -> None:
    """The report shows the failure itself, not the group around it."""
    result = run(f"{HELPERS}def test_it(portkey_fake):\n    asyncio.run(grouped())\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["app.py:*: UnscriptedRequest"])
    result.stdout.no_fnmatch_line("*ExceptionGroup*")


def test_a_group_that_holds_more_than_failures_of_the_fake_stays_as_it_is(run: Run) -> None:
    """The application's own error must not get lost, and the failure beside it is shown within the group."""
    result = run(
        "def test_it(portkey_fake):\n"
        "    try:\n        ask()\n    except BaseException as failure:\n"
        "        raise BaseExceptionGroup('two', [failure, ValueError('mine')])\n"
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*BaseExceptionGroup: two*", UNSCRIPTED, "*ValueError: mine*"])
    result.stdout.no_fnmatch_line("*what else went wrong*")


def test_a_failure_that_was_taken_for_a_result_is_the_outcome(run: Run) -> None:
    """A library that uses what it has gathered, as langchain does, falls over it; the test fails by the failure."""
    result = run(
        "async def first():\n"
        "    results = await asyncio.gather(ask_async(), return_exceptions=True)\n"
        "    return results[0].text\n\n"
        "def test_it(portkey_fake):\n    asyncio.run(first())\n"
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["app.py:*: UnscriptedRequest", "FAILED test_app.py::test_it - *UnscriptedRequest*"])
    result.stdout.no_fnmatch_line("*AttributeError*")
    result.stdout.no_fnmatch_line("*what else went wrong*")


def test_several_swallowed_failures_are_one_report(run: Run) -> None:
    """Each of them is in it, numbered."""
    result = run(
        "def test_it(portkey_fake):\n    portkey_fake.when(message='x').reply('never')\n"
        "    for _ in range(2):\n        try:\n            ask()\n        except BaseException:\n            pass\n"
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "3 failures of the fake gateway:",
            "1. UnscriptedRequest: *",
            "2. UnscriptedRequest: *",
            "3. UnusedReplies: 1 scripted reply was never used:",
        ]
    )


def test_an_assertion_that_fails_for_a_swallowed_failure_tells_it(run: Run) -> None:
    """The explanation stands beside the assertion it made fail."""
    result = run(f"{HELPERS}def test_it(portkey_fake):\n    assert ['x'] == asyncio.run(gathered())\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*AssertionError*", "*what else went wrong*", "no script answers openai config #1:*"])


def test_a_failure_that_is_the_cause_of_another_is_told_once(run: Run) -> None:
    """Causes are in the report without our help."""
    result = run(
        "def test_it(portkey_fake):\n    try:\n        ask()\n"
        "    except BaseException as failure:\n        raise RuntimeError('wrapped') from failure\n"
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([UNSCRIPTED, "*direct cause*", "E*RuntimeError: wrapped"])
    result.stdout.no_fnmatch_line("*what else went wrong*")


def test_an_error_raised_while_handling_failures_keeps_its_story(run: Run) -> None:
    """The one it was raised from is shown with it, as always, and the one before that beside it."""
    result = run(
        "def test_it(portkey_fake):\n    try:\n        ask('first')\n    except BaseException:\n        pass\n"
        "    try:\n        ask('second')\n    except BaseException:\n        raise RuntimeError('mine')\n"
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *user: second",
            "During handling of the above exception, another exception occurred:",
            "E*RuntimeError: mine",
            "*what else went wrong*",
            "    user: first",
            "*portkey_fake, seed 0*",
        ]
    )


def test_a_refused_request_fails_the_test_at_its_end(run: Run) -> None:
    """The application gets the provider's refusal, and the test learns that it would."""
    result = run(
        "def test_it(portkey_fake):\n    with pytest.raises(Exception, match='max_tokens: Field required'):\n"
        "        ask(provider='anthropic')\n"
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the provider would have refused this request with 400:*fake.allow(*"])


def test_a_failure_in_the_set_up_of_another_fixture_is_one_error(run: Run) -> None:
    """The journal is told there as well, and the tear-down adds nothing."""
    result = run(
        "@pytest.fixture\ndef answer(portkey_fake):\n    portkey_fake.when(message='other').reply('x')\n"
        "    return ask()\n\n\ndef test_it(answer):\n    pass\n"
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_it*", "*portkey_fake, seed 0*", "call 1 at 0.00 s:*"])


def test_a_failure_during_tear_down_is_an_error_of_the_tear_down(run: Run) -> None:
    """A request that another fixture makes after the test, and swallows, is told as well."""
    result = run(
        "@pytest.fixture\ndef late(portkey_fake):\n    yield\n    try:\n        ask()\n    except BaseException:\n"
        "        pass\n\n\ndef test_it(late):\n    pass\n"
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_it*", "*no script answers*", "*portkey_fake, seed 0*"])


def test_a_skipped_test_is_not_judged(run: Run) -> None:
    """Replies are left over where a test gave up half-way, and that is no failure."""
    result = run("def test_it(portkey_fake):\n    portkey_fake.reply('one')\n    pytest.skip('not today')\n")

    result.assert_outcomes(skipped=1)


def test_an_expected_failure_may_be_one_of_the_fake(run: Run) -> None:
    """An unused reply makes an `xfail` test fail as expected."""
    result = run("@pytest.mark.xfail\ndef test_it(portkey_fake):\n    portkey_fake.reply('one')\n")

    result.assert_outcomes(xfailed=1)


def test_one_test_does_not_answer_for_another(run: Run) -> None:
    """Each test has a fake of its own."""
    result = run(
        "def test_one(portkey_fake):\n    portkey_fake.reply('one')\n\n\n"
        "def test_two(portkey_fake):\n    portkey_fake.reply('two')\n    assert ask() == 'two'\n"
    )

    result.assert_outcomes(passed=1, failed=1)
