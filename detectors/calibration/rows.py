"""Rows of the calibration's statements: durations of one thing, of the last week or of the weeks before it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from detectors.statistics.threshold import WEEK_S, alpha_for, per_week

Row = Mapping[str, Any]
"""`n` durations and a sample of them, `durations_s`; when the first and the last ended, `first_at` and `last_at`. Also,
or as said: for how many each of them stands, `weight` (1); all of them are of the last week, `is_recent` (True)."""

RECENT: Final = timedelta(days=7)
PAST: Final = timedelta(days=28)
ENOUGH: Final = 2_000
"""Of what RECENT has fewer durations, PAST teaches as well: a kind of attempt that comes once in a thousand would else
be forgotten before it comes again."""


@dataclass(frozen=True)
class Allowance:
    """`budget` false alarms a week, shared by `fleet` attempts a week, of things that were watched for `watched_s`."""

    budget: float
    fleet: float
    watched_s: float = WEEK_S

    @classmethod
    def of(cls, budget: float, rows: Sequence[Row], now: datetime) -> "Allowance":
        """Shared by what these rows count."""
        if not rows:
            return cls(budget, 0.0, 0.0)
        first_at = min(row["first_at"] for row in rows)
        recent = [row for row in rows if is_recent(row)] or rows
        since = max(first_at, now - RECENT)
        span_s = (max(row["last_at"] for row in recent) - since).total_seconds()
        n = sum(map(whole_n, recent))
        watched_s = (now - first_at).total_seconds()
        return cls(budget, per_week(n, span_s if span_s > 0 else watched_s), watched_s)

    def rate(self, row: Row) -> float:
        """How often this comes in a week. What came once in the first minute of a watch is not rare."""
        span_s = (row["last_at"] - row["first_at"]).total_seconds()
        return per_week(whole_n(row), span_s if span_s > 0 else self.watched_s)

    def alpha(self, row: Row) -> float:
        """The probability with which one of these may be called late."""
        return alpha_for(self.budget, self.fleet, self.rate(row))

    def expected(self, rows: Sequence[Row]) -> float:
        """False alarms a week among all of these."""
        span_s = min(self.watched_s, RECENT.total_seconds())
        counts = [per_week(whole_n(row), span_s) for row in rows if is_recent(row)]
        return sum(alpha_for(self.budget, self.fleet, count) * count for count in counts)


def whole_n(row: Row) -> float:
    """How many there were, where a sample of them was read."""
    return float(row["n"] * row.get("weight", 1.0))


def is_recent(row: Row) -> bool:
    return bool(row.get("is_recent", True))


def far_enough(rows: Sequence[Row]) -> Row | None:
    """Of rows of one thing the recent ones as one, and the earlier ones too where these are few; None without any.

    What was the longest counts from either: who learned that something may take so long does not forget it in a week.
    """
    every = together(rows)
    recent = [row for row in rows if is_recent(row)]
    if sum(row["n"] for row in recent) >= ENOUGH:
        return {**together(recent), "longest_live_s": every["longest_live_s"]}
    return every if every["n"] else None


def by_place(rows: Sequence[Row], names: tuple[str, ...]) -> dict[tuple[str, ...], list[Row]]:
    """The rows of each thing, which `names` tell apart."""
    places: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        places[tuple(row[name] for name in names)].append(row)
    return dict(places)


def together(rows: Sequence[Row]) -> Row:
    """One row of several; what else it names is the first one's."""
    if len(rows) == 1:
        return rows[0]
    return {
        **rows[0],
        "n": sum(row["n"] for row in rows),
        "durations_s": np.concatenate([np.asarray(row["durations_s"]) for row in rows]),
        "censored": sum(row.get("censored", 0) for row in rows),
        "censored_s": np.concatenate([np.asarray(row.get("censored_s", ())) for row in rows]),
        "by_execution": [one for row in rows for one in row.get("by_execution", ())],
        "longest_live_s": max(row["longest_live_s"] for row in rows),
        "lateness_s": max(row["lateness_s"] for row in rows),
        "first_at": min(row["first_at"] for row in rows),
        "last_at": max(row["last_at"] for row in rows),
        "is_recent": all(map(is_recent, rows)),
    }
