"""Timeouts that do not fit into each other: the outer one is over while the inner ones still allow the work to go on.

A workflow's timeout is held against what its steps may take by what is declared (attempts · timeout and the pauses
between them, along the critical path), and against what healthy executions take (a simulation from what was seen). A
step that starts an execution is held against the timeout of that execution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.calibration.workflows import Workflow, WorkflowKey, merged
from detectors.detector import Context, Detector, Row, folded_from, grouped
from detectors.explaining import clock, declared_in, named, share
from detectors.statistics.cascades import StepLimits
from detectors.statistics.timeouts import GUIDANCE_Q, completions_needed
from detectors.statistics.workflow_time import WORKFLOW_FACTOR, StepGraph
from detectors.timeout_callers import BRANCH, LIMITS, STEP, judge_callers
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

LATELY: Final = timedelta(hours=1)
LATEST_EACH: Final = 10
EXECUTIONS_MAX: Final = 1000
ATTEMPTS_MAX: Final = 200
"""Of a workflow, of all, and of an execution: no more is read in one tick."""
SURE_N: Final = completions_needed(GUIDANCE_Q)
"""So many completed executions make a simulation."""
FAR_BEYOND: Final = 10.0
"""So many times the longest execution seen, a timeout needs no simulation."""
STEP_SHARE: Final = 0.9


@dataclass(frozen=True)
class Outer:
    """A workflow's own timeout as it was declared last; `live`: the executions that declare one, newest first."""

    timeout_s: float
    declared_at: datetime
    source: str = ""
    live: Sequence[Row] = ()

    @property
    def executions(self) -> tuple[str, ...]:
        return tuple(row["execution_id"] for row in self.live if row["timeout_s"] == self.timeout_s)


