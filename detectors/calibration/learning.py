"""From the store's past to thresholds. One statement per kind of thing, once an hour."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

import numpy as np

from detectors.calibration.declared import Declared, declared_of
from detectors.calibration.learned import (
    EVERY_VERSION,
    Calibration,
    Learned,
    RetryHabit,
    Spread,
    StepKey,
)
from detectors.statistics.retry_cusum import DISPERSION_MAX, DISPERSION_MIN
from detectors.statistics.samples import Floats, sorted_durations
from detectors.statistics.threshold import (
    RATCHET_FACTOR,
    alpha_for,
    per_week,
    stall_threshold,
)
from stallwatch.store import Store

WINDOW: Final = timedelta(days=7)
RETRY_WINDOW: Final = timedelta(days=1)
RETRY_LAG: Final = timedelta(hours=1)
SAMPLE: Final = 20_000
"""Durations per step that a threshold is learned from."""

STALL_SHARE: Final = 0.36
SILENCE_SHARE: Final = 0.04
"""Of the weekly budget of false alarms, 40 % are for stalls: nearly all of that is spread over the
attempts of a week, which gives the probability that executions and gaps are held to as well; senders
have a tenth of it."""
GAPS_MIN: Final = 50
"""A sender with fewer known gaps is not judged."""
RECURRENT: Final = 3
"""A silence that happened so often in a week is a habit (nights, batch runs), not an outage."""
FIRSTS_MIN: Final = 50
"""First attempts that a retry ratio needs."""

Row = Mapping[str, Any]


def learn(store: Store, now: datetime, budget_per_week: float) -> Calibration:
    """Calibrate everything as of `now` from the last seven days, imported history included.

    `budget_per_week`: false alarms that all detectors together may raise.
    """
    window = {"from": now - WINDOW, "until": now}
    sampled = {**window, "sample": SAMPLE}
    steps = store.select(statement("steps"), sampled)
    gaps = store.select(statement("gaps"), sampled)
    executions = store.select(statement("executions"), sampled)
    senders = store.select(statement("senders"), sampled)
    budget = STALL_SHARE * budget_per_week
    fleet = _fleet_per_week(steps)
    return Calibration(
        at=now,
        steps=_learn_steps(steps, budget, fleet),
        gaps={_step_key(row): _learned(row, budget, fleet) for row in gaps},
        executions={
            (row["namespace"], row["engine"], row["workflow"]): _learned(row, budget, fleet)
            for row in executions
        },
        senders=_learn_senders(senders, SILENCE_SHARE * budget_per_week),
        last_beats={row["sender"]: row["last_at"] for row in senders},
        retries=_learn_retries(store, now),
        declared=read_declared(store),
    )


def read_declared(store: Store) -> Declared:
    """What definitions declare now."""
    return declared_of(store.select(statement("declared")))


def statement(name: str) -> str:
    """The text of one of this room's statements."""
    path = files("detectors.calibration") / f"{name}.sql"
    return path.read_text(encoding="utf-8").strip()


def _step_key(row: Row) -> StepKey:
    return (row["namespace"], row["engine"], row["workflow"], row["step"])


def _span_s(rows: Sequence[Row]) -> float:
    first = min(row["first_at"] for row in rows)
    last = max(row["last_at"] for row in rows)
    return float((last - first).total_seconds())


def _fleet_per_week(rows: Sequence[Row]) -> float:
    """Durations of the whole fleet in a week."""
    return per_week(sum(row["n"] for row in rows), _span_s(rows)) if rows else 0.0


def _learn_steps(
    rows: Sequence[Row], budget: float, fleet: float
) -> dict[StepKey, dict[str, Learned]]:
    by_step: defaultdict[StepKey, list[Row]] = defaultdict(list)
    for row in rows:
        by_step[_step_key(row)].append(row)
    learned: dict[StepKey, dict[str, Learned]] = {}
    for key, versions in by_step.items():
        together = _together(versions)
        learned[key] = {EVERY_VERSION: _learned(together, budget, fleet)}
        if len(versions) > 1:
            for row in versions:
                learned[key][row["workflow_version"]] = _learned(row, budget, fleet)
        else:
            learned[key][versions[0]["workflow_version"]] = learned[key][EVERY_VERSION]
    return learned


