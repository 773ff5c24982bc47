"""Rises of a step's error rate over hours, which no window of an hour shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

import numpy as np

from detectors.budget import part_of
from detectors.statistics.bursts import (
    ERRORS_MIN,
    RATE_FACTOR,
    RATE_MORE,
    discoveries,
    dispersion_by_moments,
    rate_of,
    widened,
    window_evidence,
)
from detectors.statistics.samples import Floats
from stallwatch.store import Store

WINDOWS_H: Final = (6, 12, 24)
PAST: Final = timedelta(days=7)
PAST_WINDOWS_MIN: Final = 4
"""Windows of the same length, back to back before the one that is judged, that its rate is held against."""
LOOKS_PER_WEEK: Final = 168

StepKey = tuple[str, str, str, str]
"""namespace, engine, workflow, step"""


@dataclass(frozen=True)
class Trend:
    """A rise that is none of chance: errors and attempts since, and of the week before."""

    since: datetime
    errors: float
    attempts: float
    errors_before: float
    attempts_before: float
    evidence: float


def learn_trends(store: Store, now: datetime, budget_per_week: float) -> dict[StepKey, Trend]:
    """The steps that have failed more often for 6, 12 or 24 hours than in the days before."""
    rows = store.select(
        (files("detectors.calibration") / "trends.sql").read_text(encoding="utf-8").strip(),
        {
            "from": now - PAST - timedelta(hours=WINDOWS_H[-1]),
            "until": now,
            "errors_min": ERRORS_MIN,
        },
    )
    return trends_of(rows, now, part_of(budget_per_week, "error_burst"))


def trends_of(
    rows: Sequence[Mapping[str, Any]], now: datetime, budget: float
) -> dict[StepKey, Trend]:
    """From `attempts` and `errors` per hour, `hours` counted back; of each step the longest rise."""
    level = budget / LOOKS_PER_WEEK / len(WINDOWS_H)
    keys = [(row["namespace"], row["engine"], row["workflow"], row["step"]) for row in rows]
    found: dict[StepKey, Trend] = {}
    for hours in WINDOWS_H:
        trends = [_trend(row, hours, now) for row in rows]
        evidence = np.array([0.0 if one is None else one.evidence for one in trends])
        for number in np.flatnonzero(discoveries(evidence, len(rows), level)):
            trend = trends[number]
            if trend is not None:
                found[keys[number]] = trend
    return found


def _trend(row: Mapping[str, Any], hours: int, now: datetime) -> Trend | None:
    """What the newest window of this length shows against those before; None where it is nothing, or they are few."""
    errors, attempts = (_by_window(row, name, hours) for name in ("errors", "attempts"))
    e, n = errors[1:], attempts[1:]
    if np.count_nonzero(n) < PAST_WINDOWS_MIN:
        return None
    p = float(rate_of(e.sum(), n.sum()))
    if errors[0] <= max(RATE_FACTOR * p, p + RATE_MORE) * attempts[0]:
        return None
    sums = (e, n, n * n, n * (n - 1), e * n, e * e)
    rho = dispersion_by_moments(*(np.atleast_1d(one.sum()) for one in sums))
    evidence = window_evidence(
        errors[:1],
        attempts[:1],
        np.array([p]),
        np.atleast_1d(n.sum()),
        widened(rho, np.atleast_1d(np.count_nonzero(n))),
    )
    # The newest hour is the one that has begun.
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)
    return Trend(
        since,
        float(errors[0]),
        float(attempts[0]),
        float(e.sum()),
        float(n.sum()),
        float(evidence[0]),
    )


def _by_window(row: Mapping[str, Any], name: str, hours: int) -> Floats:
    """Sums per window, the newest first."""
    windows = int((PAST + timedelta(hours=hours)) / timedelta(hours=hours))
    place = np.asarray(row["hours"], dtype=np.int64) // hours
    counts = np.asarray(row[name], dtype=np.float64)
    sums = np.bincount(place, weights=counts, minlength=windows)
    return np.asarray(sums[:windows], dtype=np.float64)
