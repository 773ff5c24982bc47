"""Public event logs as if they were watched: what is learned and what is called, as the product does it.

Every day the thresholds are learned from the last seven days, of what comes seldom from 28, with the alpha that the
budget gives. What is called late and then ends raises them at once and, while it is not older than 28 days, whenever
they are learned. Beside it, what seven days alone would do. The first four weeks teach and are not judged. Every
attempt of these logs ended, so every call is a false alarm.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors import table
from benchmarks.detectors._log_attempts import Attempts, row_of
from benchmarks.detectors._log_stalls import Kind, end
from benchmarks.detectors._public_logs import Log
from detectors.budget import part_of
from detectors.calibration.learned import Learned
from detectors.calibration.rows import PAST, RECENT, Allowance, far_enough
from detectors.calibration.steps import learned_from
from detectors.statistics.samples import Floats
from detectors.statistics.threshold import RATCHET_FACTOR, WEEK_S

DAY_S: Final = 86400.0
PAST_S: Final = PAST.total_seconds()
RECENT_S: Final = RECENT.total_seconds()
BUDGET: Final = part_of(1.0, "stalled_step")


@dataclass
class Called:
    """Attempts called late, by their number: when, when they ended, and what they took. Of each attempt that began, the
    `alphas` and (logarithms of) `limits` under which it did, not a number where nothing was known."""

    attempts: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    alphas: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)

    @property
    def findings(self) -> int:
        """Calls of one step that overlap are one finding."""
        found, over = 0, -np.inf
        for called_at, ended_at, _ in sorted(self.attempts.values()):
            found += called_at > over
            over = max(over, ended_at)
        return found


def watched(logs: Sequence[tuple[Log, Sequence[tuple[str, Kind]]]]) -> str:
    """A row for each log and kind of duration."""
    rows = [
        _row(f"{log.name}: {name}", log, kind(log)) for log, kinds in logs for name, kind in kinds
    ]
    headings = (
        "log", "weeks", "judged", "nothing known", "alpha, median", "expected a week", "called a week",
        "findings a week", "used", "ended in one hour", "a week alone: findings", "used", "length",
    )  # fmt: skip
    return table(headings, rows)


def _row(name: str, log: Log, steps: Sequence[Attempts]) -> list[str]:
    first = min(case[0].at for case in log.cases)
    days = np.arange(first + PAST_S, end(log), DAY_S)
    ends = np.sort(np.concatenate([step.end for step in steps]))
    fleets = np.searchsorted(ends, days, "right") - np.searchsorted(ends, days - RECENT_S, "right")
    weeks = (end(log) - days[0]) / WEEK_S
    as_is = [week_by_week(step, days, fleets) for step in steps]
    alphas = [alpha for one in as_is for alpha in one.alphas]
    attempts = sum(len(one.attempts) for one in as_is)
    hours = Counter(
        int(step.end_hour[at])
        for step, one in zip(steps, as_is, strict=True)
        for at in one.attempts
    )
    week = [week_by_week(step, days, fleets, RECENT_S) for step in steps]
    return [
        name, f"{weeks:.0f}", f"{sum(int((step.begin >= days[0]).sum()) for step in steps):,}",
        f"{np.isnan(_limits(as_is)).sum():,}", f"{np.median(alphas):.1e}", f"{sum(alphas) / weeks:.2f}",
        f"{attempts / weeks:.2f}", *_findings_and_use(as_is, weeks),
        f"{max(hours.values(), default=0) / max(attempts, 1):.0%}",
        *_findings_and_use(week, weeks), f"{np.exp(np.nanmean(_limits(week) - _limits(as_is))):.2f}",
    ]  # fmt: skip


def _findings_and_use(called: Sequence[Called], weeks: float) -> tuple[str, str]:
    allowed = sum(sum(one.alphas) for one in called)
    used = sum(len(one.attempts) for one in called) / allowed
    return f"{sum(one.findings for one in called) / weeks:.2f}", f"{used:.2f}"


def _limits(called: Sequence[Called]) -> Floats:
    return np.array([limit for one in called for limit in one.limits])


def week_by_week(
    step: Attempts,
    days: NDArray[np.float64],
    fleets: NDArray[np.int64],
    memory_s: float = PAST_S,
) -> Called:
    """What is called of one step. `days`: when to learn; `fleets`: attempts of all steps that ended in the week
    before; `memory_s`: nothing is learned from what is older."""
    called = Called()
    for at, fleet in zip(days, fleets, strict=True):
        until = at + DAY_S
        here = np.flatnonzero((step.begin < until) & (step.end > at) & (step.begin >= days[0]))
        if not len(here):
            continue
        known = _known(step, at, int(fleet), memory_s)
        began = int((step.begin[here] >= at).sum())
        if known is None or known.limit_s is None:
            called.limits += [np.nan] * began
            continue
        called.alphas += [known.threshold.alpha] * began
        called.limits += [float(np.log(known.limit_s))] * began
        order = here[np.argsort(step.begin[here], kind="stable")]
        _one_day(step, order, (at, until), known.limit_s, known.slack_s, called)
    return called


def _known(step: Attempts, at: float, fleet: int, memory_s: float) -> Learned | None:
    """What is learned then."""
    begun, open_ = step.begin < at, step.end > at
    recent = np.where(open_, step.begin > at - memory_s, step.end > at - RECENT_S)
    earlier = ~open_ & (step.end <= at - RECENT_S) & (step.end > at - memory_s)
    random = np.random.default_rng(17)
    rows = [
        {**row_of(part, at, random), "is_recent": is_recent}
        for part, is_recent in ((step.where(begun & recent), True), (step.where(earlier), False))
        if (part.end <= at).any()
    ]
    row = far_enough(rows) if rows else None
    if row is None:
        return None
    return learned_from(row, Allowance(BUDGET, float(fleet)).alpha(row))


def _raised(limit_s: float, took_s: float, slack_s: float) -> float:
    return RATCHET_FACTOR * took_s + slack_s if took_s > limit_s else limit_s


def _one_day(
    step: Attempts,
    order: NDArray[np.intp],
    day: tuple[float, float],
    limit_s: float,
    slack_s: float,
    called: Called,
) -> None:
    """Attempts in the order in which they begin, and so cross the limit; the ends of those called raise it."""
    since, until = day
    ends = {int(one): (float(step.end[one]), float(step.durations_s[one])) for one in order}
    lessons = sorted(ends[one] for one in called.attempts if one in ends)
    for one in ends:
        while lessons and lessons[0][0] <= max(since, step.begin[one] + limit_s):
            limit_s = _raised(limit_s, heappop(lessons)[1], slack_s)
        crosses_at = max(since, float(step.begin[one]) + limit_s)
        ended_at, took_s = ends[one]
        if crosses_at < min(ended_at, until) and one not in called.attempts:
            called.attempts[one] = (crosses_at, ended_at, took_s)
            heappush(lessons, (ended_at, took_s))
