"""Thresholds from durations: of steps by version, and of whatever else has a beginning and an end."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from detectors.calibration.learned import EVERY_VERSION, Learned, Spread, StepKey, WorkflowKey
from detectors.calibration.rows import PAST, RECENT, Allowance, Row, by_place, far_enough, is_recent
from detectors.statistics.correlation import GROUPS_MAX, correlation_factor
from detectors.statistics.samples import NOTHING, Floats, sorted_durations
from detectors.statistics.threshold import (
    RATCHET_FACTOR,
    stall_threshold,
)

CENSORED_SAMPLE: Final = 4000
"""Ages per step of attempts that have not completed; as many of them count as their share is."""
STEPS_LIMITS: Final = {"censored": CENSORED_SAMPLE, "alike": GROUPS_MAX}
"""What `steps.sql` takes beside its window and the sample's size."""


def learn_steps(rows: Sequence[Row], allowance: Allowance) -> dict[StepKey, dict[str, Learned]]:
    """From rows of `steps.sql`, each version for itself and all together."""
    return {
        (row["namespace"], row["engine"], row["workflow"], row["step"]): versions
        for row, versions in _by_version(rows, ("step",), allowance)
    }


def learn_executions(
    rows: Sequence[Row], allowance: Allowance
) -> dict[WorkflowKey, dict[str, Learned]]:
    """The same from rows of `executions.sql`."""
    return {
        (row["namespace"], row["engine"], row["workflow"]): versions
        for row, versions in _by_version(rows, (), allowance)
    }


def _by_version(
    rows: Sequence[Row], names: tuple[str, ...], allowance: Allowance
) -> Iterator[tuple[Row, dict[str, Learned]]]:
    """A row of each place, and what is known of the place by version."""
    for of_place in by_place(rows, ("namespace", "engine", "workflow", *names)).values():
        every = far_enough(of_place)
        if every is None:
            continue
        learned = {EVERY_VERSION: learned_from(every, allowance.alpha(every))}
        versions = by_place(of_place, ("workflow_version",))
        for (version,), of_version in versions.items():
            row = far_enough(of_version)
            if len(versions) == 1:
                learned[version] = learned[EVERY_VERSION]
            elif row is not None:
                learned[version] = learned_from(row, allowance.alpha(row))
        yield every, learned


def learned_from(row: Row, alpha: float) -> Learned:
    """τ of one thing, of which a healthy one may be called late with the probability `alpha`: learned, longer where
    durations are alike inside executions, and raised over what already was called late and then ended well."""
    ascending = sorted_durations(np.asarray(row["durations_s"], dtype=np.float64))
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
    days = (RECENT if is_recent(row) else PAST).days
    return Learned(threshold, Spread.of(ascending, days), row["lateness_s"], rests_s, factor)


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
