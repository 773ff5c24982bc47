"""Documents of an engine, through the real store, to a text that a person can check: one line an attempt."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from collector.engines.reading import Engine, Hints, Parts, Reading
from stallwatch.store import EventRow, Store

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FIXTURES = Path(__file__).parents[2] / "fixtures" / "engines"


def load(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


def parts_of(engine: Engine, path: Path, **hints: str) -> Parts:
    """A recorded document, taken apart as an import of the file would."""
    return engine.parts(load(path), engine.file_hints(path, Hints(NOW, **hints)))


def gathered(parts: Iterable[Parts]) -> dict[str, dict[str, Any]]:
    """The facts of each execution, as the shelf would keep them: through JSON, the first of an identity wins."""
    shelf: dict[str, dict[str, Any]] = {}
    for part in parts:
        for fragment in part.fragments:
            facts = msgspec.json.decode(msgspec.json.encode(fragment.facts))
            shelf[fragment.execution] = {**facts, **shelf.get(fragment.execution, {})}
    return shelf


def read_all(engine: Engine, parts: Iterable[Parts], namespace: str = "default") -> list[Reading]:
    return [
        engine.read(execution, facts, namespace) for execution, facts in gathered(parts).items()
    ]


def stored(store: Store, readings: Iterable[Reading], received_at: datetime = NOW) -> None:
    """Insert and fold the step events."""
    rows = [
        EventRow(event, received_at, "test", "history")
        for reading in readings
        for event in reading.events
    ]
    store.insert_event_rows(rows)
    store.fold(received_at)


def timeline(store: Store) -> str:
    """All executions and their attempts, times in seconds since the execution started."""
    executions = store.select(
        "SELECT * FROM executions ORDER BY started_at, execution_id, run_id",
    )
    attempts = store.select(
        "SELECT * FROM attempts ORDER BY ifNull(scheduled_at, ifNull(started_at, waiting_at)), "
        "step, branch, step_run_id, attempt",
    )
    lines = []
    for x in executions:
        zero = x["started_at"]
        lines.append(
            f"{x['workflow']} {x['status']}{_said('took', x['duration_s'])}{_said('timeout', x['timeout_s'])}"
            f"{_said('parent', x['parent_execution_id'])}{_said('error', x['error_type'])}"
        )
        for a in attempts:
            if (a["execution_id"], a["run_id"]) != (x["execution_id"], x["run_id"]):
                continue
            times = " ".join(
                f"{name}={_since(a[column], zero)}"
                for name, column in (
                    ("scheduled", "scheduled_at"),
                    ("waiting", "waiting_at"),
                    ("started", "started_at"),
                    ("ended", "ended_at"),
                )
                if a[column] is not None
            )
            lines.append(
                f"  {a['step']}{_said('branch', a['branch'])} #{a['attempt']} {a['status']} {times}"
                f"{_said('waiting_on', a['waiting_on'])}{_said('timeout', a['timeout_s'])}"
                f"{_said('heartbeat', a['heartbeat_timeout_s'])}{_said('max', a['max_attempts'])}"
                f"{_said('queue', a['queue'])}{_said('downstream', a['downstream'])}"
                f"{_said('error', a['error_type'])}"
            )
    return "\n".join(lines) + "\n"


def _since(at: datetime, zero: datetime | None) -> str:
    return str(at) if zero is None else f"{(at - zero).total_seconds():.3f}"


def _said(name: str, value: object) -> str:
    if value is None or value == "":
        return ""
    return f" {name}={value:g}" if isinstance(value, int | float) else f" {name}={value}"
