"""Read-only SQL over the public views, for whoever speaks ClickHouse's HTTP interface.

Three walls: a session of its own with `readonly = 1` and limits that no query can change; the guard, which refuses
statements, functions and tables that have no business here; and the deadline on time, memory and size.
"""

import queue
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from stallwatch.errors import StoreUnavailable
from stallwatch.store.definitions import built_in
from stallwatch.store.engine import OVER_BUDGET_CODE, PASSING_CODES, Engine, translated
from stallwatch.store.native_blocks import framed
from stallwatch.store.sql_guard import ACCESS_DENIED, SqlRefused, check_tree, read_statement

LIMITS: Final = {
    "max_execution_time": 30,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 256 * 1024 * 1024,
    "result_overflow_mode": "throw",
    "max_memory_usage": 1024 * 1024 * 1024,
}
QUERIES_MAX: Final = 4
"""How many queries run at once; further ones wait their turn."""
WAIT_S: Final = 30.0
UNKNOWN_DATABASE: Final = 81
UNKNOWN_FORMAT: Final = 73
UNKNOWN_EXCEPTION: Final = 1002
MEMORY_LIMIT_EXCEEDED: Final = 241
LOGIN_CODES: Final = frozenset({192, 193, 194, 516})
"""No such user, or a wrong password: Stallwatch's own, not the reader's."""
STORE_CODES: Final = (PASSING_CODES | LOGIN_CODES) - {OVER_BUDGET_CODE, MEMORY_LIMIT_EXCEEDED}
"""Codes that speak of the store's state and not of a query, however it may be written."""
_PARAMETER: Final = re.compile(r"\{\s*(\w+)\s*:")
_WITHOUT_CLICKHOUSE: Final = "HTTP driver received HTTP status "
"""How the client library's error begins where the answer came from a proxy."""
_WRAPPING: Final = re.compile(
    r"\AReceived ClickHouse exception, code: \d+, server response: | \(for url [^)]*\)\Z"
)
"""What the client library puts around the sentence of a server: the server's address, among others."""


@dataclass(frozen=True)
class SqlAnswer:
    """A result in the format that was asked for."""

    body: bytes
    format: str


class SqlBusy(StoreUnavailable):
    """Too many queries are running, and none of them ended in time."""


class SqlEndpoint:
    """Answers SQL of strangers. Thread-safe.

    Raises SqlRefused (the query), SqlBusy and StoreUnavailable (try again), and StoreRefused (the store, any query).
    """

    def __init__(self, engine: Engine, limits: Mapping[str, object] = LIMITS) -> None:
        self._engine = engine
        self._limits = dict(limits)
        self._turns = threading.BoundedSemaphore(QUERIES_MAX)
        self._idle: queue.SimpleQueue[Client] = queue.SimpleQueue()
        self.views = frozenset(
            view.name.removeprefix("views/").removesuffix(".sql") for view in built_in()[2]
        )
        self._internal: frozenset[str] = frozenset()
        self.timezone = ""
        self.display_name = "stallwatch"

    def query(
        self,
        sql: str,
        parameters: Mapping[str, str] | None = None,
        default_format: str = "TabSeparated",
        database: str = "",
        revision: int = 0,
    ) -> SqlAnswer:
        """Run one statement. `parameters` are values as HTTP carries them (`param_x`, escaped as in TabSeparated).

        `revision`: the client's protocol version, which frames the Native format.
        """
        names = {self._engine.database}
        if database not in ("", "default", "system", *names):
            raise SqlRefused(f"there is no database {database}", UNKNOWN_DATABASE)
        given = parameters or {}
        with self._borrowed() as client:
            self._learn(client)
            canonical = _one(client, "SELECT formatQuerySingleLine({q:String})", {"q": sql})
            statement = read_statement(canonical, names, self.views)
            bound = {
                n: Verbatim(given[n]) for n in _PARAMETER.findall(statement.text) if n in given
            }
            if statement.selects:
                tree = _text(client, f"EXPLAIN QUERY TREE run_passes = 0 {statement.text}", bound)
                check_tree(tree, names, self.views, self._internal)
            format_ = statement.format or default_format
            if not format_.isidentifier():
                raise SqlRefused(f"there is no format {format_}", UNKNOWN_FORMAT)
            body = client.raw_query(statement.text, parameters=bound or None, fmt=format_)
        if format_ == "Native" and self._engine.address.path is not None:
            body = framed(body, revision)
        return SqlAnswer(body, format_)

    def close(self) -> None:
        """Close the idle sessions."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _learn(self, client: Client) -> None:
        if self.timezone:
            return
        # A table named as a public column is cannot be told from the column where a query names it: such a table
        # must hold nothing else.
        rows = _text(
            client,
            "SELECT name FROM system.tables WHERE database = {database:String} AND name NOT IN "
            "(SELECT name FROM system.columns "
            "WHERE database = {database:String} AND has({views:Array(String)}, table))",
            {"database": self._engine.database, "views": sorted(self.views)},
        )
        self._internal = frozenset(rows.split()) - self.views
        self.timezone = _one(client, "SELECT timezone()", {})

    @contextmanager
    def _borrowed(self) -> Iterator[Client]:
        self._engine.must_answer()
        if not self._turns.acquire(timeout=WAIT_S):
            raise SqlBusy("too many queries are running")
        try:
            try:
                client = self._idle.get_nowait()
            except queue.Empty:
                client = self._connect()
            try:
                with _translated():
                    yield client
            finally:
                self._idle.put(client)
        finally:
            self._turns.release()

    def _connect(self) -> Client:
        if self._engine.address.path is None:
            # A server takes the settings with every request: they need no session that could expire.
            return self._engine.connect(settings={**self._limits, "readonly": 1})
        client = self._engine.connect(settings=self._limits)
        with _translated():
            client.command("SET readonly = 1")
        return client


class Verbatim:
    """A parameter that is written as it came: the client library escapes `str`, which HTTP clients did already."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def _one(client: Client, sql: str, parameters: Mapping[str, object]) -> str:
    return _text(client, sql, parameters).removesuffix("\n")


def _text(client: Client, sql: str, parameters: Mapping[str, object]) -> str:
    return client.raw_query(sql, parameters=dict(parameters) or None, fmt="TSVRaw").decode()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClickHouseError as error:
        said, code = str(error).strip(), getattr(error, "code", None)
        if (
            isinstance(error, OperationalError)
            or code in STORE_CODES
            or (code is None and said.startswith(_WITHOUT_CLICKHOUSE))
        ):
            with translated():
                raise
        raise SqlRefused(_WRAPPING.sub("", said)[:4000], code or UNKNOWN_EXCEPTION) from error


__all__ = ["ACCESS_DENIED", "LIMITS", "SqlAnswer", "SqlBusy", "SqlEndpoint", "SqlRefused"]
