"""Erasing: one execution for privacy, and whole executions when their time is over."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from stallwatch.store.engine import Engine

MINUTES_KEPT_S: Final = 48 * 3600.0
HOURS_KEPT_S: Final = 35 * 86_400.0
# The engine's own TTL goes by the wall clock; ours goes by the clock that is an argument.
HOUSEKEEPING: Final = (
    ("touched_execution", "fromUnixTimestamp64Micro(toInt64(batch))", 2 * 86_400.0),
    ("touched_trace", "fromUnixTimestamp64Micro(toInt64(batch))", 2 * 86_400.0),
    ("engine_trace", "fromUnixTimestamp64Micro(toInt64(batch))", 8 * 86_400.0),
    ("trace_root", "fromUnixTimestamp64Micro(toInt64(batch))", 8 * 86_400.0),
    ("generic_trace", "fromUnixTimestamp64Micro(toInt64(batch))", 8 * 86_400.0),
    ("dirty_window", "fromUnixTimestamp64Micro(toInt64(batch))", 2 * 86_400.0),
    ("sender_beat", "received_at", 8 * 86_400.0),
    ("away_log", "ended_at", 8 * 86_400.0),
    ("lease", "renewed_at", 8 * 86_400.0),
    ("quarantine", "received_at", 30 * 86_400.0),
)
"""(table, its time, seconds kept): what only serves the service itself."""
_TRACES: Final = """SELECT count() AS n, groupUniqArrayIf(trace_id, trace_id != '') AS traces
FROM step_event_log FINAL WHERE execution_id = {id:String}"""
_KEYS: Final = """SELECT groupUniqArray(execution_key) AS keys
FROM execution_fold WHERE execution_id = {id:String}"""
_FORGET: Final = (
    "ALTER TABLE idempotency_key DELETE WHERE has({keys:Array(UInt64)}, execution_key)",
    "ALTER TABLE step_event_log DELETE WHERE execution_id = {id:String}",
    "ALTER TABLE attempt_fold DELETE WHERE execution_id = {id:String}",
    "ALTER TABLE execution_fold DELETE WHERE execution_id = {id:String}",
    "ALTER TABLE open_attempt DELETE WHERE execution_id = {id:String}",
    "ALTER TABLE open_execution DELETE WHERE execution_id = {id:String}",
    "ALTER TABLE recent_attempt DELETE WHERE execution_id = {id:String}",
    "ALTER TABLE recent_execution DELETE WHERE execution_id = {id:String}",
    # Its children stay, as executions that nobody started.
    *(
        f"ALTER TABLE {table} UPDATE parent_execution_id = '' WHERE parent_execution_id = {{id:String}}"
        for table in ("step_event_log", "execution_fold", "open_execution", "recent_execution")
    ),
    "ALTER TABLE span_log DELETE WHERE has({traces:Array(String)}, lower(hex(trace_id)))",
    "ALTER TABLE span_landing DELETE WHERE has({traces:Array(String)}, lower(hex(trace_id)))",
    "ALTER TABLE quarantine DELETE WHERE match(item, {word:String})",
    # A finding may be about others too: it stays, the name goes.
    """ALTER TABLE finding_log UPDATE
        executions = arrayFilter(e -> e != {id:String}, executions),
        title = replaceRegexpAll(title, {word:String}, '\\\\1[forgotten]\\\\2'),
        explanation = replaceRegexpAll(explanation, {word:String}, '\\\\1[forgotten]\\\\2'),
        evidence = replaceRegexpAll(evidence, {word:String}, '\\\\1[forgotten]\\\\2'),
        next_steps = arrayMap(s -> replaceRegexpAll(s, {word:String}, '\\\\1[forgotten]\\\\2'), next_steps)
    WHERE has(executions, {id:String})
        OR arrayExists(
            s -> match(s, {word:String}), [title, explanation, evidence, arrayStringConcat(next_steps, ' ')])""",
    """ALTER TABLE incident_log UPDATE cause = replaceRegexpAll(cause, {word:String}, '\\\\1[forgotten]\\\\2')
    WHERE match(cause, {word:String})""",
)
_BEFORE: Final = "{before:DateTime64(6, 'UTC')}"
_CLOSED_BEFORE: Final = f"""execution_key IN (
    SELECT execution_key FROM execution_fold FINAL
    GROUP BY execution_key
    HAVING countIf(status IN ('running', 'suspended')) = 0 AND max(ended_at) < {_BEFORE})"""


@dataclass(frozen=True)
class Retention:
    """Seconds that rows are kept."""

    spans_s: float
    events_s: float
    closed_s: float
    statistics_s: float


def forget(engine: Engine, execution_id: str) -> int:
    """Erase every row that names the execution. Returns how many events it had."""
    found = engine.rows(_TRACES, {"id": execution_id})[0]
    # o-1 must not be found inside o-10 or o-1.2, but at the end of a sentence.
    word = rf"((?:^|[^\w.-])[.-]*){re.escape(execution_id)}([.-]*(?:[^\w.-]|$))"
    known = {"id": execution_id, "word": word, "traces": found["traces"]}
    known |= engine.rows(_KEYS, known)[0]
    for statement in _FORGET:
        engine.mutate(statement, known)
    return int(found["n"])


def retain(engine: Engine, now: datetime, retention: Retention) -> None:
    """Delete what is older than its retention: whole executions by when they closed, never open ones."""

    def erase(table: str, condition: str, keep_s: float) -> None:
        before = {"before": now - timedelta(seconds=keep_s)}
        if engine.rows(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1", before):
            engine.mutate(f"DELETE FROM {table} WHERE {condition}", before)

    # The events of a closed execution go first; its folds stay longer. A late event that then folds
    # what is left of it cannot win: the fold that had seen more events has the higher version.
    erase("step_event_log", _CLOSED_BEFORE, retention.events_s)
    erase("attempt_fold", _CLOSED_BEFORE, retention.closed_s)
    erase("execution_fold", _CLOSED_BEFORE, retention.closed_s)
    erase("idempotency_key", f"used_at < {_BEFORE}", retention.closed_s)
    erase("span_log", f"start_at < {_BEFORE}", retention.spans_s)
    windows = ((60, MINUTES_KEPT_S), (3600, HOURS_KEPT_S), (86400, retention.statistics_s))
    for window_s, keep_s in windows:
        condition = f"window_s = {window_s} AND window_start < {_BEFORE}"
        erase("step_histogram", condition, min(keep_s, retention.statistics_s))
    for table, time, keep_s in HOUSEKEEPING:
        erase(table, f"{time} < {_BEFORE}", keep_s)
