"""What a reader of a timeout recommendation must know to trust it, as sentences."""

from collections.abc import Iterator

from detectors.calibration.workflows import Workflow
from detectors.explaining import declared_in
from detectors.statistics.steadiness import LOWER_FACTOR, RAISE_FACTOR
from detectors.statistics.timeouts import (
    CANARY_SHARE,
    GUIDANCE_Q,
    RECOMMENDED_Q,
    Recommendation,
    completions_needed,
)
from detectors.statistics.workflow_time import WORKFLOW_FACTOR, StepGraph
from detectors.timeout_attempts import Attempts
from stallwatch.model.durations import format_duration


def notes(advice: Recommendation, attempts: Attempts, weeks: int) -> Iterator[str]:
    """Of one step. `weeks`: how many earlier reports the recommendation is smoothed over."""
    if weeks and advice.recommended_timeout_s is not None:
        yield (
            f"The recommended timeout is smoothed over {weeks + 1} weeks; by this report's window alone it would be "
            f"{format_duration(advice.weekly_upper_s or 0.0)}."
        )
    if advice.change == "wait":
        yield (
            "Last week the current timeout was near enough: change it if next week's report asks for it again."
        )
    if advice.change == "keep" and _far(advice):
        yield (
            "The limits of the last weeks differ so much that the recommended timeout is no better known to be right "
            "than the current one: no reason to change it."
        )
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
        ended = (attempts.completed_s, attempts.timed_out_s, attempts.cancelled_s)
        counted = sum(len(durations) for durations in ended) + attempts.dropped
        yield f"Only the latest {counted:,} attempts are counted."


def _far(advice: Recommendation) -> bool:
    current_s, recommended_s = advice.current_timeout_s, advice.recommended_timeout_s
    if current_s is None or recommended_s is None:
        return False
    return recommended_s > RAISE_FACTOR * current_s or recommended_s < current_s / LOWER_FACTOR


def workflow_note(workflow: Workflow, graph: StepGraph) -> str:
    """Of the whole workflow, whose timeout has to leave room for all of its steps and their retries."""
    needed_s = WORKFLOW_FACTOR * graph.p999_s
    words = (
        f"The whole workflow: one in a thousand executions takes longer than {format_duration(graph.p999_s)}, by "
        f"simulation from {graph.n:,} that completed; {WORKFLOW_FACTOR} times that, {format_duration(needed_s)}, is a "
        "timeout for it."
    )
    if workflow.timeout_s is None:
        return f"{words} It declares none."
    return f"{words} It declares {format_duration(workflow.timeout_s)}."
