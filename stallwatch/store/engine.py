"""The way to the engine: one client library, one SQL, embedded (chDB) or a ClickHouse server.

Clients are not shared between threads: each call borrows one from a small pool, and whoever needs a session of its own
(temporary tables, read-only) opens one.
"""

import logging
import os
import queue
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import pandas as pd
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from clickhouse_connect.driver.httpclient import HttpClient
from urllib3 import Timeout
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, TimeoutError

from stallwatch.errors import (
    ConfigError,
    StoreOverBudget,
    StoreRefused,
    StoreSilent,
    StoreUnavailable,
)

SERVER_VERSION_MIN: Final = (25, 9)
"""`format_schema_source` came with 25.6, `input_format_protobuf_oneof_presence` with 25.9."""

SETTINGS: Final[dict[str, Any]] = {
    # A block of an import may span years; partitions are months or weeks, so their number stays small.
    "max_partitions_per_insert_block": 0,
    "date_time_input_format": "best_effort",
    "input_format_skip_unknown_fields": 1,
    # A batch that is sent again after an unclear answer lands once, in the tables behind the views too.
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # Rows that replace each other are merged later, or read with FINAL: to merge them row by row at each insert costs
    # more than all the rest of it.
    "optimize_on_insert": 0,
    # A join that finds nothing notes in this cache that no row of its tables passes their own conditions either, and
    # the next statement with such a condition sees none (seen with ClickHouse 26.9; it hid what detectors look for).
    "use_query_condition_cache": 0,
    # Erasing waits until it is done.
    "mutations_sync": 2,
}
UNCOMPILED: Final[dict[str, Any]] = {
    # To make machine code of the expressions of inserts and folds takes seconds after each start, and gains nothing.
    "compile_expressions": 0,
    "compile_aggregate_expressions": 0,
    "compile_sort_description": 0,
}
POOL_MAX: Final = 8
CONNECT_S: Final = 5
"""How long a server may take to accept a connection; the client library tries twice."""
LOOK_S: Final = 10
"""How long it may then take to say what it is: it may hang."""
SILENCE_S: Final = 60.0
"""How long a server may say nothing at all. While a query runs it reports progress every ten seconds."""
MUTATION_SILENCE_S: Final = 1800.0
"""The same while it rewrites parts, of which it reports nothing."""
PASSING_CODES: Final = frozenset(
    # Timeouts, too many queries or parts, memory, network, disk full or not writable, keeper, read-only.
    {3, 74, 75, 76, 159, 202, 209, 210, 225, 241, 242, 243, 252, 319, 425, 499, 999}
)
"""Error codes of ClickHouse that speak of a state which passes, not of the statement or its rows."""
STATE_CODES: Final = frozenset(
    # Statement, table, database, column, setting or function not known (yet); read-only, quota, login, rights.
    {16, 46, 47, 60, 62, 73, 81, 115, 164, 192, 193, 194, 201, 218, 236, 291, 394, 497, 516}
)
"""Codes that never speak of the rows of an insert: they wait until somebody has mended the server."""
REFUSING_STATUSES: Final = frozenset({400, 411, 413, 414, 415, 422, 431})
"""HTTP statuses without a code of ClickHouse that speak of the request. All others come of who is in between."""
OVER_BUDGET_CODE: Final = 159
_TALKATIVE: Final = ("clickhouse_connect", "urllib3.connectionpool")
"""They warn of each failure, with the whole address; whoever asked hears of it as an error."""
_CODE: Final = re.compile(r"Code: (\d+)")
_STATUS: Final = re.compile(r"HTTP driver received HTTP status (\d+)")
_PLACES: Final = re.compile(
    r"(: )?\(?in (file/uri|scope) [^)]*\)?|: While executing .*|, server response: <.*| \(for url [^)]*\)"
)
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Address:
    """Where the store is: an embedded path, or a server."""

    path: Path | None = None
    host: str = ""
    port: int = 0
    secure: bool = False
    username: str = ""
    password: str = ""
    database: str = "stallwatch"
    proxy_path: str = ""

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read `chdb:///path`, `clickhouse://[user[:password]@]host[:port][/database]` or `clickhouses://…`."""
        parts = urlsplit(url)
        if parts.scheme == "chdb":
            if parts.netloc or not parts.path:
                raise ConfigError(f"store.url: write chdb:///path (three slashes), not {url!r}")
            return cls(path=Path(unquote(parts.path)))
        if parts.scheme in ("clickhouse", "clickhouses"):
            secure = parts.scheme == "clickhouses"
            if not parts.hostname:
                raise ConfigError(f"store.url: {parts.scheme}:// needs a host")
            try:
                port = parts.port or (8443 if secure else 8123)
            except ValueError as error:
                raise ConfigError(f"store.url: {error}") from None
            return cls(
                host=parts.hostname,
                port=port,
                secure=secure,
                username=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                database=parts.path.strip("/") or "stallwatch",
            )
        raise ConfigError(
            f"store.url: begins with chdb://, clickhouse:// or clickhouses://, not {parts.scheme!r}"
        )


IN_MEMORY: Final = Address(path=Path(":memory:"), database="default")
"""An embedded engine that keeps nothing. Not in a process that has opened a store: it has one engine at most."""


class Engine:
    """A pool of clients on one database. Raises StoreUnavailable (try again) and StoreRefused (do not)."""

    def __init__(self, address: Address, database: str | None = None) -> None:
        self.address = address
        self.database = database or address.database
        self.is_silent = False
        """Whether whoever watches the store heard nothing: then nobody else waits for it either."""
        self._idle: queue.SimpleQueue[Client] = queue.SimpleQueue()
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.ERROR)
        if address.path is not None and address != IN_MEMORY:
            address.path.mkdir(parents=True, exist_ok=True)

    def connect(
        self,
        database: str | None = None,
        settings: Parameters | None = None,
        inserting: bool = False,
        silence_s: float = SILENCE_S,
        although_silent: bool = False,
    ) -> Client:
        """A client with a session of its own, to be closed by the caller.

        A server that says nothing for `silence_s` is away (StoreSilent). `although_silent`: try even where it is known
        that no answer would come, to find out whether one does.
        """
        if not although_silent:
            self.must_answer()
        address = self.address
        wanted = {**SETTINGS, **(settings or {})}
        with translated(inserting):
            if address.path is not None:
                client = clickhouse_connect.get_client(
                    interface="chdb",
                    path=str(address.path),
                    database=database or self.database,
                    tz_mode="aware",
                    settings=wanted,
                )
            else:
                client = clickhouse_connect.get_client(
                    interface="https" if address.secure else "http",
                    host=address.host,
                    port=address.port,
                    username=address.username or None,
                    password=address.password,
                    database=database or self.database,
                    connect_timeout=CONNECT_S,
                    # It asks the server what it is; afterwards that has more time.
                    send_receive_timeout=LOOK_S,
                    tz_mode="aware",
                    proxy_path=address.proxy_path,
                    settings=wanted if settings is None else dict(settings),
                )
                assert isinstance(client, HttpClient)
                client.timeout = Timeout(connect=CONNECT_S, read=silence_s)
        if address.path is None and not address.proxy_path:
            check_version(client.server_version or "0.0")
        return client

    def create_database(self) -> None:
        """Create the engine's database if it is not there."""
        self.command_in_default(f"CREATE DATABASE IF NOT EXISTS `{self.database}`")

    def command_in_default(self, statement: str) -> None:
        """Run a statement that cannot wait for this engine's database to be there."""
        client = self.connect(database="default")
        with translated():
            client.command(statement)
        client.close()

    def must_answer(self) -> None:
        """Raise StoreSilent where it is known that no answer would come."""
        if self.is_silent:
            raise StoreSilent("the server does not answer")

    @contextmanager
    def borrowed(self, inserting: bool = False) -> Iterator[Client]:
        """A client from the pool; one that failed is not given back. `inserting`: see `translated`."""
        self.must_answer()
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self.connect(inserting=inserting)
        with translated(inserting):
            yield client
        if self._idle.qsize() < POOL_MAX:
            self._idle.put(client)
        else:
            client.close()

    def command(self, statement: str, parameters: Parameters | None = None) -> None:
        """Run a statement that returns nothing."""
        with self.borrowed() as client:
            client.command(statement, parameters=dict(parameters or {}))

    def mutate(self, statement: str, parameters: Parameters | None = None) -> None:
        """Run a statement that rewrites parts, and wait until they are rewritten."""
        client = self.connect(silence_s=MUTATION_SILENCE_S)
        try:
            with translated():
                client.command(statement, parameters=dict(parameters or {}))
        finally:
            client.close()

    def rows(
        self, statement: str, parameters: Parameters | None = None, budget_s: float | None = None
    ) -> list[dict[str, Any]]:
        """Run a query; a list of dictionaries by column name. Beyond `budget_s` it is stopped: StoreOverBudget."""
        settings = {} if budget_s is None else {"max_execution_time": budget_s}
        with self.borrowed() as client:
            result = client.query(statement, parameters=dict(parameters or {}), settings=settings)
            return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def frame(self, statement: str, parameters: Parameters | None = None) -> pd.DataFrame:
        """Run a query; a DataFrame."""
        with self.borrowed() as client:
            frame: pd.DataFrame = client.query_df(statement, parameters=dict(parameters or {}))
            return frame

    def insert_raw(
        self, table: str, data: Iterable[bytes], format_: str, settings: Parameters | None = None
    ) -> None:
        """Insert encoded rows (`JSONEachRow`, `Protobuf`, …), in pieces, as one block stream."""
        with self.borrowed(inserting=True) as client:
            if self.address.path is None or not hasattr(os, "memfd_create"):
                client.raw_insert(
                    table,
                    insert_block=(piece for piece in data),
                    fmt=format_,
                    settings=dict(settings or {}),
                )
                return
            # The client library would put it into a file, which outlives a process that is killed: it may hold secrets.
            with _in_memory(data) as path:
                clause = ", ".join(
                    f"{name} = {_literal(v)}" for name, v in (settings or {}).items()
                )
                into = f"INSERT INTO {table} FROM INFILE '{path}'"
                client.command(f"{into} {'SETTINGS ' if clause else ''}{clause} FORMAT {format_}")

    def insert_rows(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Insert Python rows."""
        if rows:
            with self.borrowed(inserting=True) as client:
                client.insert(table, rows, column_names=list(columns))

    def close(self) -> None:
        """Close the idle clients."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return


def check_version(version: str) -> None:
    """Refuse a server that is too old, by name."""
    found = tuple(int(part) for part in version.split(".")[:2])
    if found < SERVER_VERSION_MIN:
        needed = ".".join(str(part) for part in SERVER_VERSION_MIN)
        raise ConfigError(
            f"store.url: the ClickHouse server is {version}; {needed} or newer is needed"
        )


@contextmanager
def _in_memory(data: Iterable[bytes]) -> Iterator[str]:
    """The path of a nameless file that is only in memory."""
    descriptor = os.memfd_create("stallwatch-insert")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.writelines(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _literal(value: Any) -> str:
    """A setting's value in SQL."""
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


@contextmanager
def translated(inserting: bool = False) -> Iterator[None]:
    """Turn the client library's errors into ours: unreachable may pass, refused will not.

    `inserting`: only what speaks of the rows is refused. That a password is wrong or a table not there is no reason to
    give rows up.
    """
    try:
        yield
    except OperationalError as error:
        raise _broken(error) from error
    except ClickHouseError as error:
        code = _code(error)
        if code == OVER_BUDGET_CODE:
            raise StoreOverBudget(_first_line(error)) from error
        passing = code in PASSING_CODES or (inserting and code in STATE_CODES)
        if code is None and (status := _STATUS.search(str(error))):
            passing = int(status[1]) not in REFUSING_STATUSES
        raise (StoreUnavailable if passing else StoreRefused)(_first_line(error)) from error


def _broken(error: OperationalError) -> StoreUnavailable:
    """Why no answer came, in words without addresses."""
    cause = error.__cause__
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    if isinstance(cause, TimeoutError) and not isinstance(cause, NewConnectionError):
        return StoreSilent("the server does not answer in time")
    if not isinstance(cause, HTTPError):
        return StoreUnavailable(_first_line(error))
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = getattr(cause, "strerror", None) or str(cause)[:200]
    return StoreUnavailable(f"no connection to the server: {reason}")


def _code(error: ClickHouseError) -> int | None:
    """ClickHouse's code, where it was ClickHouse that answered."""
    code: int | None = getattr(error, "code", None)
    found = _CODE.search(str(error))
    return int(found[1]) if code is None and found else code


def _first_line(error: Exception) -> str:
    """The engine's sentence, without the paths and streams that it adds."""
    line = str(error).strip().split("\n", 1)[0]
    return _PLACES.sub("", line)[:1000]
