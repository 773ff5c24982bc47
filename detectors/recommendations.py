"""Which timeout every step should have: durations from the store, judged step by step.

The arithmetic is in `detectors.statistics.timeouts`; this gathers what it needs, tests its answer
against the same past, and says what limits the answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from typing import Any, Final

import numpy as np
import pandas as pd

from detectors.calibration import Declared, read_declared
from detectors.explaining import declared_in
from detectors.statistics.samples import Floats, sorted_durations
from detectors.statistics.timeouts import (
    BUFFER_DEFAULT,
    CANARY_SHARE,
    GUIDANCE_Q,
    RECOMMENDED_Q,
    Recommendation,
    completions_needed,
    recommend,
)
from stallwatch.model.durations import format_duration
from stallwatch.model.recommendations import StepRecommendation, week_of
from stallwatch.store import Store

PER_STEP_MAX: Final = 20_000
"""Attempts of one step that are looked at, the latest; enough for p99.9 with a narrow interval."""
SURVIVAL_POINTS: Final = 120
WorkflowKey = tuple[str, str, str]
"""namespace, engine, workflow"""

_SQL: Final = (files("detectors") / "recommendations.sql").read_text(encoding="utf-8")
_WORKFLOWS: Final = """SELECT DISTINCT namespace, engine, workflow FROM attempts
WHERE ended_at >= {since:DateTime64(6, 'UTC')} AND ended_at < {until:DateTime64(6, 'UTC')}
    AND workflow != ''
ORDER BY namespace, engine, workflow"""


@dataclass(frozen=True)
class Attempts:
    """A step's attempts that ended: seconds they took. The unfinished are those that never completed."""

    completed_s: Floats
    timed_out_s: Floats
    cancelled_s: Floats
    current_timeout_s: float | None
    declared: bool
    """Whether someone declared the current timeout; else it is what timed-out attempts lasted."""
    declared_by: str
    """The source of the definition that declared it; empty: the attempts themselves did, or nobody."""
    dropped: int
    """Left out because they ran under a shorter timeout than the current one."""
    capped: bool
    """There were more than PER_STEP_MAX."""


def recommend_timeouts(
    store: Store, since: datetime, until: datetime, guidance_buffer: float = BUFFER_DEFAULT
) -> list[StepRecommendation]:
    """Judge every step of which an attempt ended in [since, until), by namespace, engine, workflow, step.

    Reads one workflow at a time, so that memory is bounded by its steps. `guidance_buffer`: the b
    of the policy p99·(1 + b); ValueError outside [0.2, 0.5].
    """
    declared = read_declared(store)
    window: dict[str, Any] = {"since": since, "until": until}
    week = week_of(until)
    found: list[StepRecommendation] = []
    for key in store.select(_WORKFLOWS, window):
        frame = store.frame(_SQL, {**window, **key, "per_step_max": PER_STEP_MAX})
        workflow = (key["namespace"], key["engine"], key["workflow"])
        for step, attempts in by_step(frame, workflow, declared):
            found.append(
                judge(**key, step=step, attempts=attempts, week=week, buffer=guidance_buffer)
            )
    return found


def by_step(
    frame: pd.DataFrame, workflow: WorkflowKey, declared: Declared
) -> Iterator[tuple[str, Attempts]]:
    """Split the rows of a workflow's statement (step, workflow_version, status, duration_s, timeout_s; latest first)
    into steps.

    The current timeout is the latest that an attempt declares, or that of the definition of the latest version, or,
    where attempts time out although none is declared, what the timed-out ones lasted (median). What ran under a
    shorter one is left out: it was cut off where it now would not be, and would pull the percentiles down.
    """
    if frame.empty:
        return
    for step, rows in frame.groupby("step", sort=True):
        duration_s = rows["duration_s"].to_numpy(dtype=np.float64)
        timeout_s = rows["timeout_s"].to_numpy(dtype=np.float64, na_value=np.nan)
        status = rows["status"].to_numpy(dtype=object)
        told = timeout_s[timeout_s > 0]
        seen = duration_s[status == "timed_out"]
        version = str(rows["workflow_version"].iloc[0])
        defined = declared.of((*workflow, str(step)), version).get("timeout_s")
        if len(told):
            current_s: float | None = float(told[0])
        elif defined is not None:
            current_s = float(defined.value)
        else:
            current_s = float(np.median(seen)) if len(seen) else None
        shorter = (timeout_s > 0) & (timeout_s < (current_s or 0.0))
        yield (
            str(step),
            Attempts(
                completed_s=duration_s[(status == "completed") & ~shorter],
                timed_out_s=duration_s[(status == "timed_out") & ~shorter],
                cancelled_s=duration_s[(status == "cancelled") & ~shorter],
                current_timeout_s=current_s,
                declared=len(told) > 0 or defined is not None,
                declared_by=defined.source if defined is not None and not len(told) else "",
                dropped=int(shorter.sum()),
                capped=len(rows) >= PER_STEP_MAX,
            ),
        )


