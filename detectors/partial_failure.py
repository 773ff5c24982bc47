"""One of several parallel branches failed for good or hangs, the others are done, and the execution waits for it.

Known from the label `branch` of steps. A branch hangs when a step of it is late by the same measure as in
`stalled_step`; it failed for good when its last attempt failed and no retry is to come.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.calibration.learned import SLACK_MIN_S
from detectors.detector import (
    Context,
    Detector,
    Place,
    Row,
    executions_of,
    folded_from,
    grouped,
    place_of,
    split_by_silence,
)
from detectors.explaining import clock, counted, dominant, dominant_words, named, sureness
from detectors.fan_outs import FanOut, fan_outs
from detectors.stalled_step import YOUNGEST_S, Late, backoff_s, calls_a_child, find_late
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

RECENT: Final = timedelta(hours=1)
"""Branches that failed longer ago are found because nothing has happened in their executions since."""
SUSPECTS_MAX: Final = 1_000
"""Executions that are looked at, from each of three lists."""
AWAITED: Final = ("human", "signal", "timer")
"""A step behind the branches that waits for one of these does not wait for the branches."""
SETTLED_S: Final = 10.0
"""How long a failure without a declared retry policy waits for a retry that nobody announced."""


@dataclass(frozen=True)
class Partial:
    """An execution whose other branches wait. `row`: the attempt that failed or hangs; `late` is set if it hangs."""

    row: Row
    late: Late | None
    done: tuple[str, ...]
    """Labels of the branches that have completed."""
    branches: int
    joins: tuple[str, ...]
    """Steps that are open and wait for the branches."""


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    flows = context.calibration.flows
    return {
        "until": tick.until,
        "folded_from": folded_from(tick, RECENT),
        "idle_from": tick.until - RECENT,
        "youngest_ms": round(YOUNGEST_S * 1000),
        "most": SUSPECTS_MAX,
        "branched": sorted({key[2] for key, flow in flows.items() if flow.has_branches}),
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow and step that holds branches up, the longest first."""
    found: dict[Place, list[Partial]] = {}
    limited = [context.limited(row) for row in rows]
    by_execution = grouped(limited, "namespace", "engine", "execution_id", "run_id")

    def goes_on(row: Row) -> bool:
        if row["status"] == "waiting":
            return row["waiting_on"] in AWAITED
        return _late(tick, row, context) is None

    for its_rows in by_execution.values():
        for fan_out in fan_outs(its_rows, goes_on):
            for partial in _troubles(tick, fan_out, context):
                found.setdefault(place_of(partial.row), []).append(partial)
    observations = []
    for place, partials in found.items():
        told, hidden_by = split_by_silence([one.row for one in partials], context)
        kept = [one for one in partials if any(one.row is row for row in told)]
        if kept and context.enabled(place):
            observations.append(_observe(tick, place, kept, hidden_by, context))
    return observations


def _troubles(tick: Tick, fan_out: FanOut, context: Context) -> list[Partial]:
    """The branches that hold the completed ones up; none while none has completed."""
    done = tuple(
        branch.label
        for branch in fan_out.branches
        if branch.has_completed and _may_end(branch.last, context)
    )
    if not done:
        return []
    joins = tuple(dict.fromkeys(row["step"] for row in fan_out.waiting))
    found = []
    for branch in fan_out.branches:
        failure = branch.failure
        if failure is not None and _is_final(tick, failure, context):
            found.append(Partial(failure, None, done, len(fan_out.branches), joins))
        late = [one for row in branch.open_rows if (one := _late(tick, row, context)) is not None]
        if late:
            worst = max(late, key=lambda one: len(one.row["branch"]))
            found.append(Partial(worst.row, worst, done, len(fan_out.branches), joins))
    return found


def _may_end(last: Row, context: Context) -> bool:
    """Whether a branch may end with this step, as far as that is known."""
    flow = context.calibration.flows.get((last["namespace"], last["engine"], last["workflow"]))
    return flow is None or flow.may_end(last["branch"].count(".") + 1, last["step"])


def _late(tick: Tick, row: Row, context: Context) -> Late | None:
    """Why an open attempt is late, by the measure of `stalled_step`; None: it is not, or is not judged."""
    judged = row["status"] in ("running", "backing_off") or (
        row["status"] == "scheduled" and row["road"] == "span"
    )
    if not judged or not row["is_last_attempt"] or context.waits(place_of(row)):
        return None
    if calls_a_child(row):
        return None
    return find_late(context.as_of(tick, row), row, context.calibration)


