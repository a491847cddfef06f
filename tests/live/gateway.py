"""The real gateway as a process: installed from its npm package, started on loopback, stopped for sure.

What runs is Portkey's open-source gateway with the dependency versions of its container image, which
`gateway-package.json` pins. A plain `npx @portkey-ai/gateway` is not the same: its dependencies float, and with the
newest ones it answers streams with a 500.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

HERE: Final = Path(__file__).resolve().parent
PINS: Final = HERE / "gateway-package.json"
PRELOAD: Final = HERE / "preload.cjs"
CACHE: Final = HERE.parents[1] / ".gateway"
ENTRY: Final = Path("node_modules/@portkey-ai/gateway/build/start-server.js")
INSTALL_COMMAND: Final = "scripts/gateway --install"

# The image patches async-retry 1.3.3: the gateway's callback takes the operation as a third argument, and
# `use_retry_after_header` crashes without it.
PATCHED: Final = Path("node_modules/async-retry/lib/index.js")
PATCH: Final = ("val = fn(bail, num);", "val = fn(bail, num, op);")

OLDEST_NODE: Final = 18
INSTALL_TIMEOUT_S: Final = 300.0
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.02
# the gateway takes settings from its environment, so it gets no more of ours than a program needs to run
PASSED_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")


class GatewayUnavailableError(RuntimeError):
    """The real gateway cannot be installed or started here; the text says what to do about it."""


class RealGateway:
    """One gateway process; runs between entering and leaving its context, and installs itself if need be.

    It ends with this process even when that is killed.

    Parameters:
        port: Port on 127.0.0.1; 0 takes any free one.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @staticmethod
    def unavailable() -> str | None:
        """Why the gateway cannot run on this machine, in one line; None when it can, if need be after installing."""
        try:
            _node()
            if not RealGateway.installed():
                _npm()
        except GatewayUnavailableError as error:
            return str(error)
        return None

    @staticmethod
    def installed() -> bool:
        """Whether the pinned gateway is in the cache, so that starting it needs no network."""
        return (_home() / ENTRY).exists()

    @staticmethod
    def version() -> str:
        """The version of the gateway that is pinned."""
        return str(json.loads(PINS.read_text())["dependencies"]["@portkey-ai/gateway"])

    @staticmethod
    def install() -> Path:
        """Install the pinned gateway unless it is there, and return its entry script.

        Raises:
            GatewayUnavailableError: npm is missing or failed.
        """
        home = _home()
        CACHE.mkdir(exist_ok=True)
        # several test workers may get here at once
        with (CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not home.exists():
                partial = home.with_suffix(".partial")
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                _npm_install(partial)
                _patch(partial / PATCHED)
                partial.rename(home)
        return home / ENTRY

    @property
    def url(self) -> str:
        """Root URL, without `/v1`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What a client is given as its base URL."""
        return f"{self.url}/v1"

    def __enter__(self) -> Self:
        node, entry = _node(), self.install()
        self.port = _free_port(self.port)
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [node, "--require", PRELOAD, entry, f"--port={self.port}", "--headless"],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=entry.parent,
            env={name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ},
        )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def wait(self) -> None:
        """Wait for as long as the gateway runs.

        Raises:
            GatewayUnavailableError: it ended by itself.
        """
        if self._process is None:
            raise RuntimeError("the gateway is not running: enter its context first")
        code = self._process.wait()
        raise GatewayUnavailableError(f"the gateway ended by itself with code {code}:\n{_tail(self.log())}")

    def log(self) -> str:
        """What the process has printed so far."""
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(self.port):
            if process.poll() is not None:
                raise GatewayUnavailableError(
                    f"the gateway ended with code {process.returncode} instead of listening on port {self.port}:\n"
                    f"{_tail(self.log())}"
                )
            if time.monotonic() > deadline:
                raise GatewayUnavailableError(
                    f"the gateway did not answer GET {self.url}/ within {START_TIMEOUT_S:g} s:\n{_tail(self.log())}"
                )
            time.sleep(POLL_S)

    def _stop(self) -> None:
        process, log = self._process, self._log
        self._process = self._log = None
        if process is not None:
            process.terminate()
            try:
                process.communicate(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        if log is not None:
            log.close()


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise GatewayUnavailableError(
            f"the real gateway needs Node.js {OLDEST_NODE} or newer and no `node` is on PATH: install Node.js, "
            f"then run {INSTALL_COMMAND}"
        )
    printed = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    version = re.match(r"v(\d+)\.", printed)
    if version is None or int(version[1]) < OLDEST_NODE:
        raise GatewayUnavailableError(
            f"the real gateway needs Node.js {OLDEST_NODE} or newer, and {node} is {printed or 'broken'}: update "
            f"Node.js, then run {INSTALL_COMMAND}"
        )
    return node


def _npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise GatewayUnavailableError(
            f"the real gateway is installed with npm and no `npm` is on PATH: install it (it comes with Node.js), "
            f"then run {INSTALL_COMMAND}"
        )
    return npm


def _home() -> Path:
    """Where the pinned gateway is, or will be; another folder for every change of the pins or of the patch."""
    pinned = hashlib.sha256(PINS.read_bytes() + repr((PATCHED, PATCH)).encode())
    return CACHE / pinned.hexdigest()[:16]


def _npm_install(folder: Path) -> None:
    shutil.copy(PINS, folder / "package.json")
    command = [_npm(), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise GatewayUnavailableError(
            f"npm did not install the gateway within {INSTALL_TIMEOUT_S:g} s: see to the network, "
            f"then run {INSTALL_COMMAND}"
        ) from None
    if done.returncode:
        raise GatewayUnavailableError(
            f"npm could not install the gateway (code {done.returncode}): see to what it says, "
            f"then run {INSTALL_COMMAND}\n{_tail(done.stdout)}"
        )


def _patch(file: Path) -> None:
    before, after = PATCH
    source = file.read_text()
    if source.count(before) != 1:
        raise GatewayUnavailableError(
            f"expected {before!r} exactly once in {file}, found it {source.count(before)} times: the pins in {PINS} "
            f"have changed, so the patch in {__file__} must follow"
        )
    file.write_text(source.replace(before, after))


def _free_port(wanted: int) -> int:
    """`wanted` if nothing listens there, any free port for 0."""
    with socket.socket() as probe:
        # as the gateway will bind: a port that only waits out its last connections counts as free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except (OSError, OverflowError) as error:  # the second for a number that no port has
            raise GatewayUnavailableError(
                f"port {wanted} of 127.0.0.1 cannot be used ({error}): name another one, or 0 for any free one"
            ) from None
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    # not through a client library: those honour proxy settings of the environment
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tail(text: str, lines: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