def judge(
    *, namespace: str, engine: str, workflow: str, step: str,
    attempts: Attempts, week: date, buffer: float = BUFFER_DEFAULT,
) -> StepRecommendation:  # fmt: skip
    """Recommend, then test it against the same attempts.

    Cancelled attempts do not count as cut off by the timeout: someone else ended them. But those
    that outlived the recommended timeout would have ended sooner.
    """
    advice = recommend(
        attempts.completed_s, len(attempts.timed_out_s), attempts.current_timeout_s, buffer
    )
    recommended_s = advice.recommended_timeout_s
    return StepRecommendation(
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=step,
        n=advice.n,
        censored=advice.censored,
        p50_s=advice.p50_s,
        p95_s=advice.p95_s,
        p99_s=advice.p99_s,
        p999_s=advice.p999_s,
        p99_low_s=advice.p99_low_s,
        p99_high_s=advice.p99_high_s,
        current_timeout_s=advice.current_timeout_s,
        recommended_timeout_s=recommended_s,
        guidance_timeout_s=advice.guidance_timeout_s,
        buffer=advice.buffer,
        verdict=advice.verdict,
        healthy_cut=advice.healthy_cut,
        stuck_s_saved=None if recommended_s is None else stuck_s_saved(attempts, recommended_s),
        week=week,
        guidance_buffer=advice.guidance_buffer,
        recommended_cut=advice.recommended_cut,
        guidance_cut=advice.guidance_cut,
        recommended_cut_n=(
            None if recommended_s is None else int((attempts.completed_s > recommended_s).sum())
        ),
        missing_n=advice.missing_n,
        canary_timeout_s=advice.canary_timeout_s,
        notes=tuple(_notes(advice, attempts)),
        survival=survival(attempts.completed_s),
    )


def stuck_s_saved(attempts: Attempts, timeout_s: float) -> float:
    """Seconds that `timeout_s` would have spared the attempts that never completed, at the ages they had.

    A timed-out attempt would have gone on to a longer timeout (negative); a cancelled one that was
    younger would have been cancelled all the same (nothing).
    """
    timed_out = float((attempts.timed_out_s - timeout_s).sum())
    cancelled = float(np.maximum(attempts.cancelled_s - timeout_s, 0.0).sum())
    return timed_out + cancelled


def survival(durations_s: Floats, points: int = SURVIVAL_POINTS) -> tuple[tuple[float, float], ...]:
    """(duration, share that lasted at least as long), ascending: at most `points`, dense in the tail."""
    ascending = sorted_durations(durations_s)
    n = len(ascending)
    if n == 0:
        return ()
    # Shares fall evenly on a logarithmic axis from 1 to 1/n: that is how the curve is drawn.
    longer = np.unique(np.round(np.geomspace(n, 1, points)).astype(np.int64))[::-1]
    return tuple((float(ascending[n - count]), float(count / n)) for count in longer)


def _notes(advice: Recommendation, attempts: Attempts) -> Iterator[str]:
    for_recommended = completions_needed(RECOMMENDED_Q)
    if advice.recommended_timeout_s is not None and advice.n < for_recommended:
        yield (
            f"Below {for_recommended:,} completions ({advice.n:,} here) the limit of p99.9 is a "
            "tail model's estimate: it may be too low where durations have a heavy tail."
        )
    timed_out_share = advice.censored / max(advice.n + advice.censored, 1)
    if advice.n and timed_out_share > 1 - GUIDANCE_Q:
        yield (
            f"{timed_out_share * 100:.2g} % of the attempts timed out: the percentiles are those of the "
            "completed ones, and lower than the step's own."
        )
    if advice.canary_timeout_s is not None and advice.current_timeout_s is not None:
        yield (
            f"{advice.censored:,} of {advice.n + advice.censored:,} attempts timed out at "
            f"{format_duration(advice.current_timeout_s)}, and the completed ones cannot tell "
            f"whether more time would have helped: try {format_duration(advice.canary_timeout_s)} "
            f"on {CANARY_SHARE:.0%} of the attempts."
        )
    if attempts.current_timeout_s is not None and not attempts.declared:
        yield (
            "The current timeout is not declared in the telemetry: it is what the timed-out "
            "attempts lasted."
        )
    if attempts.declared_by:
        yield f"The current timeout is {declared_in(attempts.declared_by)}, not by the attempts."
    if attempts.dropped:
        yield (
            f"{attempts.dropped:,} attempts ran under a shorter timeout than the current one and "
            "are left out."
        )
    if attempts.capped:
        yield f"Only the latest {PER_STEP_MAX:,} attempts are counted."


__all__ = ["PER_STEP_MAX", "Attempts", "by_step", "judge", "recommend_timeouts"]
