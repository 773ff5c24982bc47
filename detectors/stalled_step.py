"""A step that has been open for longer than a healthy one stays open.

Late is: older than what its past, its version and its own declared timeouts allow, whichever is
first. What an attempt does not declare, its step's definition may. A heartbeat renews the age that
the past is held against; the declared timeout of the attempt it does not. Waits (timers, signals,
callbacks, people, children) are never judged here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors import suspects
from detectors.calibration import Calibration, Learned
from detectors.calibration.learned import SLACK_MIN_S
from detectors.detector import (
    Context,
    Detector,
    Place,
    Row,
    execution_key,
    executions_of,
    grouped,
    place_of,
    split_by_silence,
)
from detectors.explaining import (
    clock,
    compared,
    counted,
    declared_in,
    dominant,
    dominant_words,
    ended_by,
    learned_evidence,
    limit_source,
    named,
    so_have,
    sureness,
)
from detectors.statistics.threshold import ALPHA_MIN
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

YOUNGEST_S: Final = 1.0
"""No attempt is late before this age: below it lies the slack of every threshold."""

TELL_NO_HEARTBEATS: Final = frozenset({"stepfunctions"})
"""Engines that watch over heartbeats themselves and tell nobody of them: there silence means nothing."""


@dataclass(frozen=True)
class Late:
    """Why one attempt is late: for `age_s` something has not happened that had `limit_s`."""

    row: Row
    age_s: float
    limit_s: float
    rule: str
    """learned, declared (its timeout), heartbeat, or backoff (its retry did not come)"""
    learned: Learned | None
    """What `age_s` is compared with: the past of `what`."""
    limit: str = ""
    """The row's field that declares the limit, if one does."""
    what: str = "attempt"

    @property
    def aged(self) -> bool:
        """Whether the attempt, or its heartbeats' pause, is at least `age_s` old: else this is a silence
        within an attempt, or a pause before one."""
        return self.rule not in ("heartbeat", "backoff")

    @property
    def silent(self) -> bool:
        """Whether what has not come is a heartbeat."""
        beat_at = self.row["last_heartbeat_at"]
        beaten = beat_at is not None and beat_at >= self.row["begun_at"]
        return self.rule == "heartbeat" or (beaten and self.rule not in ("declared", "backoff"))

    @property
    def source(self) -> str:
        """The definition that declares the limit; empty: the attempt itself, or none does."""
        return limit_source(self.row, self.limit)


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    return {
        "until": tick.until,
        "youngest_ms": round(YOUNGEST_S * 1000),
        **suspects.step_limits(context),
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each step with late attempts, the oldest execution first."""
    observations = []
    came = suspects.came(rows)
    unexplained = [row for row in rows if execution_key(row) not in context.explained]
    for group in grouped(unexplained, "namespace", "engine", "workflow", "step").values():
        place = place_of(group[0])
        if not context.enabled(place) or context.waits(place):
            continue
        limited = [context.limited(row) for row in group]
        # What only waits for a branch is not what hangs.
        own = [
            row for row in limited if (execution_key(row), row["step"]) not in context.waiting_steps
        ]
        told, hidden_by = split_by_silence(own, context)
        late = [
            found
            for row in told
            if not calls_a_child(row)
            and (found := find_late(context.as_of(tick, row), row, context.calibration)) is not None
        ]
        if late:
            beyond = suspects.beyond(group, len(late), came[place])
            observations.append(_observe(place, late, beyond, hidden_by, context))
    return observations


def calls_a_child(row: Row) -> bool:
    """Whether an open child execution may be what this step is about: then the child's own steps
    tell the trouble."""
    child_started_at = row["child_started_at"]
    return child_started_at is not None and row["begun_at"] <= child_started_at


def find_late(until: datetime, row: Row, calibration: Calibration) -> Late | None:
    """The first reason that makes the attempt late, if any."""
    learned = calibration.step(place_of(row), row["workflow_version"])
    lateness_s = learned.lateness_s if learned else calibration.fleet_lateness_s
    slack_s = max(lateness_s, SLACK_MIN_S)
    if row["status"] == "backing_off":
        return _late_retry(until, row, learned, slack_s)
    # When the execution was suspended is not kept, only for how long: all of it is taken off.
    age_s = _seconds(row["begun_at"], until) - row["suspended_s"]
    # Heartbeats renew what is held against the past; what was waited for is not the step's own time.
    beat_at = row["last_heartbeat_at"]
    beaten = beat_at is not None and beat_at >= row["begun_at"]
    silent_s = _seconds(beat_at, until) if beaten else age_s - row["waited_s"]
    limits = []
    if row["heartbeat_timeout_s"] and row["engine"] not in TELL_NO_HEARTBEATS:
        limit_s = row["heartbeat_timeout_s"] + slack_s
        limits.append(Late(row, silent_s, limit_s, "heartbeat", learned, "heartbeat_timeout_s"))
    # Who promises a heartbeat only so often is not held to beating more often than that.
    promised_s = (row["heartbeat_timeout_s"] or 0.0) + slack_s if beaten else 0.0
    if learned is not None and learned.limit_s is not None:
        limit_s = max(learned.limit_s, promised_s)
        limits.append(Late(row, silent_s, limit_s, learned.threshold.rule, learned))
    pauses = calibration.heartbeats.get(place_of(row)) if beaten else None
    if pauses is not None and pauses.limit_s is not None:
        limit_s = max(pauses.limit_s, promised_s)
        rule = pauses.threshold.rule
        limits.append(Late(row, silent_s, limit_s, rule, pauses, what="heartbeat pause"))
    if row["timeout_s"]:
        limit_s = row["timeout_s"] + slack_s
        limits.append(Late(row, age_s, limit_s, "declared", learned, "timeout_s"))
    if row["schedule_to_close_timeout_s"] and row["scheduled_at"] is not None:
        limit_s = row["schedule_to_close_timeout_s"] + slack_s
        open_s = _seconds(row["scheduled_at"], until)
        limits.append(
            Late(row, open_s, limit_s, "declared", learned, "schedule_to_close_timeout_s")
        )
    exceeded = [late for late in limits if late.age_s > late.limit_s]
    return min(exceeded, key=lambda late: late.limit_s) if exceeded else None


def _late_retry(until: datetime, row: Row, learned: Learned | None, slack_s: float) -> Late | None:
    """A retry that did not come: later than its declared backoff by more than the step's own τ."""
    if not row["backoff_s"] or learned is None or learned.limit_s is None:
        return None
    due_s = backoff_s(row)
    age_s = _seconds(row["retrying_at"], until)
    limit_s = due_s + max(learned.limit_s, slack_s)
    return Late(row, age_s, limit_s, "backoff", learned) if age_s > limit_s else None


def backoff_s(row: Row) -> float:
    """The declared pause before the next attempt: first pause · rate^(attempt-1), at most the
    maximum."""
    rate = row["backoff_rate"] or 1.0
    # A rate of 2 after a thousand attempts is beyond any float; the pause is not.
    grown_s = row["backoff_s"] * min(rate ** min(row["attempt"] - 1, 64), 1e9)
    return float(min(grown_s, row["backoff_max_s"] or grown_s))


def _seconds(since: datetime, until: datetime) -> float:
    return (until - since) / timedelta(seconds=1)


def _observe(
    place: Place, late: list[Late], beyond: int, hidden_by: str, context: Context
) -> Observation:
    oldest = late[0]
    rows = [one.row for one in late]
    executions = executions_of(rows)
    _, _, workflow, step = place
    common = dominant(rows)
    name = f"{step} of {workflow}"
    count = len(executions) + beyond
    title = (
        f"{name} hangs in {executions[0]}"
        if count == 1
        else f"{name} hangs in {count:,} executions"
    )
    evidence = {**_evidence(oldest, context), **common}
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=executions,
        count=count,
        since=oldest.row["begun_at"],
        title=title,
        explanation=_explain(name, late, executions, count) + dominant_words(common, count),
        evidence=evidence,
        next_steps=_next_steps(oldest, common),
        hidden_by=hidden_by,
    )


