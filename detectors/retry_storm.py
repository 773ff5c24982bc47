"""Retries of a step have grown for good: the same calls are made again and again, which loads what
is failing already.

A CUSUM over 10 s bins of the trailing hour, computed anew at every tick, so that ticks may be
skipped and a restart forgets nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.calibration import RetryHabit
from detectors.detector import Context, Detector, Place, Row, grouped, place_of
from detectors.explaining import clock, named, share
from detectors.statistics.retry_cusum import BIN_S, RetryCusum, RetryLoad
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

TRAILING: Final = timedelta(hours=1)
BUDGET_SHARE: Final = 0.2
MINUTE_BINS: Final = 6


@dataclass(frozen=True)
class Storm:
    """A chart over its limit. `since`: when its score last rose from zero."""

    since: datetime
    retries_60s: int
    firsts_60s: int
    bins: Sequence[Row]


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    return {
        "from": max(tick.until - TRAILING, tick.epoch),
        "until": tick.until,
        "bin_us": round(BIN_S * 1e6),
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each step whose retries storm."""
    habits = context.calibration.retries
    observations = []
    for group in grouped(rows, "namespace", "engine", "workflow", "step").values():
        place = place_of(group[0])
        habit = habits.get(place)
        if habit is None or not context.enabled(place) or not any(row["retries"] for row in group):
            continue
        budget = BUDGET_SHARE * context.config.false_alarms_per_week
        chart = RetryCusum(habit.dispersion, max(len(habits), 1), budget)
        storm = _storm(tick.until, group, habit, chart)
        if storm is not None:
            observations.append(_observe(tick, place, storm, habit, context))
    return observations


def _storm(
    until: datetime, rows: Sequence[Row], habit: RetryHabit, chart: RetryCusum
) -> Storm | None:
    """Run the chart from the oldest bin to the newest; a storm is what it ends with."""
    by_bin = {row["bin"]: row for row in rows}
    oldest = max(by_bin)
    load = RetryLoad.USUAL
    began = oldest
    counts = [
        (by_bin[bin_]["retries"], by_bin[bin_]["firsts"]) if bin_ in by_bin else (0, 0)
        for bin_ in range(oldest, -1, -1)
    ]
    retries_60s = firsts_60s = 0
    for place, (retries, firsts) in enumerate(counts):
        minute = counts[max(0, place + 1 - MINUTE_BINS) : place + 1]
        retries_60s = sum(count[0] for count in minute)
        firsts_60s = sum(count[1] for count in minute)
        if chart.score == 0.0:
            began = oldest - place
        load = chart.tick(retries, habit.ratio * firsts, retries_60s, firsts_60s)
    if load is not RetryLoad.STORM:
        return None
    since = until - timedelta(seconds=(began + 1) * BIN_S)
    return Storm(since, retries_60s, firsts_60s, [row for row in rows if row["bin"] <= began])


def _observe(
    tick: Tick, place: Place, storm: Storm, habit: RetryHabit, context: Context
) -> Observation:
    _, _, workflow, step = place
    retries = sum(row["retries"] for row in storm.bins)
    firsts = sum(row["firsts"] for row in storm.bins)
    # Without first attempts in the storm every attempt is a retry of an earlier one.
    amplification = (firsts + retries) / max(firsts, 1)
    executions = tuple(dict.fromkeys(one for row in storm.bins for one in row["executions"]))
    downstream = _most(storm.bins, "downstreams")
    queue = _most(storm.bins, "queues")
    error_type = _most(storm.bins, "error_types")
    calls = f" against {downstream}" if downstream else ""
    lasting = format_duration((tick.until - storm.since) / timedelta(seconds=1))
    explanation = (
        f"{step} of {workflow} has been tried again{calls} far more often than usual since "
        f"{clock(storm.since)}, for {lasting}: {retries:,} retries beside {firsts:,} first attempts, "
        f"{storm.retries_60s:,} of them in the last minute. Usually "
        f"{share(habit.ratio)} of first attempts are followed by a retry. "
        f"Every call is now made {amplification:.2g} times."
    )
    if error_type:
        explanation += f" The attempts mostly fail with {error_type}."
    explanation += f" Executions concerned: {named(executions)}."
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.CRITICAL),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=executions,
        count=len(executions),
        since=storm.since,
        title=f"{step} of {workflow} is in a retry storm{calls}",
        explanation=explanation,
        evidence={
            "retries": retries,
            "first_attempts": firsts,
            "retries_60s": storm.retries_60s,
            "first_attempts_60s": storm.firsts_60s,
            "usual_ratio": round(habit.ratio, 4),
            "dispersion": round(habit.dispersion, 3),
            "amplification": round(amplification, 2),
            "downstream": downstream,
            "queue": queue,
            "error_type": error_type,
        },
        next_steps=(
            f"Look whether {downstream or 'what the step calls'} is overloaded or refuses: "
            "retries keep it down.",
            "If it does not recover, slow the retries: exponential backoff with full jitter, "
            "fewer attempts, or a circuit breaker.",
        ),
    )


def _most(rows: Sequence[Row], name: str) -> str:
    """The value that most of the bins' most frequent ones are."""
    values = Counter(str(row[name][0]) for row in rows if row[name] and row[name][0])
    return values.most_common(1)[0][0] if values else ""


DETECTOR: Final = Detector("retry_storm", 10.0, judge, parameters)
