"""What the tests of the folds share: events as they are told, and what came of them."""

from datetime import datetime, timedelta
from typing import Any

from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Store

ATTEMPTS = """SELECT run_id, step, step_run_id, branch, attempt, status, started_at, ended_at,
waited_s, error_type, closed_by, is_last_attempt, timeout_s FROM attempts
WHERE execution_id = {id:String} ORDER BY ALL"""
EXECUTIONS = """SELECT run_id, workflow, status, started_at, ended_at, waited_s, last_progress_at,
open_steps, attempts, error_type FROM executions WHERE execution_id = {id:String} ORDER BY ALL"""


OPEN_ATTEMPTS = "status IN ('scheduled', 'running', 'waiting', 'backing_off')"
OPEN_EXECUTIONS = "status IN ('running', 'suspended')"


def open_ones(store: Store, execution_id: str) -> list[list[dict[str, Any]]]:
    """The open attempts and executions: as the folds have them, then as the tables of what is open have them."""
    found = []
    for table, condition in (("attempt", OPEN_ATTEMPTS), ("execution", OPEN_EXECUTIONS)):
        for name, which in ((f"{table}_fold", condition), (f"open_{table}", "true")):
            # What an open attempt says of its execution the folds have in another place.
            columns = (
                "* EXCEPT (execution_status, execution_suspended_s)"
                if name == "open_attempt"
                else "*"
            )
            sql = f"SELECT {columns} FROM {name} FINAL WHERE {which} AND execution_id = {{id:String}} ORDER BY ALL"
            found.append(store.select(sql, {"id": execution_id}))
    return found


def told(now: datetime, at_s: float, event: str, **fields: Any) -> StepEvent:
    data = {"workflow": "order", "execution_id": "o-1", **fields}
    when = now + timedelta(seconds=at_s)
    return event_from_dict({**data, "event": event, "time": when.isoformat()}, when)


def folded(store: Store, now: datetime, *events: StepEvent) -> list[tuple[Any, ...]]:
    """(step run id, attempt, status) of all attempts, after one delivery."""
    store.insert_events(events, now, "test")
    store.fold(now)
    rows = store.select(
        "SELECT step_run_id, attempt, status FROM attempts ORDER BY step, step_run_id, attempt"
    )
    return [tuple(row.values()) for row in rows]
