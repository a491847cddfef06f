"""Files: where a cassette lies, reading it safely, and changing it so that it is always whole.

A change is made on a copy that then takes the file's place in one step, under a lock that other processes respect. So a
reader sees the old file or the new one, a kill leaves one of them, and two recorders lose nothing. An interaction that
is added while a recording goes on is written behind the end of the file instead, or thousands would cost the square of
their number: what stands before it is untouched, and it counts once it is whole.

The locks lie in the system's temporary folder, not beside the cassettes; processes on different machines that share a
folder do not see them. A lock also holds which session left the file as it is, which is how the next one knows that it
is whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from portkey_testing.cassettes import codec
from portkey_testing.cassettes.model import Cassette, CassetteError

MAX_SIZE: Final = 256 * 2**20
"""Bytes of the largest file that is read."""

SUFFIX: Final = ".yaml"
_MAX_NAME: Final = 120
_RESERVED: Final = re.compile(r"(?i)(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)")


def located(folder: str | Path, name: str) -> Path:
    """The file of the cassette `name`, such as `chat/weather`, inside `folder`.

    Raises:
        CassetteError: the name leads out of the folder, or is none.
    """
    if not name or "\0" in name or "\n" in name:
        raise CassetteError(f"expected the name of a cassette, got {name!r}")
    relative = Path(name if name.endswith(SUFFIX) else name + SUFFIX)
    if relative.is_absolute() or re.match(r"[A-Za-z]:|[\\/]", name) or ".." in re.split(r"[\\/]", name):
        raise CassetteError(f"the cassette {name!r} would lie outside {folder}; give a name inside it")
    path = Path(folder) / relative
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder)):
        raise CassetteError(f"the cassette {name!r} would lie outside {folder}, behind a symbolic link")
    return path


def name_of(*parts: str) -> str:
    """A cassette name made from free texts such as a module, a class and a test with its parameters.

    Every file system takes it, and different texts give different names: what has to be replaced or cut off comes back
    as a hash of the whole.
    """
    return "/".join(map(_file_name, parts))


def _file_name(text: str) -> str:
    plain = unicodedata.normalize("NFC", text)
    name = re.sub(r"[^\w.\[\]=,+@-]|\.(?=\.)", "_", plain)
    name = re.sub(r"^[-.]|[. ]\Z", "_", name)
    if _RESERVED.match(name):
        name = "_" + name
    if name == plain and name and len(name.encode()) <= _MAX_NAME:
        return name
    mark = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    short = name.encode()[: _MAX_NAME - 11].decode("utf-8", "ignore")
    return f"{short or '_'}-{mark}"


def read(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        CassetteError: there is none, it is no ordinary file, or it is larger than `MAX_SIZE`.
    """
    try:
        # Opening a FIFO would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise CassetteError("there is no such cassette; record it: pytest --portkey-record=once", path=path) from None
    except (OSError, ValueError) as error:
        raise CassetteError(f"cannot be opened: {_reason(error)}", path=path) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CassetteError("expected an ordinary file", path=path)
        if status.st_size > MAX_SIZE:
            raise CassetteError(
                f"the file has {status.st_size >> 20} MiB, and {MAX_SIZE >> 20} is the most that is read", path=path
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_SIZE + 1)
    finally:
        os.close(descriptor)


def load(path: str | Path) -> Cassette:
    """Everything in a cassette, each stream checked against its message.

    Raises:
        CassetteError: there is none, or anything in it is not what the format says.
    """
    return codec.decode(read(Path(path)), Path(path))


class Change(Protocol):
    """Makes the new bytes of a file from the old ones."""

    def __call__(self, old: bytes | None, *, known: bool) -> bytes: ...


def append(path: Path, data: bytes, session: str) -> bool:
    """Add to the end of the file, if nobody has changed it since `session` did; whether that was so.

    Raises:
        CassetteError: the file cannot be written; it is as it was.
    """
    try:
        with _locked(path) as lock:
            left = _left_by(session, path)
            if not left or lock.read() != left:
                return False
            _check_target(path)
            _append(path, data)
            lock.write(_left_by(session, path))
            return True
    except OSError as error:
        raise CassetteError(f"cannot be written: {_reason(error)}", path=path) from error


