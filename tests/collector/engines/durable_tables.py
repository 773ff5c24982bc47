"""Tables of a task hub in azurite, Azure Storage's emulator, with rows as DurableTask.AzureStorage writes them."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azure.core.exceptions import AzureError
from azure.data.tables import TableServiceClient

from collector.engines.durable.kinds import status as status_of
from collector.engines.durable.rows import escaped
from stallwatch.clock import SystemClock
from tests.collector.engines.stepfunctions_endpoint import free_port
from tests.requirements import npm_installed

AZURITE = Path(__file__).parents[2] / "azurite"
# The emulator's account is public: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


def installed() -> Path:
    """The emulator as its lock file says, in `tests/azurite/node_modules`."""
    npm_installed(AZURITE)
    return AZURITE / "node_modules" / "azurite" / "dist" / "src" / "table" / "main.js"


@contextmanager
def tables(folder: Path) -> Iterator[str]:
    """The connection string of an emulated account."""
    program, port = installed(), free_port()
    command = [
        "node", str(program), "--tableHost", "127.0.0.1", "--tablePort", str(port),
        "--location", str(folder), "--silent", "--disableTelemetry",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        text = (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"TableEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
        )
        _until_answering(text, process)
        yield text
    finally:
        process.terminate()
        process.wait(10)


def _until_answering(text: str, process: "subprocess.Popen[bytes]") -> None:
    clock, pause = SystemClock(), threading.Event()
    until_s = clock.monotonic_s() + 60
    with TableServiceClient.from_connection_string(text, retry_total=0) as service:
        while not _answers(service):
            assert process.poll() is None, "azurite has ended"
            assert clock.monotonic_s() < until_s, "azurite does not answer"
            clock.wait(pause, 0.1)


def _answers(service: TableServiceClient) -> bool:
    try:
        list(service.list_tables())
    except AzureError:
        return False
    return True


class TaskHub:
    """Writes what the extension would (`AzureTableTrackingStore`): a batch of rows, then the instance."""

    def __init__(self, text: str, name: str) -> None:
        self._service = TableServiceClient.from_connection_string(text)
        self.instances = self._service.create_table(f"{name}Instances")
        self.history = self._service.create_table(f"{name}History")

    def close(self) -> None:
        self._service.close()

    def write(self, recorded: dict[str, Any], execution_id: str) -> None:
        """An instance with its history as it was recorded; `status` None: not said."""
        instance = recorded["instanceId"]
        for place, event in enumerate(recorded["history"]):
            self.history.upsert_entity(history_row(instance, place, event, execution_id))
        sentinel = {"PartitionKey": escaped(instance), "RowKey": "sentinel"}
        self.history.upsert_entity({**sentinel, "ExecutionId": execution_id})
        self.instances.upsert_entity(instance_row(recorded, execution_id))


def instance_row(recorded: dict[str, Any], execution_id: str) -> dict[str, Any]:
    history = recorded["history"]
    times = [datetime.fromisoformat(event["timestamp"]) for event in history]
    last = max(times, default=datetime(2026, 11, 22, 9, tzinfo=UTC))
    return {
        "PartitionKey": escaped(recorded["instanceId"]),
        "RowKey": "",
        "Name": recorded["name"],
        "Version": "",
        "ExecutionId": execution_id,
        "RuntimeStatus": status_of(recorded["status"]),
        "CreatedTime": times[1] if len(times) > 1 else last,
        "LastUpdatedTime": last,
        "TaskHubName": "hub",
        "Input": '"a secret"',
    }


def history_row(
    instance: str, place: int, event: dict[str, Any], execution_id: str
) -> dict[str, Any]:
    """One event in the columns that it has in the table: Pascal case, objects as JSON, no nulls."""
    kind = next(name for name in event if name not in ("eventId", "timestamp"))
    row: dict[str, Any] = {
        "PartitionKey": escaped(instance),
        "RowKey": f"{place:016X}",
        "EventType": kind[0].upper() + kind[1:],
        "EventId": event.get("eventId", 0),
        "IsPlayed": False,
        "_Timestamp": datetime.fromisoformat(event["timestamp"]),
        "ExecutionId": execution_id,
    }
    for name, value in event[kind].items():
        column = name[0].upper() + name[1:]
        if name == "orchestrationStatus":
            row[column] = status_of(value)
        elif name == "fireAt":
            row[column] = datetime.fromisoformat(value)
        elif isinstance(value, dict):
            row[column] = json.dumps(_pascal(value))
        else:
            row[column] = value
    if kind == "taskFailed":
        row["Reason"] = event[kind]["failureDetails"]["errorMessage"]
    return row


def _pascal(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: _pascal(inner) for name, inner in value.items()}
    return value
