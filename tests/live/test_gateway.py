"""Installing, starting and ending the real gateway."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.live import gateway as module
from tests.live.gateway import GatewayUnavailableError, RealGateway

ROOT = Path(__file__).resolve().parents[2]

FAKE_NPM = """#!/bin/sh
echo called >> "$0.calls"
mkdir -p node_modules/async-retry/lib node_modules/@portkey-ai/gateway/build
echo 'before; val = fn(bail, num); after' > node_modules/async-retry/lib/index.js
echo > node_modules/@portkey-ai/gateway/build/start-server.js
"""


def command(folder: Path, name: str, script: str) -> Path:
    """An executable file."""
    file = folder / name
    file.write_text(script)
    file.chmod(0o755)
    return file


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the only commands there are besides those of every system."""
    folder = tmp_path / "bin"
    folder.mkdir()
    # not /usr/bin: a Node.js may be there
    for name in ("sh", "mkdir", "cat"):
        (folder / name).symlink_to(next(Path(at, name) for at in ("/bin", "/usr/bin") if Path(at, name).exists()))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(module, "CACHE", tmp_path / "cache")
    return folder


@pytest.mark.usefixtures("path")
def test_a_missing_node_is_said_in_one_line() -> None:
    """Without Node.js the reason names what is missing, which version is needed and the command that goes on."""
    reason = RealGateway.unavailable()

    assert reason == (
        "the real gateway needs Node.js 18 or newer and no `node` is on PATH: install Node.js, "
        "then run scripts/gateway --install"
    )


def test_an_old_node_is_refused(path: Path) -> None:
    """A Node.js older than 18 is not good enough, and the reason says which one was found."""
    node = command(path, "node", "#!/bin/sh\necho v16.20.1\n")

    reason = RealGateway.unavailable()

    assert reason is not None
    assert f"{node} is v16.20.1" in reason


def test_a_missing_npm_is_said_while_it_is_needed(path: Path) -> None:
    """The installer is asked for as long as the gateway is not installed."""
    command(path, "node", "#!/bin/sh\necho v20.1.0\n")

    reason = RealGateway.unavailable()

    assert reason is not None
    assert "no `npm` is on PATH" in reason


def test_installing_patches_and_happens_once(path: Path) -> None:
    """The dependency is patched as in the container image, and a second call finds all in place."""
    npm = command(path, "npm", FAKE_NPM)

    entry = RealGateway.install()
    again = RealGateway.install()

    assert entry == again
    assert RealGateway.installed()
    assert Path(f"{npm}.calls").read_text() == "called\n"
    patched = entry.parents[3] / "async-retry/lib/index.js"
    assert patched.read_text() == "before; val = fn(bail, num, op); after\n"


def test_a_failing_npm_is_reported_with_its_words(path: Path) -> None:
    """When npm fails nothing counts as installed, and the error carries what npm said."""
    command(path, "npm", "#!/bin/sh\necho ENOTFOUND some.host >&2\nexit 7\n")

    with pytest.raises(GatewayUnavailableError, match=r"(?s)code 7.*ENOTFOUND some\.host"):
        RealGateway.install()

    assert not RealGateway.installed()


def test_pins_that_no_longer_fit_the_patch_are_an_error(path: Path) -> None:
    """A dependency without the line to patch is refused, instead of running unpatched."""
    command(path, "npm", FAKE_NPM.replace("fn(bail, num)", "fn(other)"))

    with pytest.raises(GatewayUnavailableError, match="exactly once"):
        RealGateway.install()

    assert not RealGateway.installed()


@pytest.mark.live
def test_a_taken_port_is_named(gateway: RealGateway) -> None:
    """A port somebody listens on is refused before anything is started."""
    with (
        pytest.raises(GatewayUnavailableError, match=f"port {gateway.port} of 127.0.0.1"),
        RealGateway(port=gateway.port),
    ):
        pytest.fail("started on a port that is taken")


@pytest.mark.live
@pytest.mark.usefixtures("gateway")
def test_the_gateway_ends_with_a_process_that_is_killed() -> None:
    """A killed parent cannot stop its gateway, so the gateway notices and closes its connections."""
    program = (
        "import sys; from tests.live.gateway import RealGateway\n"
        "with RealGateway() as gateway: print(gateway.port, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            parent.kill()

            assert connection.recv(1) == b""


@pytest.mark.live
@pytest.mark.usefixtures("gateway")
def test_the_command_serves_from_any_folder_until_it_is_ended(tmp_path: Path) -> None:
    """`scripts/gateway` prints URLs that work, plays the given script and ends cleanly when asked to."""
    script = tmp_path / "steps.yaml"
    script.write_text("a:\n- {kind: openai, text: from a file}\n")
    with subprocess.Popen(
        # what scripts/gateway does after it has seen to the environment
        [sys.executable, "-P", "-m", "tests.live", "--port", "0", "--script", script.name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        try:
            base_url = running.stdout.readline().split()[-1]
            custom_host = running.stdout.readline().split()[-1]
            answer = httpx.post(
                f"{base_url}/chat/completions",
                headers={
                    "x-portkey-provider": "openai",
                    "authorization": "Bearer any",
                    "x-portkey-custom-host": custom_host,
                },
                json={"model": "m", "messages": []},
                trust_env=False,
            )
        finally:
            running.send_signal(signal.SIGTERM)
        running.communicate(timeout=10)

    assert answer.json()["choices"][0]["message"]["content"] == "from a file"
    assert running.returncode == 0
