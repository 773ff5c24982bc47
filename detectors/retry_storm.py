"""Retries of a step have grown for good: the same calls are made again and again, which loads what
is failing already.

A CUSUM over 10 s bins of the trailing twenty minutes, computed anew at every tick, so that ticks may be
skipped and a restart forgets nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from detectors.budget import share
from detectors.calibration import RetryHabit
from detectors.detector import Context, Detector, Row, folded_from, place_of
from detectors.statistics.backoff import SYNCHRONISATION_BIN_S
from detectors.statistics.retry_cusum import (
    BIN_S,
    CHARTS,
    STORM_RATIO,
    STORM_RETRIES_MIN,
    STORM_SHARE_MIN,
    SUDDEN_RETRIES_MIN,
    RetryCusum,
    RetryLoad,
    are_many,
)
from detectors.storm import PATTERN_BINS, TRAILING, Bin, Storm, root_causes
from detectors.storm_words import explain, next_steps
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

MINUTE_BINS: Final = 6
HALF_MINUTE_BINS: Final = 3
DETAILED: Final = 50
"""Of so many steps at a time the executions, pauses and jitter are read: enough to see what is wrong."""
SAMPLE: Final = 40
CALLERS_MIN: Final = 3


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    return {
        "folded_from": folded_from(tick, TRAILING),
        "from": max(tick.until - TRAILING, tick.epoch),
        "until": tick.until,
        "bin_us": round(BIN_S * 1e6),
        "slot_us": round(SYNCHRONISATION_BIN_S * 1e6),
        "minute_bins": MINUTE_BINS,
        "half_minute_bins": HALF_MINUTE_BINS,
        "pattern_bins": PATTERN_BINS,
        "retries_min": STORM_RETRIES_MIN,
        "sudden_retries_min": SUDDEN_RETRIES_MIN,
        "share_min": STORM_SHARE_MIN,
        "detailed": DETAILED,
        "sample": SAMPLE,
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each step whose retries storm."""
    habits = context.calibration.retries
    budget = share(context.config, DETECTOR.id)
    storms = []
    for row in rows:
        habit = habits.get(place_of(row))
        if not row["raised"] or habit is None or not context.enabled(place_of(row)):
            continue
        storm = storm_of(tick, row, habit, charts_of(habit, len(habits), budget))
        if storm is not None:
            storms.append(storm)
    if not storms:
        return []
    causes = root_causes(rows, habits)
    return [_observe(storm, causes.get(storm.place[0]), context) for storm in storms]


def charts_of(habit: RetryHabit, steps: int, budget: float) -> tuple[RetryCusum, ...]:
    """The two charts of a step, of so many steps that share the budget."""
    return tuple(
        RetryCusum(
            habit.dispersion,
            len(CHARTS) * max(steps, 1),
            budget,
            ratio=ratio,
            inflation=habit.inflation,
            evidence_max=habit.evidence_max,
        )
        for ratio in CHARTS
    )


def storm_of(tick: Tick, row: Row, habit: RetryHabit, charts: Sequence[RetryCusum]) -> Storm | None:
    """Run the charts from the oldest bin to the newest; a storm is what one of them ends with."""
    bins = {one.number: one for one in map(Bin._make, row["bins"])}
    # The retries of one stubborn call are no proof of many: only the slower chart believes them.
    lately = {one for number, ids in row["executions"] if number < MINUTE_BINS for one in ids}
    trusted = [one for one in charts if one.ratio == STORM_RATIO or len(lately) >= CALLERS_MIN]
    found = [at for one in trusted if (at := _began(one, bins, habit)) is not None]
    if not found:
        return None
    began = max(found)
    return Storm(
        row=row,
        habit=habit,
        since=max(tick.until - timedelta(seconds=(began + 1) * BIN_S), tick.epoch),
        until=tick.until,
        began=began,
        bins=tuple(one for one in bins.values() if one.number <= began),
        lately=tuple(one for one in bins.values() if one.number < MINUTE_BINS),
    )


def _began(chart: RetryCusum, bins: Mapping[int, Bin], habit: RetryHabit) -> int | None:
    """The bin in which the chart's score last rose from zero; None where it does not end in a storm."""
    oldest = began = max(bins)
    load = RetryLoad.USUAL
    counts = [
        (bins[number].retries, bins[number].firsts) if number in bins else (0, 0)
        for number in range(oldest, -1, -1)
    ]
    many = is_big(counts)
    for index, (retries, firsts) in enumerate(counts):
        if chart.score == 0.0:
            began = oldest - index
        load = chart.tick(retries, habit.ratio * firsts, many)
    return began if load is RetryLoad.STORM else None


def is_big(counts: Sequence[tuple[int, int]]) -> bool:
    """Whether the newest bins, the last one here, hold many retries: of a minute, or of half a minute."""
    return any(
        are_many(sum(one[0] for one in lately), sum(one[1] for one in lately), least)
        for lately, least in (
            (counts[-MINUTE_BINS:], STORM_RETRIES_MIN),
            (counts[-HALF_MINUTE_BINS:], SUDDEN_RETRIES_MIN),
        )
    )


def _observe(storm: Storm, cause: tuple[str, float] | None, context: Context) -> Observation:
    namespace, engine, workflow, step = storm.place
    executions = storm.executions
    downstream = storm.downstream
    calls = f" against {downstream}" if downstream else ""
    evidence = {
        "retries": storm.retries,
        "first_attempts": storm.firsts,
        "retries_60s": storm.retries_60s,
        "first_attempts_60s": storm.firsts_60s,
        "usual_ratio": round(storm.habit.ratio, 4),
        "dispersion": round(storm.habit.dispersion, 3),
        "amplification": round(storm.amplification, 2),
        "downstream": downstream,
        "amplification_60s": {
            name: round(times, 2) for name, times in storm.amplifications().items()
        },
        "queue": storm.most("queues"),
        "error_type": storm.most("error_types"),
        "first_failure_share_60s": round(storm.first_failure_share, 4),
        "usual_first_failure_share": round(storm.habit.first_failures, 4),
        "goodput_60s": round(storm.goodput, 4),
        "trigger_gone": storm.trigger_is_gone,
        "backoff": storm.pattern.backoff.value,
        "jitter": storm.pattern.jitter.value,
        "pauses_s": {
            str(attempt): round(pause_s, 3) for attempt, pause_s in storm.pattern.medians_s.items()
        },
        "fano": round(storm.pattern.fano, 1),
        "synchronised": storm.pattern.synchronised,
    }
    if cause is not None:
        evidence["root_cause"] = cause[0]
        evidence["root_cause_score"] = round(cause[1], 2)
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(storm.place, Severity.CRITICAL),
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=step,
        executions=executions,
        count=len(executions),
        since=storm.since,
        title=f"{step} of {workflow} is in a retry storm{calls}",
        explanation=explain(storm, cause),
        evidence=evidence,
        next_steps=next_steps(storm, cause),
    )


DETECTOR: Final = Detector("retry_storm", 5.0, judge, parameters, needs=("retried",))
