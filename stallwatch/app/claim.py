"""Who holds an embedded store, or has a role with a state: one process at a time. A small file tells where to knock."""

import fcntl
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec

from stallwatch.errors import UsageError

LOCK_NAME: Final = "stallwatch.lock"
FILE_NAME: Final = "serve.json"
TRIES: Final = 5
PAUSE_S: Final = 0.05


class Serving(msgspec.Struct, frozen=True):
    """A `serve`: its process, and where and by which token commands reach it.

    The addresses (`http://host:port`, or empty) are of this machine alone, whatever else it listens on.
    """

    pid: int
    web: str
    ingest: str
    token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What a request to it carries."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass
class Claim:
    """An exclusive hold, given back by `release` or by the process's end."""

    _lock: IO[str]
    _announcement: Path

    @classmethod
    def take(cls, folder: Path) -> "Claim":
        """Hold the folder of an embedded store; UsageError says who holds it already."""
        try:
            return cls(_held(folder, LOCK_NAME), folder / FILE_NAME)
        except OSError as error:
            raise UsageError(f"store.url: {folder}: {error.strerror}") from None
        except _HeldError as other:
            raise UsageError(
                f"the store at {folder} is held by another process (pid {other}); stop it, or use another store.url"
            ) from None

    @classmethod
    def take_role(cls, folder: Path, role: str) -> "Claim":
        """Be the only process that has the role with this state; UsageError says which one is."""
        try:
            return cls(_held(folder, f"{role}.lock"), folder / f"{role}.json")
        except OSError as error:
            raise UsageError(f"store.state: {folder}: {error.strerror}") from None
        except _HeldError as other:
            raise UsageError(
                f"store.state: another process (pid {other}) has the role {role} with {folder}; stop it, "
                f"or leave {role} out here (a second collector needs a store.state of its own)"
            ) from None

    def announce(self, web: str, ingest: str, token: str = "") -> None:
        """Tell other commands of this user where this process serves, and the token that lets them in."""
        written = self._announcement.with_suffix(".new")
        written.unlink(missing_ok=True)
        with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(Serving(os.getpid(), web, ingest, token)))
        written.replace(self._announcement)

    def release(self) -> None:
        """Give it back."""
        self._announcement.unlink(missing_ok=True)
        self._lock.close()


class _HeldError(Exception):
    """Says which process, by its pid."""


def _held(folder: Path, name: str) -> IO[str]:
    """A lock file that this process holds, and says so in it. Raises OSError and _HeldError."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / name).open("a+", encoding="utf-8")
    if not _locked(lock):
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise _HeldError(holder)
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _locked(lock: IO[str]) -> bool:
    """Whether the lock could be had. A command that only looks who serves holds it for a moment: that is waited out."""
    for _ in range(TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            threading.Event().wait(PAUSE_S)
        else:
            return True
    return False


def find_serving(folder: Path) -> Serving | None:
    """The `serve` that holds the embedded store there, or None. A file left behind by a killed one is not believed."""
    return _announced(folder, LOCK_NAME, FILE_NAME)


def find_role(folder: Path, role: str) -> Serving | None:
    """The `serve` that has the role with the state there, or None."""
    return _announced(folder, f"{role}.lock", f"{role}.json")


def _announced(folder: Path, lock_name: str, file_name: str) -> Serving | None:
    lock_path = folder / lock_name
    if not lock_path.exists():
        return None
    with lock_path.open("r", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            return None
    try:
        return msgspec.json.decode((folder / file_name).read_bytes(), type=Serving)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    except PermissionError:
        raise UsageError(
            f"{folder} is held by a serve of another user: run the command as that user"
        ) from None
