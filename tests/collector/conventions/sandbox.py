"""Deliver spans, fold, and look at the executions and attempts that came out."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from stallwatch.store import Body, Store
from tests.otlp import SpanDict, request

_numbers = itertools.count(1)
_EXECUTIONS: Final = """SELECT workflow, execution_id, run_id, status, started_at, ended_at, error_type, error_message
FROM executions WHERE namespace = {namespace:String} ORDER BY execution_id, started_at, run_id"""
_ATTEMPTS: Final = """SELECT workflow, execution_id, run_id, step, step_run_id, branch, attempt, status,
    scheduled_at, started_at, ended_at, waiting_on, due, queue, worker, downstream, timeout_s, error_type, error_message
FROM attempts WHERE namespace = {namespace:String}
ORDER BY execution_id, run_id, ifNull(scheduled_at, ifNull(started_at, ended_at)), step, step_run_id, attempt"""
Row = dict[str, Any]


@dataclass
class Sandbox:
    """A namespace of its own in a store that tests share."""

    store: Store
    now: datetime
    namespace: str = field(default_factory=lambda: f"sandbox-{next(_numbers)}")

    def deliver(self, *batches: Iterable[SpanDict]) -> "Sandbox":
        """Insert each batch, one second apart, and fold after each."""
        for spans in batches:
            self.now += timedelta(seconds=1)
            self.store.insert_otlp([Body(request(spans), self.now, "sender", self.namespace)])
            self.store.fold(self.now)
        return self

    def executions(self) -> list[Row]:
        return [brief(row) for row in self._rows(_EXECUTIONS)]

    def attempts(self) -> list[Row]:
        return [brief(row) for row in self._rows(_ATTEMPTS)]

    def picture(self) -> dict[str, list[Row]]:
        """Executions and attempts, with what is empty left out; times as text."""
        return {"executions": self.executions(), "attempts": self.attempts()}

    def step(self, step: str) -> Row:
        """The one attempt of the step."""
        (row,) = [row for row in self.attempts() if row["step"] == step]
        return row

    def _rows(self, sql: str) -> list[Row]:
        return self.store.select(sql, {"namespace": self.namespace})


def brief(row: Row) -> Row:
    """The row without what is empty, times as text: what a golden file holds."""
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in row.items()
        if value not in ("", None)
    }


def trace_id() -> str:
    """A trace id that no other test has."""
    return f"{next(_numbers):032x}"


def exported_before(spans: Sequence[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    """What had left the sender by then, counted from the recording's start."""
    return [span for span in spans if span["exported_at_s"] < seconds]
