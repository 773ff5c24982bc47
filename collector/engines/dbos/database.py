"""The system database of DBOS, read and never written: a SQLite file, or PostgreSQL."""

import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from stallwatch.errors import ConfigError, Permanent, StallwatchError, Transient

if TYPE_CHECKING:
    import psycopg

SQLITE_HEADER: Final = b"SQLite format 3\x00"
_PARAMETER: Final = re.compile(r":([a-z_]+)")
_BUSY_S: Final = 5.0
# libpq gives no code when it cannot connect, only these words.
_REFUSED: Final = re.compile(
    r"authentication failed|no pg_hba\.conf entry|does not exist|no password supplied|permission denied"
)
Row = dict[str, Any]


class Database(ABC):
    """Statements have their parameters as `:name`."""

    now_ms: str
    """The expression for the database's own time, in milliseconds since 1970."""
    ids: str
    """The condition that a column's value is among the parameter `:ids`."""

    @abstractmethod
    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table that may be read; none if there is no such table."""

    @abstractmethod
    def select(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        """Rows of one statement, in a transaction of its own that cannot write. Raises Transient and Permanent."""

    def close(self) -> None:
        """Give back the connection."""
        return


class SqliteDatabase(Database):
    """A file, opened for each statement: DBOS may be replacing it."""

    now_ms = "CAST(strftime('%s', 'now') AS INTEGER) * 1000"
    ids = "IN (SELECT value FROM json_each(:ids))"

    def __init__(self, path: Path) -> None:
        self._path = path

    def columns(self, table: str) -> frozenset[str]:
        return frozenset(row["name"] for row in self.select(f"PRAGMA table_info({table})", {}))

    def select(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        try:
            with closing(sqlite3.connect(self._uri(), uri=True, timeout=_BUSY_S)) as connection:
                connection.row_factory = sqlite3.Row
                return [dict(row) for row in connection.execute(sql, dict(parameters))]
        except sqlite3.OperationalError as error:
            if "no such" in str(error):
                raise Permanent(f"{self._path} is no system database of DBOS: {error}") from None
            raise Transient(f"{self._path} cannot be read now: {error}") from None
        except sqlite3.DatabaseError as error:
            raise Permanent(f"{self._path} cannot be read: {error}") from None

    def _uri(self) -> str:
        # Without a write-ahead log beside it nobody writes to it: then it is read where nothing may be created, too.
        is_live = self._path.with_name(self._path.name + "-wal").exists()
        uri = f"file:{quote(str(self._path.absolute()))}?mode=ro"
        return uri if is_live or not self._is_log_based() else f"{uri}&immutable=1"

    def _is_log_based(self) -> bool:
        """Whether the file's header says that its changes go through a write-ahead log."""
        try:
            with self._path.open("rb") as file:
                return file.read(20)[18:20] == b"\x02\x02"
        except OSError:
            return False


class PostgresDatabase(Database):
    """One connection, opened when it is needed and again after it broke."""

    now_ms = "CAST(EXTRACT(epoch FROM clock_timestamp()) * 1000 AS bigint)"
    ids = "= ANY(:ids)"

    def __init__(self, url: str, schema: str, statement_timeout_s: float) -> None:
        """Raises ConfigError if the driver is missing or the URL is none."""
        try:
            import psycopg
        except ImportError:
            raise ConfigError(
                "engines.dbos.url: PostgreSQL needs a driver: pip install 'stallwatch[dbos]'"
            ) from None
        try:
            psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # What is wrong is not repeated: it may be the password.
            raise ConfigError("engines.dbos.url: is no PostgreSQL URL") from None
        self._driver = psycopg
        self._url = url
        self._schema = schema
        self._timeout_ms = int(statement_timeout_s * 1000)
        self._connection: psycopg.Connection[Row] | None = None

    def columns(self, table: str) -> frozenset[str]:
        # It lists what this role may read, column by column.
        rows = self.select(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = :schema AND table_name = :name",
            {"schema": self._schema, "name": table},
        )
        return frozenset(row["column_name"] for row in rows)

    def select(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        statement = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))
        try:
            connection = self._connected()
            with connection.transaction():
                connection.execute("SET TRANSACTION READ ONLY")
                connection.execute(f"SET LOCAL statement_timeout = {self._timeout_ms}")
                return connection.execute(statement.encode(), dict(parameters)).fetchall()
        except self._driver.Error as error:
            self.close()
            raise self._translated(error) from None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> "psycopg.Connection[Row]":
        if self._connection is None or self._connection.closed:
            self._connection = self._driver.connect(
                self._url,
                autocommit=True,
                prepare_threshold=None,  # Poolers between transactions do not keep prepared statements.
                row_factory=self._driver.rows.dict_row,
                application_name="stallwatch",
                connect_timeout=10,
                options=f"-c search_path={self._quoted_schema()}",
            )
        return self._connection

    def _quoted_schema(self) -> str:
        return self._schema.replace("\\", "\\\\").replace(" ", "\\ ")

    def _translated(self, error: "psycopg.Error") -> StallwatchError:
        errors = self._driver.errors
        said = str(error).strip().split("\n")[0]
        if isinstance(error, errors.QueryCanceled):
            return Transient(f"PostgreSQL took longer than {self._timeout_ms / 1000:g} s: {said}")
        if isinstance(error, errors.InsufficientPrivilege):
            return Permanent(f"PostgreSQL does not let this role read: {said}")
        if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn):
            return Permanent(f"schema {self._schema!r} holds no tables of DBOS: {said}")
        if isinstance(error, self._driver.OperationalError) and not _REFUSED.search(said):
            return Transient(f"PostgreSQL cannot be reached or is busy: {said}")
        return Permanent(f"PostgreSQL refuses: {said}")
