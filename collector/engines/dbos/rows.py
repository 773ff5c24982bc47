"""Rows of DBOS's system tables to facts. A row changes as its workflow goes on: what it says at a time is a fact.

Identities of facts, all of one workflow:
`workflow:<version>:<timeout>` who it is; `enqueued:<ms>`, `delayed:<ms>`, `dequeued:<ms>` its way through a queue;
`open:<ms>` that it went on; `closed:<status>:<ms>` how it ended; `op:<id>` and `op:<id>:end` an operation and its end;
`wait:<id>:<name>` a wait that is known by the row of its timeout; `status:<word>` a status that is not understood.
"""

from collections.abc import Mapping
from typing import Any, Final

from collector.engines.dbos.errors import error_of, wake_time_s
from collector.engines.reading import Fragment, Hints, Parts
from stallwatch.errors import InputError

TABLES: Final = ("workflow_status", "operation_outputs", "workflow_output", "notifications")
OPEN: Final = frozenset({"PENDING", "ENQUEUED", "DELAYED"})
CLOSED: Final[Mapping[str, str]] = {
    "SUCCESS": "completed",
    "ERROR": "failed",
    "CANCELLED": "cancelled",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
    "RETRIES_EXCEEDED": "failed",  # the word of DBOS before 1.0
}
INTERNAL_QUEUE: Final = "_dbos_internal_queue"
"""Where DBOS itself puts what is resumed, recovered or forked."""
SLEEP: Final = "DBOS.sleep"
RECV: Final = "DBOS.recv"
SIGNALS: Final = frozenset({RECV, "DBOS.getEvent", "DBOS.get_events"})
_SECOND_MS: Final = 1000
Row = Mapping[str, Any]


def parts_of(document: Any, hints: Hints) -> Parts:
    """Tables (`{"workflow_status": [row, …], …}`) or a single row. InputError if it is neither."""
    tables = _tables(document)
    if tables is None:
        raise InputError(
            "not of DBOS: expected workflow_status, operation_outputs or notifications with rows, or one row"
        )
    facts: dict[str, dict[str, Any]] = {}
    closed_ms: dict[str, int] = {}
    outputs = {_id(row): row for row in tables["workflow_output"]}
    for index, row in enumerate(tables["workflow_status"]):
        where = f"workflow_status[{index}]"
        its = facts.setdefault(_id(row, where), {})
        its.update(status_facts(row, outputs.get(_id(row), {}), where))
        if row.get("status") in CLOSED:
            closed_ms[_id(row)] = _closed_ms(row, where)
    names = {
        (_id(row), _number(row, "function_id", "operation_outputs", -1)): row
        for row in tables["operation_outputs"]
    }
    for index, row in enumerate(tables["operation_outputs"]):
        where = f"operation_outputs[{index}]"
        id_ = _id(row, where)
        before = names.get((id_, _number(row, "function_id", where, -1) - 1))
        until_ms = min(closed_ms.get(id_, 2**63), int(hints.received_at.timestamp() * 1000))
        facts.setdefault(id_, {}).update(operation_facts(row, before, until_ms, where))
    return Parts([Fragment(id_, its) for id_, its in facts.items()])


def _tables(document: Any) -> dict[str, list[Row]] | None:
    if not isinstance(document, dict):
        return None
    found: dict[str, list[Row]] = {name: [] for name in TABLES}
    if "workflow_uuid" in document and "function_id" in document:
        return found | {"operation_outputs": [document]}
    if "workflow_uuid" in document and "status" in document:
        return found | {"workflow_status": [document]}
    if "destination_uuid" in document and "message_uuid" in document:
        return found | {"notifications": [document]}
    if not any(name in document for name in TABLES):
        return None
    for name in TABLES:
        rows = document.get(name) or []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{name}: must be an array of rows")
        found[name] = rows
    return found


def status_facts(row: Row, output: Row, where: str) -> dict[str, Any]:
    """What a row of workflow_status says now; `output` is its row of workflow_output, where errors are since DBOS 2."""
    status = _text(row, "status", where)
    created = _number(row, "created_at", where)
    updated = _number(row, "updated_at", where, created)
    queue = _text(row, "queue_name", where)
    tries = _number(row, "recovery_attempts", where, 0)
    facts: dict[str, Any] = {}
    identity = _identity(row, created, queue, where)
    facts[f"workflow:{identity['version']}:{identity.get('timeout_s', '')}"] = identity
    started = _number(row, "started_at_epoch_ms", where, 0)
    if started and queue and status not in ("ENQUEUED", "DELAYED"):
        is_first = tries == 1 and queue != INTERNAL_QUEUE and not row.get("delay_until_epoch_ms")
        facts[f"dequeued:{started}"] = {
            "queue": queue,
            "worker": _text(row, "executor_id", where),
            "tries": tries,
            "since": created if is_first else None,
        }
    if status == "ENQUEUED":
        facts[f"enqueued:{updated}"] = {"queue": queue, "tries": tries}
    elif status == "DELAYED":
        due = _number(row, "delay_until_epoch_ms", where, 0)
        facts[f"delayed:{due}"] = {"queue": queue, "since": updated, "due": due}
    if status in OPEN:
        facts[f"open:{started or updated}"] = {}
    elif status in CLOSED:
        facts[f"closed:{status}:{_closed_ms(row, where)}"] = _closing(row, output, where)
    else:
        facts[f"status:{status[:60]}"] = {}
    return facts