def _is_final(tick: Tick, failure: Row, context: Context) -> bool:
    """Whether no retry is to come: the last allowed attempt, or one whose retry should have begun long ago."""
    waited_s = (context.as_of(tick, failure) - failure["ended_at"]) / timedelta(seconds=1)
    most = failure["max_attempts"]
    if not most:
        return bool(waited_s >= max(SETTLED_S, context.calibration.fleet_lateness_s))
    if failure["attempt"] >= most:
        return True
    learned = context.calibration.step(place_of(failure), failure["workflow_version"])
    pause_s = backoff_s(failure) if failure["backoff_s"] else 0.0
    own_s = learned.limit_s if learned is not None and learned.limit_s is not None else 0.0
    return bool(waited_s > pause_s + max(own_s, SETTLED_S, SLACK_MIN_S))


def _since(one: Partial) -> datetime:
    since: datetime = one.row["begun_at"] if one.late else one.row["ended_at"]
    return since


def _observe(
    tick: Tick, place: Place, partials: Sequence[Partial], hidden_by: str, context: Context
) -> Observation:
    _, _, workflow, step = place
    partials = sorted(partials, key=lambda one: (_since(one), one.row["execution_id"]))
    first = partials[0]
    rows = [one.row for one in partials]
    executions = executions_of(rows)
    count = len(executions)
    common = dominant(rows)
    where = executions[0] if count == 1 else counted(count, "execution")
    verb = "hangs" if first.late else "failed for good"
    ran = "runs" if first.late else "ran"
    joins = tuple(dict.fromkeys(join for one in partials for join in one.joins))
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=executions,
        count=count,
        since=_since(first),
        title=f"{step} of {workflow} {verb} in one branch while others are done in {where}",
        explanation=_explain(tick, place, partials, executions)
        + dominant_words(common, count, ran),
        evidence={
            "rule": first.late.rule if first.late else "failed",
            "branch": first.row["branch"],
            "branches": first.branches,
            "branches_done": list(first.done),
            "waiting_steps": list(joins),
            "error_type": first.row["error_type"],
            "error_message": first.row["error_message"],
            **({"threshold_s": round(first.late.limit_s, 3)} if first.late else {}),
            **common,
        },
        next_steps=(
            f"Start {step} again in {executions[0]}, or end the execution: the other branches' work is waiting.",
            "Look whether the workflow tells its branches' failures to what waits for them, and whether what the other "
            "branches did must be undone.",
        ),
        hidden_by=hidden_by,
        waiting_steps=joins,
    )


def _explain(
    tick: Tick, place: Place, partials: Sequence[Partial], executions: Sequence[str]
) -> str:
    _, _, workflow, step = place
    first = partials[0]
    row = first.row
    age_s = (tick.until - _since(first)) / timedelta(seconds=1)
    if first.late:
        words = (
            f"In {row['execution_id']} of {workflow} {step} of branch {row['branch']} has been open for "
            f"{format_duration(age_s)}, since {clock(_since(first))}: {_lateness_words(first.late)}"
        )
    else:
        error = row["error_type"] or "an error without a type"
        told = f": {row['error_message']}" if row["error_message"] else ""
        words = (
            f"In {row['execution_id']} of {workflow} {step} of branch {row['branch']} failed for good "
            f"{format_duration(age_s)} ago, at {clock(_since(first))}, with {error}{told}."
        )
    finished = "branch" if len(first.done) == 1 else "branches"
    words += f" Of {first.branches} branches, {finished} {named(first.done)} completed"
    words += (
        f", and {named(first.joins)} {'waits' if len(first.joins) == 1 else 'wait'} for all of them."
        if first.joins
        else ", and nothing has begun behind them: the execution waits."
    )
    if len(executions) > 1:
        others = counted(len(executions) - 1, "other execution")
        words += f" The same holds for {others}: {named(executions[1:])}."
    return words


def _lateness_words(late: Late) -> str:
    """For how long what has not happened, what is allowed, and how sure that is."""
    age, limit = format_duration(late.age_s), format_duration(late.limit_s)
    sure = (
        f" {sureness(late.learned, late.what)}"
        if late.learned is not None and late.rule == late.learned.threshold.rule
        else ""
    )
    if late.rule == "backoff":
        return f"its retry has not come for {age}, where {limit} is allowed."
    if late.silent:
        return f"without a heartbeat for {age}, where {limit} is allowed.{sure}"
    return f"longer than it may.{sure}" if sure else f"longer than the {limit} that it may take."


DETECTOR: Final = Detector(
    "partial_failure",
    5.0,
    judge,
    parameters,
    absorbed_by=("telemetry_silence",),
    needs=("branched",),
)
