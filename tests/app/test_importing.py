"""Files of OTLP as their users import them: by the command itself, and through the `serve` that holds the store."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from stallwatch.clock import SystemClock
from tests.app.running import Place, run_alone

pytestmark = pytest.mark.slow
CLOCK: Final = SystemClock()
TOLD: Final = (
    "2 spans and step events imported, 0 bad documents, 1 log record or data point passed over\n"
)


def attributes(**said: str) -> list[dict[str, Any]]:
    return [
        {"key": f"stallwatch.{name}", "value": {"stringValue": value}}
        for name, value in said.items()
    ]


def telemetry(path: Path, number: int) -> str:
    """A marked span, a log record that is a step event, and another that is none."""
    began_ns = int((CLOCK.now() - timedelta(hours=1)).timestamp()) * 10**9
    span = {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": "order",
        "startTimeUnixNano": str(began_ns),
        "endTimeUnixNano": str(began_ns + 10**9),
        "attributes": attributes(workflow="order", execution_id=f"span-{number}"),
    }
    logged = {
        "timeUnixNano": str(began_ns),
        "eventName": "stallwatch.workflow.started",
        "attributes": attributes(workflow="order", execution_id=f"log-{number}"),
    }
    documents = [
        {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [logged, {"body": {}}]}]}]},
    ]
    path.write_text("\n".join(map(json.dumps, documents)), encoding="utf-8")
    return str(path)


def test_spans_and_log_records_are_imported_with_and_without_a_serve(tmp_path: Path) -> None:
    place = Place(tmp_path)
    files = [telemetry(tmp_path / f"{number}.jsonl", number) for number in (1, 2)]
    alone = run_alone(*place.argv("import", "otlp", files[0], "--namespace", "alone"))
    assert (alone.code, alone.out) == (0, TOLD)
    with place.serving() as running:
        through = place.here("import", "otlp", files[1], "--namespace", "café & co")
        assert (through.code, through.out) == (0, TOLD)
        assert running.select(
            "SELECT namespace, execution_id, historical FROM executions ORDER BY execution_id"
        ) == [
            {"namespace": "alone", "execution_id": "log-1", "historical": True},
            {"namespace": "café & co", "execution_id": "log-2", "historical": True},
            {"namespace": "alone", "execution_id": "span-1", "historical": True},
            {"namespace": "café & co", "execution_id": "span-2", "historical": True},
        ]
