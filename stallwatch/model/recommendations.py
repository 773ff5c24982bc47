"""What a step's timeout should be, and why: the row that report, API, SQL view and command line share."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

Verdict = Literal["too_tight", "too_loose", "ok", "no_timeout", "inconclusive"]

CHANGES: Final[tuple[Verdict, ...]] = ("too_tight", "no_timeout", "too_loose")
"""The verdicts that ask for a change, the most harmful first."""

RECOMMENDATION_FIELDS: Final = (
    "namespace", "engine", "workflow", "step", "n", "censored", "p50_s", "p95_s", "p99_s",
    "p999_s", "p99_low_s", "p99_high_s", "current_timeout_s", "recommended_timeout_s",
    "guidance_timeout_s", "buffer", "verdict", "healthy_cut", "stuck_s_saved", "week",
)  # fmt: skip
"""The columns of the public view, in its order."""
LOGGED_FIELDS: Final = (*RECOMMENDATION_FIELDS, "weekly_upper_s")
"""What is kept of a week: the view's columns, and what later weeks need of it."""

Change = Literal["at_once", "due", "wait", "keep"]
"""Whether to change the timeout: at once (it cuts off healthy attempts), now that it is due, not before next week's
report asks for it again, or not at all."""


@dataclass(frozen=True, kw_only=True)
class StepRecommendation:
    """One step's timeout, judged over one window. Durations are seconds, cuts shares from 0 to 1.

    `n` attempts completed, `censored` were ended by a timeout. None: not known, or not enough data.
    `healthy_cut`, `recommended_cut` and `guidance_cut`: the share of healthy attempts that the
    current, the recommended and the guidance's timeout would end; `recommended_cut_n`: how many of
    the `n` lasted longer than the recommended one. `buffer` is recommended / p99 - 1,
    `guidance_buffer` the b of guidance_timeout_s = p99·(1 + b). `stuck_s_saved`: how much sooner
    the recommended timeout would have ended what never completed (negative: later).
    """

    namespace: str
    engine: str
    workflow: str
    step: str
    n: int
    censored: int
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    p999_s: float | None = None
    p99_low_s: float | None = None
    p99_high_s: float | None = None
    current_timeout_s: float | None = None
    recommended_timeout_s: float | None = None
    guidance_timeout_s: float | None = None
    buffer: float | None = None
    verdict: Verdict
    healthy_cut: float | None = None
    stuck_s_saved: float | None = None
    week: date
    """The Monday of the week in which the window ends, UTC."""

    guidance_buffer: float
    recommended_cut: float | None = None
    guidance_cut: float | None = None
    recommended_cut_n: int | None = None
    missing_n: int = 0
    """Completions still needed for a verdict; 0 when there are enough."""
    canary_timeout_s: float | None = None
    """Worth a trial on a few attempts: so many time out that the timeout may hide a slow mode."""
    notes: tuple[str, ...] = ()
    """What a reader must know to trust these numbers, as sentences."""
    survival: tuple[tuple[float, float], ...] = ()
    """(duration, share of completed attempts that lasted at least as long), ascending, for plots."""
    trade_off: tuple[tuple[float, float], ...] = ()
    """(timeout, what it is expected to cost an attempt), seconds, ascending, for plots."""

    weekly_upper_s: float | None = None
    """The upper limit of the p99.9 by this window alone; `recommended_timeout_s` is smoothed over the weeks."""
    change: Change | None = None
    """None: nothing is recommended."""
    cheapest_timeout_s: float | None = None
    """Where the trade-off is lowest."""
    workflow_current_timeout_s: float | None = None
    workflow_p999_s: float | None = None
    """Of whole executions, by simulation of the step graph."""
    workflow_recommended_timeout_s: float | None = None


def week_of(until: datetime) -> date:
    """The Monday of the week in which a window ends that reaches up to `until` (aware), in UTC."""
    last = until.astimezone(UTC) - timedelta(microseconds=1)
    return last.date() - timedelta(days=last.weekday())
