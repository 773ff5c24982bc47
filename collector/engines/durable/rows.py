"""Rows of the tables `<TaskHub>Instances` and `<TaskHub>History` (DurableTask.AzureStorage, `AzureTableTrackingStore`).

PartitionKey is the instance id, escaped. In History, RowKey is the place of the event in 16 hexadecimal digits and
ExecutionId the generation; rows of an earlier generation may still stand behind those of the newest; the row `sentinel`
is a lock. `_Timestamp` is when the event happened, `Timestamp` when the row was written. Large payloads are in blobs,
whose names the row has; they are not read.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from collector.engines.durable import facts, values
from collector.engines.durable.instances import fragment_key
from collector.engines.durable.status import said_of_status, status_of
from collector.engines.reading import Fragment, Hints
from stallwatch.errors import InputError

SENTINEL: Final = "sentinel"
_ESCAPES: Final = {"^": "^", "0": "/", "1": "\\", "2": "#", "3": "?"}
_ESCAPED: Final = re.compile(r"\^(.)", re.DOTALL)
_SHIFT: Final = ord("À")
_PLACE: Final = re.compile(r"[0-9A-Fa-f]{1,16}")


def is_row(document: Mapping[str, Any]) -> bool:
    return "PartitionKey" in document and "RowKey" in document


def instance_of_row(row: Mapping[str, Any]) -> str:
    key = row.get("PartitionKey")
    if not isinstance(key, str) or not key:
        raise InputError("PartitionKey: is required")
    return unescaped(key)


def unescaped(key: str) -> str:
    """An instance id out of a partition key, which may not have all characters."""
    return _ESCAPED.sub(_unescaped, key)


def escaped(instance: str) -> str:
    """The partition key of an instance."""
    special = {plain: f"^{short}" for short, plain in _ESCAPES.items()}
    return "".join(
        special.get(char) or (f"^{chr(ord(char) + _SHIFT)}" if _is_control(char) else char)
        for char in instance
    )


def generation_of_row(row: Mapping[str, Any]) -> str:
    return values.text(row, "ExecutionId")


def fragment_of_row(row: Mapping[str, Any], received_at: datetime) -> Fragment:
    """Facts of one row. Raises InputError if it is of neither table."""
    instance = instance_of_row(row)
    if row["RowKey"] == SENTINEL:
        return Fragment(fragment_key(instance, ""), {})
    if "EventType" in row:
        place = row["RowKey"]
        if not isinstance(place, str) or not _PLACE.fullmatch(place):
            raise InputError("RowKey: must be the place of the event, in hexadecimal digits")
        found = {f"0|{int(place, 16):08}": facts.from_any(row, received_at)}
        return Fragment(fragment_key(instance, generation_of_row(row)), found)
    status = status_of(facts.flat(row), Hints(received_at, execution_id=instance))
    if not status.status:
        raise InputError("RuntimeStatus: is required")
    return Fragment(fragment_key(instance, ""), said_of_status(status))


def newest(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events of the newest generation, in their order: the rows before the first one of another generation."""
    events = sorted(
        (row for row in rows if row.get("RowKey") != SENTINEL), key=lambda row: str(row["RowKey"])
    )
    own = [row for row in events if generation_of_row(row) == generation_of_row(events[0])]
    places = [int(str(row["RowKey"]), 16) for row in own]
    return own if places == list(range(len(own))) else []


def _unescaped(found: re.Match[str]) -> str:
    char = found[1]
    if char in _ESCAPES:
        return _ESCAPES[char]
    return chr(ord(char) - _SHIFT) if ord(char) >= _SHIFT else char


def _is_control(char: str) -> bool:
    return ord(char) <= 0x1F or 0x7F <= ord(char) <= 0x9F
