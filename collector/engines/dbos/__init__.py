"""DBOS: workflows out of the tables of its system database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from collector.documents import Document
from collector.engines.dbos.database import (
    SQLITE_HEADER,
    Database,
    PostgresDatabase,
    SqliteDatabase,
)
from collector.engines.dbos.history import ENGINE, read
from collector.engines.dbos.poll import DbosPoller
from collector.engines.dbos.rows import parts_of
from collector.engines.dbos.snapshot import PAGE_WORKFLOWS, Snapshot
from collector.engines.reading import Engine, Facts, Hints, Parts, Poller, Reading
from stallwatch.config.engines.dbos import DbosConfig
from stallwatch.config.engines.secrets import secret
from stallwatch.errors import ConfigError, InputError, Permanent, Transient


class Dbos(Engine):
    """The tables `workflow_status` and `operation_outputs`, from a file, a document, or the database itself."""

    name = ENGINE

    def parts(self, document: Any, hints: Hints) -> Parts:
        return parts_of(document, hints)

    def read(self, execution: str, facts: Facts, namespace: str) -> Reading:
        return read(execution, facts, namespace)

    def file_documents(self, path: Path) -> Iterator[Document] | None:
        """A SQLite database, in documents of some workflows each."""
        try:
            with path.open("rb") as file:
                if file.read(len(SQLITE_HEADER)) != SQLITE_HEADER:
                    return None
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        return _documents(path)

    def poller(self, config: Any) -> Poller:
        assert isinstance(config, DbosConfig)
        return DbosPoller(_database(config), config.lookback, config.namespace)


def _database(config: DbosConfig) -> Database:
    url = secret("engines.dbos.url", config.url, config.url_file)
    kind, _, rest = url.partition(":")
    if kind == "sqlite":
        # sqlite:////absolute and sqlite:///relative, as SQLAlchemy and DBOS write them.
        return SqliteDatabase(Path(rest.removeprefix("///")))
    if kind.partition("+")[0] not in ("postgresql", "postgres"):
        raise ConfigError("engines.dbos.url: must begin with postgresql:// or sqlite:///")
    return PostgresDatabase(f"postgresql:{rest}", config.database_schema, config.statement_timeout)


def _documents(path: Path) -> Iterator[Document]:
    number = 0
    try:
        snapshot = Snapshot(SqliteDatabase(path))
        for chunk in _chunks(snapshot.changed_ids(0, 0, snapshot.now_ms())):
            for document in snapshot.documents(chunk, None):
                place = f"workflows {number + 1} to {number + len(chunk)}"
                yield Document(place, msgspec.json.encode(document))
            number += len(chunk)
    except (Transient, Permanent) as error:
        yield Document(f"after workflow {number}", problem=str(error))


def _chunks(ids: Iterator[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for id_ in ids:
        chunk.append(id_)
        if len(chunk) == PAGE_WORKFLOWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