def _evidence(oldest: Late, context: Context) -> dict[str, Any]:
    """The numbers behind it. `probability`: that a healthy attempt gets so late; `ended_share`: of the
    past ones, at least so many had ended by this age."""
    evidence: dict[str, Any] = {
        "threshold_s": round(oldest.limit_s, 3),
        "age_s": round(oldest.age_s, 3),
    }
    learned = oldest.learned
    if learned is not None:
        evidence |= learned_evidence(learned)
        if oldest.aged:
            evidence["ended_share"] = learned.spread.ended_by(oldest.age_s)
        if oldest.rule == learned.threshold.rule:
            evidence["probability"] = learned.threshold.alpha
        if learned.threshold.alpha <= ALPHA_MIN:
            evidence["budget_exceeded"] = True
            evidence["expected_per_week"] = round(
                context.calibration.expected.get(DETECTOR.id, 0.0), 3
            )
    evidence["rule"] = oldest.rule
    if oldest.source:
        evidence["declared_by"] = oldest.source
    return evidence


def _explain(name: str, late: list[Late], executions: tuple[str, ...], count: int) -> str:
    oldest = late[0]
    row = oldest.row
    age = format_duration(oldest.age_s)
    first = f"{name} has been running for {age} in {executions[0]}, since {clock(row['begun_at'])}."
    if row["status"] == "scheduled":
        first = (
            f"{name} was scheduled {age} ago in {executions[0]}, at {clock(row['begun_at'])}, and has not ended: "
            "spans cannot tell whether it runs or still waits for a worker."
        )
    if oldest.silent:
        beaten = _silent_from(row) > row["begun_at"]
        told = "has told no further heartbeat" if beaten else "has told no heartbeat"
        first = f"{name} {told} for {age} in {executions[0]}, since {clock(_silent_from(row))}."
    elif oldest.rule == "backoff":
        first = (
            f"{name} was to be tried again in {executions[0]} {format_duration(backoff_s(row))} "
            f"after {clock(row['retrying_at'])}, and has not been in the {age} since then."
        )
    if count == 1 or len({(one.rule, one.limit, one.silent) for one in late}) == 1:
        first += so_have(executions[1:], count - 1) + _declared_words(oldest)
    else:
        others = named(executions[1:], n=count - 1)
        first += f"{_declared_words(oldest)} It hangs in {counted(count - 1, 'other execution')} too: {others}."
    # How long attempts take says nothing of a heartbeat that was promised.
    if oldest.learned is None or oldest.rule == "heartbeat":
        return first
    what, learned = oldest.what, oldest.learned
    ended = ended_by(learned, what, oldest.age_s) if oldest.aged else ""
    return f"{first} {compared(learned, what)}{ended} {sureness(learned, what)}"


