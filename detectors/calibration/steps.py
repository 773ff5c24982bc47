"""Thresholds from durations: of steps by version, and of whatever else has a beginning and an end."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from detectors.calibration.learned import EVERY_VERSION, Learned, Spread, StepKey, WorkflowKey
from detectors.statistics.correlation import GROUPS_MAX, correlation_factor
from detectors.statistics.samples import NOTHING, Floats, sorted_durations
from detectors.statistics.threshold import (
    RATCHET_FACTOR,
    alpha_for,
    per_week,
    stall_threshold,
)

Row = Mapping[str, Any]

CENSORED_SAMPLE: Final = 4000
"""Ages per step of attempts that have not completed; as many of them count as their share is."""
STEPS_LIMITS: Final = {"censored": CENSORED_SAMPLE, "alike": GROUPS_MAX}
"""What `steps.sql` takes beside its window and the sample's size."""


def learn_steps(
    rows: Sequence[Row], budget: float, fleet: float
) -> dict[StepKey, dict[str, Learned]]:
    """From rows of `steps.sql`, each version for itself and all together.

    `budget`: false alarms a week, shared by `fleet` attempts a week.
    """
    return {
        (row["namespace"], row["engine"], row["workflow"], row["step"]): versions
        for row, versions in _by_version(rows, ("step",), budget, fleet)
    }


def learn_executions(
    rows: Sequence[Row], budget: float, fleet: float
) -> dict[WorkflowKey, dict[str, Learned]]:
    """The same from rows of `executions.sql`."""
    return {
        (row["namespace"], row["engine"], row["workflow"]): versions
        for row, versions in _by_version(rows, (), budget, fleet)
    }


def _by_version(
    rows: Sequence[Row], names: tuple[str, ...], budget: float, fleet: float
) -> Iterator[tuple[Row, dict[str, Learned]]]:
    """A row of each place, and what is known of the place by version."""
    places: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        places[tuple(row[name] for name in ("namespace", "engine", "workflow", *names))].append(row)
    for versions in places.values():
        every = learned_from(_together(versions), budget, fleet)
        learned = {EVERY_VERSION: every}
        for row in versions:
            alone = len(versions) == 1
            learned[row["workflow_version"]] = every if alone else learned_from(row, budget, fleet)
        yield versions[0], learned


def _together(versions: Sequence[Row]) -> Row:
    if len(versions) == 1:
        return versions[0]
    return {
        "n": sum(row["n"] for row in versions),
        "weight": versions[0].get("weight", 1.0),
        "durations_s": np.concatenate([np.asarray(row["durations_s"]) for row in versions]),
        "censored": sum(row.get("censored", 0) for row in versions),
        "censored_s": np.concatenate([np.asarray(row.get("censored_s", ())) for row in versions]),
        "by_execution": [one for row in versions for one in row.get("by_execution", ())],
        "longest_live_s": max(row["longest_live_s"] for row in versions),
        "lateness_s": max(row["lateness_s"] for row in versions),
        "first_at": min(row["first_at"] for row in versions),
        "last_at": max(row["last_at"] for row in versions),
    }


def whole_n(row: Row) -> float:
    """How many there were, where a sample of them was read."""
    return float(row["n"] * row.get("weight", 1.0))


def learned_from(row: Row, budget: float, fleet: float) -> Learned:
    """τ of one thing: learned, longer where its durations are alike inside executions, and raised over
    what already was called late and then ended well."""
    ascending = sorted_durations(np.asarray(row["durations_s"], dtype=np.float64))
    alpha = alpha_for(budget, fleet, per_week(whole_n(row), span_s([row])))
    threshold = stall_threshold(ascending, alpha, censored_s=_censored_s(row, len(ascending)))
    factor = correlation_factor(_groups(row), alpha)
    if factor > 1 and threshold.seconds is not None:
        threshold = dataclasses.replace(threshold, seconds=factor * threshold.seconds)
    longest_s = row["longest_live_s"]
    # Where exceedances are rare by design, a completion beyond τ was flagged, and was a false alarm.
    flagged = threshold.seconds is not None and longest_s > threshold.seconds
    if flagged and threshold.rule != "conformal":
        threshold = dataclasses.replace(threshold, seconds=RATCHET_FACTOR * longest_s)
    rests_s = tuple(row.get("rests_s", ()))
    return Learned(threshold, Spread.of(ascending), row["lateness_s"], rests_s, factor)


def _censored_s(row: Row, sampled: int) -> Floats:
    """The ages of those that did not complete, as many as belong to the completed ones that were
    sampled: every so manieth."""
    ages_s = np.sort(np.asarray(row.get("censored_s", NOTHING), dtype=np.float64))
    if not len(ages_s):
        return NOTHING
    wanted = round(row["censored"] * sampled / row["n"])
    at = np.linspace(0, len(ages_s) - 1, min(wanted, len(ages_s)))
    return np.asarray(ages_s[at.round().astype(int)])


def _groups(row: Row) -> list[Floats]:
    by_execution: defaultdict[Any, list[float]] = defaultdict(list)
    for execution, duration_s in row.get("by_execution", ()):
        by_execution[execution].append(duration_s)
    return [np.array(group) for group in by_execution.values()]


def span_s(rows: Sequence[Row]) -> float:
    """Seconds from the first to the last of what these rows count."""
    first = min(row["first_at"] for row in rows)
    last = max(row["last_at"] for row in rows)
    return float((last - first).total_seconds())