def update(path: Path, change: Change, session: str) -> None:
    """Replace the file by `change(old, known)`, in one step, unless that is the same.

    `old` is what is there, None if nothing is. `known` says whether the file was already changed in `session`, by any
    process.

    Raises:
        CassetteError: the file cannot be replaced; it is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as lock:
            _check_target(path)
            old = read(path) if path.exists() else None
            known = lock.read().startswith(_mark(session))
            new = change(old, known=known)
            if new != old:
                _check_size(path, len(new))
                _replace(path, new)
            lock.write(_left_by(session, path))
    except OSError as error:
        raise CassetteError(f"cannot be written: {_reason(error)}", path=path) from error


def _left_by(session: str, path: Path) -> bytes:
    """What tells the file as it is from one that was changed since."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return b""
    return _mark(session) + f" {status.st_ino} {status.st_size} {status.st_mtime_ns}".encode()


def _mark(session: str) -> bytes:
    return hashlib.sha256(session.encode()).hexdigest().encode()


def _check_size(path: Path, size: int) -> None:
    if size > MAX_SIZE:
        raise CassetteError(
            f"the file would have {size >> 20} MiB, and {MAX_SIZE >> 20} is the most that is read: record into several",
            path=path,
        )


def _check_target(path: Path) -> None:
    if path.is_symlink():
        raise CassetteError("the cassette is a symbolic link; a recording is not written through it", path=path)
    if path.exists():
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise CassetteError("expected an ordinary file", path=path)
        if not mode & stat.S_IWUSR:
            raise CassetteError("the file is read-only", path=path)
        return
    # Two tests whose names differ in case only would share one file on some systems, and lose it to each other.
    folded = path.name.casefold()
    for other in path.parent.iterdir():
        if other.name != path.name and unicodedata.normalize("NFC", other.name).casefold() == folded:
            raise CassetteError(
                f"{other.name} differs from it in case only, and some file systems take the two for one: rename a test",
                path=path,
            )


def _append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
    try:
        size = os.fstat(descriptor).st_size
        _check_size(path, size + len(data))
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:60]}.", suffix=".tmp", dir=path.parent)
    copy = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        if os.name == "posix":
            copy.chmod(0o644 & ~_umask())
        copy.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            copy.unlink()
        raise


def _umask() -> int:
    # There is no way to ask for it without setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_ROOM: Final = 200
"""Bytes that a lock has for the last change."""


class _Lock:
    """A locked file, and a few bytes in it about the last change."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> bytes:
        os.lseek(self._descriptor, 1, os.SEEK_SET)
        return os.read(self._descriptor, _ROOM).rstrip(b"\0")

    def write(self, data: bytes) -> None:
        os.lseek(self._descriptor, 1, os.SEEK_SET)  # the first byte is what is locked
        os.write(self._descriptor, data.ljust(_ROOM, b"\0"))


@contextmanager
def _locked(path: Path) -> Generator[_Lock]:
    folder = _lock_folder()
    target = Path(os.path.realpath(path.parent)) / path.name.casefold()
    name = hashlib.sha256(os.fsencode(target)).hexdigest()[:32]
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        _lock_first_byte(descriptor)
        yield _Lock(descriptor)
    finally:
        os.close(descriptor)


def _lock_folder() -> Path:
    if os.name != "posix":
        folder = Path(tempfile.gettempdir()) / "portkey-testing-locks"
        folder.mkdir(exist_ok=True)
        return folder
    folder = Path(tempfile.gettempdir()) / f"portkey-testing-locks-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise OSError(errno.EPERM, "the folder of the locks belongs to somebody else", str(folder))
    return folder


if sys.platform == "win32":
    import msvcrt

    def _lock_first_byte(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)  # gives up after ten seconds
            except OSError as error:
                if error.errno != errno.EDEADLOCK:
                    raise
            else:
                return

else:
    import fcntl

    def _lock_first_byte(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _reason(error: OSError | ValueError) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
