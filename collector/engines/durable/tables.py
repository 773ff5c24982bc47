"""The tables of a task hub in Azure Storage; see `rows` for what is in them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.data.tables import TableServiceClient

from collector.engines.durable.documents import fragment_of_rows
from collector.engines.durable.facts import flat
from collector.engines.durable.rows import escaped, instance_of_row, newest
from collector.engines.durable.source import CLOSED, OPEN, Look, Source
from collector.engines.durable.status import Status, status_of
from collector.engines.reading import Hints
from stallwatch.errors import ConfigError, Permanent, Transient

T = TypeVar("T")
_COLUMNS: Final = [
    "PartitionKey", "RowKey", "Name", "Version", "ExecutionId", "RuntimeStatus", "CreatedTime",
    "LastUpdatedTime", "CompletedTime",
]  # fmt: skip
"""Inputs and outputs are not asked for."""
_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
# The framework around it backs off: it is told of the first failure.
_POLICY: Final[Mapping[str, Any]] = {"retry_total": 0, "logging_enable": False}


def tables_of_connection(text: str, task_hub: str, timeout_s: float) -> "Tables":
    """By a connection string. Raises ConfigError, without repeating it, if it is none."""
    try:
        service = TableServiceClient.from_connection_string(text, **_POLICY)
    except ValueError:
        raise ConfigError("engines.durable.connection_string: is not a connection string") from None
    return Tables(service, task_hub, timeout_s)


def tables_of_account(
    url: str, credential: TokenCredential | None, task_hub: str, timeout_s: float
) -> "Tables":
    """By the address of the table service and an identity."""
    return Tables(TableServiceClient(url, credential=credential, **_POLICY), task_hub, timeout_s)


class Tables(Source):
    """Asks Instances for what is open or changed, and History for single instances."""

    def __init__(self, service: TableServiceClient, task_hub: str, timeout_s: float) -> None:
        self._service = service
        self._instances = service.get_table_client(f"{task_hub}Instances")
        self._history = service.get_table_client(f"{task_hub}History")
        self._how: dict[str, Any] = {"connection_timeout": timeout_s, "read_timeout": timeout_s}

    def open(self, received_at: datetime) -> Iterator[Status]:
        condition = " or ".join(f"RuntimeStatus eq '{status}'" for status in OPEN)
        return self._statuses(condition, {}, received_at)

    def closed(
        self, updated_from: datetime, created_from: datetime, received_at: datetime
    ) -> Iterator[Status]:
        ended = " or ".join(f"RuntimeStatus eq '{status}'" for status in CLOSED)
        condition = f"LastUpdatedTime ge @since and ({ended})"
        return self._statuses(condition, {"since": updated_from}, received_at)

    def look(self, instance: str, received_at: datetime) -> Look | None:
        its = {"partition": escaped(instance)}
        # The status is read first: what it says of an end or a rest, the history behind it cannot contradict.
        found = self._asked(
            lambda: list(
                self._instances.query_entities(
                    "PartitionKey eq @partition", parameters=its, select=_COLUMNS, **self._how
                )
            )
        )
        if not found:
            return None
        status = _status(found[0], received_at)
        rows = self._asked(
            lambda: list(
                self._history.query_entities(
                    "PartitionKey eq @partition", parameters=its, **self._how
                )
            )
        )
        return Look(status, fragment_of_rows(status, newest(rows), received_at))

    def close(self) -> None:
        self._service.close()

    def _statuses(
        self, condition: str, parameters: dict[str, Any], received_at: datetime
    ) -> Iterator[Status]:
        rows = iter(
            self._instances.query_entities(
                condition, parameters=parameters, select=_COLUMNS, **self._how
            )
        )
        while (row := self._asked(lambda: next(rows, None))) is not None:
            yield _status(row, received_at)

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except ResourceNotFoundError:
            raise Permanent(
                "the account has no tables of this task hub: is engines.durable.task_hub right?"
            ) from None
        except ClientAuthenticationError:
            raise Permanent(
                "the storage account does not let who asks read tables: it needs Storage Table Data Reader"
            ) from None
        except HttpResponseError as error:
            if error.status_code == 403:
                raise Permanent(
                    "the storage account does not let who asks read tables: it needs Storage Table Data Reader"
                ) from None
            if error.status_code is None or error.status_code in _TRANSIENT:
                raise Transient(
                    f"the storage account answers {error.status_code}", _retry_after_s(error)
                ) from None
            raise Permanent(
                f"the storage account answers {error.status_code} and will not take the question"
            ) from None
        except AzureError as error:
            raise Transient(
                f"the storage account cannot be reached: {type(error).__name__}"
            ) from None


def _status(row: Mapping[str, Any], received_at: datetime) -> Status:
    return status_of(flat(row), Hints(received_at, execution_id=instance_of_row(row)))


def _retry_after_s(error: HttpResponseError) -> float | None:
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    wish = headers.get("Retry-After", "")
    return min(float(wish), 3600.0) if wish.isascii() and wish.isdigit() else None