def operation_facts(row: Row, before: Row | None, until_ms: int, where: str) -> dict[str, Any]:
    """What a row of operation_outputs says as of `until_ms`; `before` is the row with the function id before it.

    A sleep's row is written as it begins, with the end that it is to have. The timeout of a recv or getEvent is
    recorded as a sleep too, in an instant, under the function id after theirs; their own row comes at their end.
    """
    id_ = _number(row, "function_id", where)
    name = _text(row, "function_name", where)
    started = _number(row, "started_at_epoch_ms", where, 0)
    ended = _number(row, "completed_at_epoch_ms", where, started)
    if not started:
        # Written by a DBOS that did not keep times yet.
        return {f"untimed:{id_}": {"name": name}}
    operation: dict[str, Any] = {"name": name, "started": started}
    if child := _text(row, "child_workflow_id", where):
        operation["child"] = child
    if name == SLEEP:
        due = _due_ms(row, where)
        if due is not None and ended < due - 1 and id_ > 1:
            waits = RECV if before is None else _text(before, "function_name", where)
            if waits in SIGNALS:
                return {f"wait:{id_ - 1}:{waits}": {"started": started, "due": due}}
        operation["due"] = due or ended
        ended = max(ended, due or 0)
    facts: dict[str, Any] = {f"op:{id_}": operation}
    if ended <= until_ms:
        facts[f"op:{id_}:end"] = {"ended": ended, "name": name, **_outcome(row, where)}
    return facts


def _identity(row: Row, created: int, queue: str, where: str) -> dict[str, Any]:
    """A queue's wait does not count for the timeout, so that for what is queued the deadline tells, once it is set."""
    identity: dict[str, Any] = {
        "name": _text(row, "name", where),
        "created": created,
        "version": _text(row, "application_version", where),
    }
    timeout = _number(row, "workflow_timeout_ms", where, 0)
    deadline = _number(row, "workflow_deadline_epoch_ms", where, 0)
    if timeout and not queue:
        identity["timeout_s"] = timeout / 1000
    elif deadline > created:
        identity["timeout_s"] = (deadline - created) / 1000
    for key, column in (
        ("parent", "parent_workflow_id"),
        ("class", "class_name"),
        ("config", "config_name"),
        ("application", "application_name"),
        ("schedule", "schedule_name"),
        ("forked_from", "forked_from"),
    ):
        if value := _text(row, column, where):
            identity[key] = value
    return identity


def _closed_ms(row: Row, where: str) -> int:
    """When it ended. Where DBOS keeps whole seconds (SQLite before Python 3.12), the last moment of that second."""
    times = [
        _number(row, column, where, 0)
        for column in ("created_at", "updated_at", "completed_at")
        if row.get(column) is not None
    ]
    at = _number(row, "completed_at", where, times[-1])
    is_coarse = all(time % _SECOND_MS == 0 for time in times)
    return at + _SECOND_MS - 1 if is_coarse else at


def _closing(row: Row, output: Row, where: str) -> dict[str, Any]:
    closing: dict[str, Any] = {"tries": _number(row, "recovery_attempts", where, 0)}
    if worker := _text(row, "executor_id", where):
        closing["worker"] = worker
    deadline = _number(row, "workflow_deadline_epoch_ms", where, 0)
    if row["status"] == "CANCELLED" and 0 < deadline <= _closed_ms(row, where):
        closing["timed_out"] = True
    if row["status"] == "ERROR":
        source = output if output.get("error") else row
        closing.update(_error(source, row, where))
    return closing


def _outcome(row: Row, where: str) -> dict[str, Any]:
    outcome = _error(row, row, where) if row.get("error") else {}
    size = row.get("output_bytes")
    if not isinstance(size, int):
        size = len(_text(row, "output", where))
    return {**outcome, **({"bytes": size} if size else {})}


def _error(source: Row, row: Row, where: str) -> dict[str, Any]:
    told = error_of(_text(source, "error", where), _text(row, "serialization", where))
    if told is None:
        return {}
    error: dict[str, Any] = {"error": told.type, "message": told.message}
    if told.max_attempts:
        error["max_attempts"] = told.max_attempts
    if told.timeout_s:
        error["timeout_s"] = told.timeout_s
    return error


def _due_ms(row: Row, where: str) -> int | None:
    wake_s = wake_time_s(_text(row, "output", where))
    return None if wake_s is None else int(wake_s * 1000)


def _id(row: Row, where: str = "") -> str:
    value = row.get("workflow_uuid")
    if not isinstance(value, str) or not value:
        raise InputError(f"{where}.workflow_uuid: must be text")
    return value


def _text(row: Row, column: str, where: str) -> str:
    value = row.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where}.{column}: must be text")
    return value


def _number(row: Row, column: str, where: str, default: int | None = None) -> int:
    """A whole number; SQLite's clock of milliseconds gives it as a real one."""
    value = row.get(column)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise InputError(f"{where}.{column}: must be a number")
    if not -(2**63) <= value < 2**63:
        raise InputError(f"{where}.{column}: is out of range")
    return int(value)
