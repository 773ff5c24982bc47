"""Who holds an embedded store: one process at a time, and a small file that tells the others where to knock."""

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
    """A `serve` that holds a store: its process, and where and by which token commands reach it.

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
    """An exclusive hold on a data folder, given back by `release` or by the process's end."""

    folder: Path
    _lock: IO[str]

    @classmethod
    def take(cls, folder: Path) -> "Claim":
        """Hold the folder; UsageError says who holds it already."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / LOCK_NAME).open("a+", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"store.url: {folder}: {error.strerror}") from None
        if not _locked(lock):
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise UsageError(
                f"the store at {folder} is held by another process (pid {holder}); stop it, or use another store.url"
            )
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return cls(folder, lock)

    def announce(self, web: str, ingest: str, token: str = "") -> None:
        """Tell other commands of this user where this process serves, and the token that lets them in."""
        written = self.folder / (FILE_NAME + ".new")
        written.unlink(missing_ok=True)
        with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(Serving(os.getpid(), web, ingest, token)))
        written.replace(self.folder / FILE_NAME)

    def release(self) -> None:
        """Give the folder back."""
        (self.folder / FILE_NAME).unlink(missing_ok=True)
        self._lock.close()


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
    """The `serve` that holds the folder now, or None. A file left behind by a killed one is not believed."""
    lock_path = folder / LOCK_NAME
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
        return msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=Serving)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    except PermissionError:
        raise UsageError(
            f"the store at {folder} is held by a serve of another user: run the command as that user"
        ) from None
