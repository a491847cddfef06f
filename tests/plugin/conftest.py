"""Small projects of users, and real pytest over them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import pytest

# Loaded once here: the runs within this process drop what they have loaded themselves, which takes time, and leaves the
# packages with some modules that are loaded twice.
MODULES = ("_recorded", "gateway", "mounts.aiohttp", "mounts.respx", "mounts.transport")
for module in ("httpcore2", "portkey_client", *(f"portkey_testing.{name}" for name in MODULES)):
    import_module(module)

APPLICATION = '''
"""The application under test."""

from portkey_client import AsyncPortkey, Portkey

def ask(question="Weather?", provider="openai"):
    messages = [{"role": "user", "content": question}]
    with Portkey(api_key="k", provider=provider) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=messages)
    return answer.choices[0].message.content

async def ask_async(question="Weather?"):
    messages = [{"role": "user", "content": question}]
    async with AsyncPortkey(api_key="k", provider="openai") as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=messages)
    return answer.choices[0].message.content
'''

HEAD = """
import asyncio, threading, unittest
import pytest
from app import ask, ask_async
"""

QUICK = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
"""Without plugins that take their time and have no part in this."""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest over one test module of a user, with an application beside it; `apart` in a process of its own."""
    monkeypatch.setenv("COLUMNS", "200")  # so that the summary is not cut short
    pytester.makepyfile(app=APPLICATION)
    pytester.makeini("[pytest]\n")
    pytester.syspathinsert()

    def run(tests: str, *arguments: str, apart: bool = False) -> pytest.RunResult:
        pytester.makepyfile(test_app=HEAD + tests)
        start = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
        return start(*QUICK, *arguments)

    return run
