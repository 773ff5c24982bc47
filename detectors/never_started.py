"""A step that was scheduled and that nobody starts: held against how long it waited in its queue before, and against
the timeout that it declares for that.

Judged only where a start is told apart from a scheduling. Where the whole queue is dead, that is told instead.
A workflow task that no worker takes (Temporal) is one too: then the execution's own code does not run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from detectors import untaken_code
from detectors.calibration import Learned
from detectors.calibration.learned import SLACK_MIN_S
from detectors.detector import (
    ASKED_NO_MORE,
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
    dominant,
    dominant_words,
    learned_evidence,
    named,
    sureness,
)
from detectors.looks import POLLER
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

WAIT_MIN_S: Final = 5.0
"""Nobody wants to hear of a shorter wait, however quickly workers take their work otherwise."""
TOLD_MOST: Final = 20_000
"""Of each step the oldest so many are judged: a longer queue is as bad."""
STARTS_SEEN_BY_ASKING: Final = frozenset({"temporal"})
"""Engines whose histories tell a start only when the attempt is over: who does not ask them sees none. Step events
tell it at once, whatever the engine."""


@dataclass(frozen=True)
class Unstarted:
    """Why one attempt should have been started; `rule` is declared or what the threshold was learned by."""

    row: Row
    age_s: float
    limit_s: float
    rule: str


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    limits_s = {
        "\n".join(place): _limit_s(learned)
        for place, learned in context.calibration.queue_waits.items()
    }
    return {
        "until": tick.until,
        "steps": ["", *limits_s],
        "limits_s": [math.inf, *limits_s.values()],
        "most": TOLD_MOST,
    }


def _limit_s(learned: Learned) -> float:
    """How long a wait may be by the step's past; infinite where that says nothing."""
    return math.inf if learned.limit_s is None else max(learned.limit_s, WAIT_MIN_S)


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each step that is not started, the oldest execution first."""
    unexplained = [row for row in rows if execution_key(row) not in context.explained]
    own_code = [row for row in unexplained if row["is_own_code"]]
    observations = untaken_code.observe(DETECTOR.id, tick, own_code, context)
    steps = [
        row for row in unexplained if not row["is_own_code"] and _shows_starts(tick, row, context)
    ]
    for group in grouped(steps, "namespace", "engine", "workflow", "step").values():
        place = place_of(group[0])
        if not context.enabled(place) or context.waits(place):
            continue
        learned = context.calibration.queue_waits.get(place)
        told, hidden_by = split_by_silence(group, context)
        late = [
            found for row in told if (found := _unstarted(tick, row, learned, context)) is not None
        ]
        if late:
            observations.append(_observe(place, late, learned, hidden_by, context))
    return observations


def _shows_starts(tick: Tick, row: Row, context: Context) -> bool:
    """Whether a start would be told while the attempt runs."""
    engine = row["engine"]
    if engine not in STARTS_SEEN_BY_ASKING or row["road"] != "history":
        return True
    asked_at = context.looks.get(POLLER + engine)
    return asked_at is not None and asked_at >= tick.until - ASKED_NO_MORE


def _unstarted(tick: Tick, row: Row, learned: Learned | None, context: Context) -> Unstarted | None:
    """The first limit that the wait exceeds, if any."""
    until = context.as_of_engine(tick, row)
    age_s = (until - row["scheduled_at"]) / timedelta(seconds=1) - row["suspended_s"]
    limits = []
    if learned is not None:
        limits.append(Unstarted(row, age_s, _limit_s(learned), learned.threshold.rule))
    if row["schedule_to_start_timeout_s"]:
        lateness_s = (
            learned.lateness_s if learned else context.calibration.lateness_s(place_of(row))
        )
        limit_s = row["schedule_to_start_timeout_s"] + max(lateness_s, SLACK_MIN_S)
        limits.append(Unstarted(row, age_s, limit_s, "declared"))
    exceeded = [one for one in limits if one.age_s > one.limit_s]
    return min(exceeded, key=lambda one: one.limit_s) if exceeded else None


def _observe(
    place: Place,
    late: list[Unstarted],
    learned: Learned | None,
    hidden_by: str,
    context: Context,
) -> Observation:
    namespace, engine, workflow, step = place
    oldest = late[0]
    rows = [one.row for one in late]
    executions = executions_of(rows)
    common = dominant(rows)
    where = f"{counted(len(executions), 'execution')}" if len(executions) > 1 else executions[0]
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=step,
        executions=executions,
        count=len(executions),
        since=oldest.row["scheduled_at"],
        title=f"Nobody starts {step} of {workflow} in {where}",
        explanation=_explain(oldest, executions, learned)
        + dominant_words(common, len(executions), "waits"),
        evidence={
            "threshold_s": round(oldest.limit_s, 3),
            "age_s": round(oldest.age_s, 3),
            **({} if learned is None else learned_evidence(learned)),
            "rule": oldest.rule,
            **common,
        },
        next_steps=_next_steps(common, step),
        hidden_by=hidden_by,
    )


def _explain(oldest: Unstarted, executions: tuple[str, ...], learned: Learned | None) -> str:
    row = oldest.row
    words = (
        f"{row['step']} of {row['workflow']} was scheduled {format_duration(oldest.age_s)} ago in "
        f"{executions[0]}, at {clock(row['scheduled_at'])}, and no worker has started it."
    )
    if len(executions) > 1:
        others = counted(len(executions) - 1, "other execution")
        words += f" So it is in {others}: {named(executions[1:])}."
    if oldest.rule == "declared":
        limit = format_duration(row["schedule_to_start_timeout_s"])
        words += f" It declares that it is to be started within {limit}."
    if learned is not None:
        words += f" {compared(learned, 'wait')}"
        if oldest.rule != "declared":
            words += f" {sureness(learned, 'wait', WAIT_MIN_S)}"
    return words


def _next_steps(common: dict[str, str], step: str) -> tuple[str, ...]:
    queue = f"queue {common['queue']}" if "queue" in common else "its queue"
    return (
        f"Look whether workers that know {step} listen to {queue}, and whether they are all busy.",
        "If workers are busy, add some or limit what is scheduled at once.",
    )


DETECTOR: Final = Detector(
    "never_started", 3.0, judge, parameters, absorbed_by=("telemetry_silence", "dead_queue")
)