def _together(versions: Sequence[Row]) -> Row:
    if len(versions) == 1:
        return versions[0]
    return {
        "n": sum(row["n"] for row in versions),
        "durations_s": np.concatenate([np.asarray(row["durations_s"]) for row in versions]),
        "longest_live_s": max(row["longest_live_s"] for row in versions),
        "lateness_s": max(row["lateness_s"] for row in versions),
        "first_at": min(row["first_at"] for row in versions),
        "last_at": max(row["last_at"] for row in versions),
    }


def _learned(row: Row, budget: float, fleet: float) -> Learned:
    """τ of one thing: learned, and raised over what already was called late and then ended well."""
    ascending = sorted_durations(np.asarray(row["durations_s"], dtype=np.float64))
    alpha = alpha_for(budget, fleet, per_week(row["n"], _span_s([row])))
    threshold = stall_threshold(ascending, alpha)
    longest_s = row["longest_live_s"]
    # Where exceedances are rare by design, a completion beyond τ was flagged, and was a false alarm.
    flagged = threshold.seconds is not None and longest_s > threshold.seconds
    if flagged and threshold.rule != "conformal":
        threshold = stall_threshold(ascending, alpha, ratchet_s=RATCHET_FACTOR * longest_s)
    return Learned(threshold, Spread.of(ascending), row["lateness_s"], row.get("rest_s", 0.0))


def _learn_senders(rows: Sequence[Row], budget: float) -> dict[str, Learned]:
    fleet = _fleet_per_week(rows)
    learned = {}
    for row in rows:
        # The first delivery follows no other.
        gaps = np.asarray(row["durations_s"], dtype=np.float64)
        ascending: Floats = sorted_durations(gaps[gaps > 0])
        if len(ascending) < GAPS_MIN:
            continue
        alpha = alpha_for(budget, fleet, per_week(row["n"], _span_s([row])))
        threshold = stall_threshold(ascending, alpha, ratchet_s=_habitual_s(row))
        learned[row["sender"]] = Learned(threshold, Spread.of(ascending), row["lateness_s"])
    return learned


def _habitual_s(row: Row) -> float | None:
    longest = sorted(-gap_s for gap_s in row["longest_negative"])
    return RATCHET_FACTOR * longest[-RECURRENT] if len(longest) >= RECURRENT else None


def _learn_retries(store: Store, now: datetime) -> dict[StepKey, RetryHabit]:
    """The habits of the trailing day without its last hour, which may hold the storm that is to be
    told; with it for steps that were hardly seen before."""
    habits: dict[StepKey, RetryHabit] = {}
    for until in (now, now - RETRY_LAG):
        window = {"from": now - RETRY_WINDOW, "until": until}
        for row in store.select(statement("retries"), window):
            habit = _habit(row)
            if habit is not None:
                habits[_step_key(row)] = habit
    return habits


def _habit(row: Row) -> RetryHabit | None:
    """Ratio and dispersion by moments: k = Σm² ÷ Σ((R-m)² - m) with m = ratio·F, expanded into sums.

    The ratio counts half a retry more than was seen: none in a hundred is not never.
    """
    firsts = row["sum_f"]
    if firsts < FIRSTS_MIN:
        return None
    ratio = (row["sum_r"] + 0.5) / firsts
    squares = ratio * ratio * row["sum_ff"]
    excess = row["sum_rr"] - 2 * ratio * row["sum_fr"] + squares - ratio * firsts
    dispersion = squares / excess if excess > 0 else DISPERSION_MAX
    return RetryHabit(firsts, ratio, min(max(dispersion, DISPERSION_MIN), DISPERSION_MAX))
