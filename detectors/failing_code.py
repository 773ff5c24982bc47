"""Executions that stand still because their own code fails whenever it is run: Temporal's workflow tasks.

A failed workflow task is tried again without end: an exception in the workflow's code, a change of that code which no
longer fits what the execution has done, a worker that does not know the workflow. One failure may pass (a worker that
is being replaced); two in a row do not, nor does one that nothing has followed for as long as any standstill may last,
or as the whole execution may.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from detectors import suspects
from detectors.detector import (
    Context,
    Row,
    execution_key,
    executions_of,
    grouped,
    place_of,
    split_by_silence,
)
from detectors.explaining import clock, counted, dominant, dominant_words, named
from detectors.untaken_code import execution_limit_s
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

IN_A_ROW: Final = 2
"""So many failures are no chance, however fast they came."""
LOOKED_UP: Final = 100
"""Of so many executions the statement brings the earlier attempts."""


@dataclass(frozen=True)
class Failing:
    """One execution's workflow task. `failures`: in a row, so far; `error_type` is empty where nobody saw how."""

    row: Row
    since: datetime
    failures: int
    error_type: str
    error_message: str


def observe(
    detector: str, tick: Tick, rows: Sequence[Row], still_s: float, context: Context
) -> list[Observation]:
    """One observation for each workflow whose code fails, the execution first that has been failing for longest.

    `rows`: the last attempts of workflow tasks, and (`suspects` is 0) all attempts of some of them.
    `still_s`: how long one failure alone may have nothing following it.
    """
    attempts: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if not row["suspects"]:
            attempts[row["call"]].append(row)
    last = [row for row in rows if row["suspects"] and execution_key(row) not in context.explained]
    came = suspects.came(row for row in rows if row["suspects"])
    observations = []
    for group in grouped(last, "namespace", "engine", "workflow", "step").values():
        place = place_of(group[0])
        if not context.enabled(place):
            continue
        told, hidden_by = split_by_silence(group, context)
        failing = [_failing(row, attempts) for row in told]
        stuck = [one for one in failing if _is_stuck(tick, one, still_s, context)]
        if stuck:
            stuck.sort(key=lambda one: (one.since, one.row["execution_id"]))
            count = len(stuck) + suspects.beyond(group, len(stuck), came[place])
            observations.append(_observe(detector, stuck, count, hidden_by, context))
    return observations


def _failing(row: Row, attempts: Mapping[str, Sequence[Row]]) -> Failing:
    known = attempts.get(row["call"], [row])
    errors = [one for one in known if one["its_error"]]
    error = max(errors, key=lambda one: one["attempt"], default=row)
    return Failing(
        row,
        min(one["last_progress_at"] for one in known),
        row["attempt"] - (row["state"] != "backing_off"),
        error["its_error"],
        error["its_message"],
    )


def _is_stuck(tick: Tick, one: Failing, still_s: float, context: Context) -> bool:
    age_s = (context.as_of_engine(tick, one.row) - one.since) / timedelta(seconds=1)
    most_s = min(still_s, execution_limit_s(one.row, context))
    # Whom nobody runs does not fail.
    return one.failures >= IN_A_ROW or (one.row["state"] != "scheduled" and age_s > most_s)


def _observe(
    detector: str, stuck: Sequence[Failing], count: int, hidden_by: str, context: Context
) -> Observation:
    first = stuck[0]
    # Of the oldest the attempts may not have been looked up.
    shown = next((one for one in stuck if one.error_type), first)
    place = place_of(first.row)
    _, _, workflow, step = place
    rows = [one.row for one in stuck]
    executions = executions_of(rows)
    common = dominant(rows)
    where = executions[0] if count == 1 else f"{count:,} executions"
    error = shown.error_type or "an error that nobody saw"
    return Observation(
        detector=detector,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=executions,
        count=count,
        since=first.since,
        title=f"The code of {workflow} fails again and again with {error} in {where}",
        explanation=_explain(first, shown, executions, count)
        + dominant_words(common, count, "runs"),
        evidence={
            "rule": "code_fails",
            "attempt": first.row["attempt"],
            "failures": first.failures,
            "error_type": shown.error_type,
            "error_message": shown.error_message,
            **common,
        },
        next_steps=_next_steps(workflow, shown, executions[0]),
        # Such a task may be the last step behind which another execution stands still.
        key="code",
        hidden_by=hidden_by,
    )


def _explain(first: Failing, shown: Failing, executions: Sequence[str], count: int) -> str:
    row = first.row
    words = (
        f"{row['execution_id']} of {row['workflow']} is running, but its own code fails whenever a worker runs it: "
        f"since {clock(first.since)} its workflow task has failed {counted(first.failures, 'time')} in a row"
    )
    words += f" (attempt {row['attempt']} is under way)." if row["state"] != "backing_off" else "."
    if shown.error_type:
        message = f": {shown.error_message}" if shown.error_message else ""
        told = f"{shown.error_type}{message}".rstrip(".")
        whose = "" if shown is first else f" (in {shown.row['execution_id']})"
        words += f" It failed with {told}{whose}."
    if count > 1:
        others = counted(count - 1, "other execution")
        words += f" The same holds for {others}: {named(executions[1:], n=count - 1)}."
    return f"{words} The engine tries again without end; until one attempt works, the execution does not go on."


def _next_steps(workflow: str, shown: Failing, execution: str) -> tuple[str, ...]:
    look = f"Look at the workers' log for {execution} since {clock(shown.since)}: it has the stack."
    if shown.error_type == "NonDeterministicError":
        return (
            f"Compare the code of {workflow} with what ran when {execution} began: it was changed in a way that no "
            "longer fits what the execution has done.",
            "Bring the old code back, or keep both ways with the SDK's versioning; then the execution goes on by "
            "itself. Otherwise reset or terminate it.",
        )
    if shown.error_type.endswith("Timeout"):
        return (
            look,
            "Look whether workers die at this execution (memory), are overloaded, or replay a very long history.",
        )
    return (
        look,
        f"Mend the code of {workflow} and restart its workers: the execution then goes on by itself.",
    )
