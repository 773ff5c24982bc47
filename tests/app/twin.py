"""A store that is a server: a process on a port that stays the same when it is killed, stopped and started again."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stallwatch.errors import StallwatchError
from stallwatch.store import Store, open_store
from tests.app.running import ROOT, until


class Server:
    """The twin of a ClickHouse server (see tests/clickhouse_twin.py)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"clickhouse://127.0.0.1:{self._port}/stallwatch"

    def start(self) -> None:
        """Listen, on the port of before."""
        argv = [sys.executable, "-m", "tests.clickhouse_twin", str(self._folder), str(self._port)]
        self._process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said, "the twin did not start"
        self._port = int(said)

    def kill(self) -> None:
        """SIGKILL: all connections are reset."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def select(self, sql: str) -> Sequence[dict[str, Any]]:
        """Rows of a query by the server itself, folded or not."""
        store = self.store()
        try:
            return store.select(sql)
        finally:
            store.close()

    def store(self) -> Store:
        """A client of it."""
        return open_store(self.url)


@contextmanager
def serving_store(folder: Path) -> Iterator[Server]:
    """A server, killed at the end."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.kill()


def until_stored(server: Server, sql: str, count: int) -> None:
    """Return when `sql`, which counts as `n`, gives `count`; while the server is away that is waited out."""

    def there() -> bool:
        try:
            return int(server.select(sql)[0]["n"]) >= count
        except StallwatchError:
            return False

    until(there)