def _silent_from(row: Row) -> datetime:
    """The last heartbeat of the attempt; its beginning, while it has told none."""
    begun_at: datetime = row["begun_at"]
    return max(begun_at, row["last_heartbeat_at"] or begun_at)


def _declared_words(oldest: Late) -> str:
    """What was declared and is over; empty where the past set the limit."""
    if not oldest.limit:
        return ""
    limit = format_duration(oldest.row[oldest.limit])
    if oldest.rule == "heartbeat":
        if oldest.source:
            return f" A heartbeat every {limit} is {declared_in(oldest.source)}."
        return f" It declares a heartbeat every {limit}."
    if oldest.source:
        return f" Its timeout of {limit}, {declared_in(oldest.source)}, is over."
    return f" It declares a timeout of {limit}, which is over."


def _next_steps(oldest: Late, common: dict[str, str]) -> tuple[str, ...]:
    row = oldest.row
    where = f"worker {row['worker']}" if row["worker"] else "the worker that started it"
    steps = [
        f"Look whether {where} is still alive, and at its log since {clock(_silent_from(row))}."
    ]
    if "downstream" in common:
        steps.append(f"Look whether {common['downstream']} answers.")
    # What is declared in our configuration the engine does not know.
    enforced = row["timeout_s"] and limit_source(row, "timeout_s") != "configuration"
    if oldest.rule != "heartbeat" and not enforced:
        steps.append("Declare a timeout, so that the engine ends and retries such an attempt.")
    return tuple(steps)


DETECTOR: Final = Detector(
    "stalled_step",
    3.0,
    judge,
    parameters,
    absorbed_by=("telemetry_silence", "dead_queue"),
    waits_for=("partial_failure",),
)