@dataclass(frozen=True)
class Worst:
    """What the steps on the critical path may take together: seconds, and of each step so many."""

    seconds: float = 0.0
    steps: Mapping[str, float] = field(default_factory=dict)


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    return {
        "folded_from": folded_from(tick, LATELY),
        "each": LATEST_EACH,
        "most": EXECUTIONS_MAX,
        "attempts": ATTEMPTS_MAX,
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow whose timeout is too short for its steps, and one for each step that starts an
    execution which may take longer than the step."""
    known = context.calibration.workflows
    own = [row for row in rows if not row["is_parent"]]
    live = grouped(own, "namespace", "engine", "workflow")
    observations = []
    outers: dict[WorkflowKey, float] = {}
    for namespace, engine, workflow in sorted({*live, *known}):
        key = (namespace, engine, workflow)
        seen = known.get(key, Workflow())
        outer = _outer(tick, live.get(key, []), seen)
        if outer is None:
            continue
        outers[key] = outer.timeout_s
        if context.enabled((*key, "")):
            found = _too_short(key, outer, seen, context)
            observations += [] if found is None else [found]
    return observations + judge_callers([row for row in rows if row["is_parent"]], outers, context)


def _outer(tick: Tick, live: Sequence[Row], seen: Workflow) -> Outer | None:
    """What the latest live execution declares counts, else what was learned."""
    if live:
        return Outer(live[0]["timeout_s"], live[0]["started_at"], live=live)
    if not seen.timeout_s or seen.declared_at is None:
        return None
    # A definition holds until another is declared; what ended before the watch began is no news.
    if not seen.source and seen.declared_at < tick.epoch:
        return None
    return Outer(seen.timeout_s, seen.declared_at, seen.source)


def _too_short(
    key: WorkflowKey, outer: Outer, seen: Workflow, context: Context
) -> Observation | None:
    worst = worst_case(seen, outer.live)
    graph = seen.graph
    needed_s = 0.0
    if graph is not None and graph.n >= SURE_N and outer.timeout_s < FAR_BEYOND * graph.longest_s:
        needed_s = graph.p999_s
    cuts_healthy = outer.timeout_s < needed_s
    if not cuts_healthy and outer.timeout_s >= worst.seconds:
        return None
    return _observe(key, outer, worst, graph if cuts_healthy else None, context)


def worst_case(seen: Workflow, live: Sequence[Row]) -> Worst:
    """The longest that a workflow's steps may take by what is declared of them, along the critical path.

    1. What live attempts declare counts before what was learned. 2. The path is that of the past. 3. Steps that the
    past does not have follow it one after the other, those of branches beside each other.
    """
    attempts = [one for row in live for one in row["attempts"]]
    told = merged((one[STEP], *one[LIMITS:]) for one in attempts)
    limits = {
        step: told.get(step, StepLimits()).over(seen.limits.get(step, StepLimits()))
        for step in {**seen.limits, **told}
    }
    weights = {step: one.longest_s for step, one in limits.items() if one.longest_s}
    path: Sequence[str] = ()
    past: set[str] = set()
    if seen.graph is not None:
        _, path = seen.graph.critical_path(weights)
        past = {step for shape in seen.graph.shapes for step in shape.steps}
    branches: dict[str, dict[str, float]] = {}
    for one in attempts:
        step = one[STEP]
        if step in weights and step not in past:
            branches.setdefault(one[BRANCH].split(".")[0], {})[step] = weights[step]
    steps: dict[str, float] = {}
    for step in path:
        steps[step] = steps.get(step, 0.0) + weights[step]
    steps |= branches.pop("", {})
    beside = sorted(branches.values(), key=_total)
    steps |= beside[-1] if beside else {}
    return Worst(_total(steps), steps)


def _total(steps: Mapping[str, float]) -> float:
    return sum(steps.values())


def _observe(
    key: WorkflowKey, outer: Outer, worst: Worst, graph: StepGraph | None, context: Context
) -> Observation:
    namespace, engine, workflow = key
    longest = max(worst.steps, key=lambda step: worst.steps[step], default="")
    is_one = bool(longest) and worst.steps[longest] > STEP_SHARE * worst.seconds
    is_short = outer.timeout_s < worst.seconds
    timeout = format_duration(outer.timeout_s)
    words = f"{workflow} is ended after {timeout}, {_declared_words(outer)}."
    evidence: dict[str, Any] = {"timeout_s": outer.timeout_s}
    needed_s = 0.0
    if graph is not None:
        needed_s = graph.p999_s
        cut = graph.share_beyond(outer.timeout_s)
        words += (
            f" That is too short for healthy executions: put together from {graph.n:,} that completed in the last "
            f"7 days, {share(cut)} of {len(graph.drawn_s):,} simulated ones take longer, and one in a thousand longer "
            f"than {format_duration(needed_s)}."
        )
        evidence |= {"p999_s": round(needed_s, 3), "healthy_cut": round(cut, 5), "n": graph.n}
    if is_short:
        parts = ", ".join(f"{step} {format_duration(s)}" for step, s in worst.steps.items())
        words += (
            f" Its steps may take {format_duration(worst.seconds)} by their own timeouts, attempts and pauses: "
            f"{parts}. So the whole is given up while its steps are within what they are allowed, and their last "
            "retries never come."
        )
        evidence["worst_case_s"] = round(worst.seconds, 3)
        evidence["steps_s"] = {step: round(s, 3) for step, s in worst.steps.items()}
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(
            (*key, ""), Severity.CRITICAL if graph is not None else Severity.WARNING
        ),
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=longest if is_one and is_short else "",
        step_may_change=True,
        executions=outer.executions,
        count=len(outer.executions),
        since=outer.declared_at,
        title=(
            f"{workflow} is given up after {timeout}, too soon for healthy executions"
            if graph is not None
            else f"{workflow} is given up after {timeout}, but its steps may take {format_duration(worst.seconds)}"
        ),
        explanation=words,
        evidence=evidence,
        next_steps=_next_steps(workflow, needed_s, worst if is_short else Worst()),
    )


def _declared_words(outer: Outer) -> str:
    """Where that is declared, and when."""
    if outer.executions:
        latest = clock(outer.declared_at)
        count = len(outer.executions)
        began = "which began" if count == 1 else "the latest of which began"
        return f"as declared by {named(outer.executions)}, {began} at {latest}"
    if outer.source:
        return f"{declared_in(outer.source)}, as of {clock(outer.declared_at)}"
    return f"as an execution declared that began at {clock(outer.declared_at)}"


def _next_steps(workflow: str, needed_s: float, worst: Worst) -> tuple[str, ...]:
    steps = []
    if needed_s:
        enough = format_duration(WORKFLOW_FACTOR * needed_s)
        steps.append(
            f"Give {workflow} at least {enough}: {WORKFLOW_FACTOR} times what one in a thousand needs."
        )
    if worst.seconds:
        steps.append(
            f"Give {workflow} more than {format_duration(worst.seconds)}, or its steps shorter timeouts and fewer "
            "attempts: `stallwatch report timeouts` says what they need."
        )
    return tuple(steps)


DETECTOR: Final = Detector("timeout_cascade", 60.0, judge, parameters)
