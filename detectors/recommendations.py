"""Which timeout every step should have: durations from the store, judged step by step.

The arithmetic is in `detectors.statistics.timeouts`; this gathers what it needs, tests its answer
against the same past and against what earlier weeks' reports said, and says what limits the answer.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from detectors.calibration import read_declared
from detectors.calibration.workflows import Workflow, learn_workflows
from detectors.recommendation_notes import notes, workflow_note
from detectors.sql import sql_text
from detectors.statistics.samples import empirical_quantile
from detectors.statistics.steadiness import SPREAD_WEEKS, Week
from detectors.statistics.timeouts import (
    BUFFER_DEFAULT,
    GUIDANCE_Q,
    completions_needed,
    healthy_beyond,
    recommend,
)
from detectors.statistics.trade_off import cheapest_s, trade_off
from detectors.statistics.workflow_time import WORKFLOW_FACTOR
from detectors.timeout_attempts import (
    PER_STEP_MAX,
    Attempts,
    by_step,
    stuck_s_saved,
    survival,
)
from stallwatch.model.durations import format_duration
from stallwatch.model.recommendations import StepRecommendation, week_of
from stallwatch.store import Store

Place = tuple[str, str, str, str]
"""namespace, engine, workflow, step"""
_SQL: Final = sql_text("recommendations")
_WEEKS: Final = sql_text("recommendations_weeks")
_WORKFLOWS: Final = """SELECT DISTINCT namespace, engine, workflow FROM attempts
WHERE ended_at >= {since:DateTime64(6, 'UTC')} AND ended_at < {until:DateTime64(6, 'UTC')}
    AND workflow != ''
ORDER BY namespace, engine, workflow"""


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
    earlier = _earlier(store, week)
    found: list[StepRecommendation] = []
    for key in store.select(_WORKFLOWS, window):
        frame = store.frame(_SQL, {**window, **key, "per_step_max": PER_STEP_MAX})
        workflow = (key["namespace"], key["engine"], key["workflow"])
        steps = [
            judge(
                **key, step=step, attempts=attempts, week=week, buffer=guidance_buffer,
                earlier=earlier.get((*workflow, step), ()),
            )
            for step, attempts in by_step(frame, workflow, declared, PER_STEP_MAX)
        ]  # fmt: skip
        if steps:
            whole = learn_workflows(store, since, until, workflow).get(workflow, Workflow())
            found += with_workflow(steps, whole)
    return found


def _earlier(store: Store, week: date) -> dict[Place, list[Week]]:
    """What the reports of the weeks before this one had of each step, the oldest first."""
    since = week - timedelta(weeks=SPREAD_WEEKS - 1)
    weeks: defaultdict[Place, list[Week]] = defaultdict(list)
    for row in store.select(_WEEKS, {"week": week, "since": since}):
        place = (row["namespace"], row["engine"], row["workflow"], row["step"])
        weeks[place].append(Week(row["upper_s"], row["recommended_s"]))
    return weeks


def judge(
    *, namespace: str, engine: str, workflow: str, step: str,
    attempts: Attempts, week: date, buffer: float = BUFFER_DEFAULT, earlier: Sequence[Week] = (),
) -> StepRecommendation:  # fmt: skip
    """Recommend, then test it against the same attempts.

    Cancelled attempts do not count as cut off by the timeout: someone else ended them. But those
    that outlived the recommended timeout would have ended sooner. `earlier`: what the reports of earlier weeks had.
    """
    n_timed_out = len(attempts.timed_out_s)
    advice = recommend(
        attempts.completed_s, n_timed_out, attempts.current_timeout_s, buffer, earlier
    )
    curve = trade_off(attempts.completed_s, _stuck_share(attempts))
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
        notes=tuple(notes(advice, attempts, len(earlier))),
        survival=survival(attempts.completed_s),
        trade_off=curve,
        cheapest_timeout_s=(
            cheapest_s(curve)
            if n_timed_out and advice.n >= completions_needed(GUIDANCE_Q)
            else None
        ),
        weekly_upper_s=advice.weekly_upper_s,
        change=advice.change,
    )


def _stuck_share(attempts: Attempts) -> float:
    """The share of attempts that hung: those that timed out, without the ones that only needed more time. One that
    nobody has seen yet counts half."""
    n_timed_out = len(attempts.timed_out_s)
    n = len(attempts.completed_s) + n_timed_out
    healthy = 0.0
    if n_timed_out and attempts.current_timeout_s:
        healthy = n * healthy_beyond(attempts.completed_s, n_timed_out, attempts.current_timeout_s)
    return (max(n_timed_out - healthy, 0.0) + 0.5) / (n + 1)


def with_workflow(steps: Sequence[StepRecommendation], whole: Workflow) -> list[StepRecommendation]:
    """The steps of one workflow with what it should have itself; a note says so beside the slowest of them.

    It leaves room for each of its steps to take all the time that is recommended for it: the steps know a longer past
    than the simulation, and a step's timeout has to come before that of the whole.
    """
    graph = whole.graph
    needed_s = recommended_s = None
    also: tuple[str, ...] = ()
    if graph is not None and graph.n >= completions_needed(GUIDANCE_Q):
        needed_s = graph.p999_s
        room_s, slow = _room_for_slowest(steps, empirical_quantile(graph.drawn_s, 0.5))
        recommended_s = WORKFLOW_FACTOR * max(needed_s, room_s)
        if room_s > needed_s and format_duration(room_s) != format_duration(needed_s):
            also = (
                f"{slow} alone may take longer by what is recommended for it: with that, the workflow needs "
                f"{format_duration(recommended_s)}.",
            )
    found = [
        dataclasses.replace(
            step,
            workflow_current_timeout_s=whole.timeout_s,
            workflow_p999_s=needed_s,
            workflow_recommended_timeout_s=recommended_s,
        )
        for step in steps
    ]
    if graph is not None and needed_s is not None:
        slowest = max(range(len(found)), key=lambda index: found[index].p99_s or 0.0)
        said = (*found[slowest].notes, workflow_note(whole, graph), *also)
        found[slowest] = dataclasses.replace(found[slowest], notes=said)
    return found


def _room_for_slowest(steps: Sequence[StepRecommendation], usual_s: float) -> tuple[float, str]:
    """How long an execution takes that is as usual but for one step, which takes all that is recommended for it; the
    most over the steps, and which one that is."""
    rooms = [
        (usual_s + one.recommended_timeout_s - (one.p50_s or 0.0), one.step)
        for one in steps
        if one.recommended_timeout_s is not None
    ]
    return max(rooms, default=(0.0, ""))


__all__ = [
    "PER_STEP_MAX",
    "Attempts",
    "by_step",
    "judge",
    "recommend_timeouts",
    "survival",
    "with_workflow",
]
