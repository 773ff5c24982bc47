"""The run itself: how it began, what is declared of it, how it ended."""

from datetime import timedelta
from typing import Any

from collector.engines.temporal.attributes import Fact
from collector.engines.temporal.run import WORKFLOW_ENDINGS, Run, attributes, error, trace
from collector.engines.temporal.spelling import later, when

_LISTED_ENDINGS = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "TIMED_OUT": "timed_out",
    "CANCELED": "cancelled",
    "TERMINATED": "terminated",
    "CONTINUED_AS_NEW": "continued",
}
_TASK_ENDINGS = ("WORKFLOW_TASK_COMPLETED", "WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT")


def tell_workflow(run: Run) -> None:
    """Everything about the execution as a whole."""
    _tell_start(run)
    _tell_end(run)
    for fact in run.own("WORKFLOW_EXECUTION_PAUSED", "WORKFLOW_EXECUTION_UNPAUSED"):
        what = "suspended" if fact["type"].endswith("_PAUSED") else "resumed"
        run.tell(
            f"workflow.{what}",
            fact["time"],
            f"{fact['id']}:{what}",
            **attributes(reason=fact.get("reason")),
        )


def is_closed(run: Run) -> bool:
    return "closed" in run.live or any(True for _ in run.own(*WORKFLOW_ENDINGS))


def _tell_start(run: Run) -> None:
    for kind in ("described", "listed"):
        for about in run.live.get(kind, []):
            if about["start"]:
                run.tell("workflow.started", about["start"], kind, **_declared(about))
    first = run.first()
    if first is None:
        return
    time = first["time"]
    if run.is_copied(first):
        # Its own life begins where the reset forked it off.
        if run.fork is None:
            return
        time = run.fork["time"]
    run.tell("workflow.started", time, "started", **_said_at_start(first, run.is_copied(first)))
    _tell_versions(run, first, time)
    _tell_delay(run, first)


def _declared(about: Fact) -> dict[str, Any]:
    # A run ends at the shorter of the two; the execution timeout counts over all runs of a chain.
    limits = [
        about[key] for key in ("run_timeout_s", "execution_timeout_s") if about.get(key) is not None
    ]
    return {
        "workflow": about.get("workflow", ""),
        "parent_execution_id": about.get("parent", ""),
        "queue": about.get("queue", ""),
        "timeout_s": min(limits, default=None),
    }


def _said_at_start(first: Fact, is_reset: bool) -> dict[str, Any]:
    retry = first.get("retry", {})
    said = attributes(
        run_attempt=first.get("attempt", 1) if first.get("attempt", 1) > 1 else None,
        continued_from=first.get("continued"),
        initiator=first.get("initiator") if first.get("continued") else None,
        reset_from=first.get("original") if is_reset else None,
        first_run_id=first.get("first") if first.get("continued") else None,
        parent_run_id=first.get("parent_run"),
        cron=first.get("cron"),
        execution_timeout_s=first.get("execution_timeout_s"),
        workflow_task_timeout_s=first.get("task_timeout_s"),
        started_by=first.get("worker"),
    )
    return {
        **_declared(first),
        **retry,
        **trace(first),
        **said,
        "payload_bytes": first.get("bytes"),
        "workflow_version": first.get("version", ""),
    }


def _tell_versions(run: Run, first: Fact, time: str) -> None:
    """The versions of its code, where workers are versioned: as of its start, whenever they became known."""
    seen = {fact["version"] for fact in run.live.get("version", [])}
    seen |= {fact["version"] for fact in run.own(*_TASK_ENDINGS) if fact.get("version")}
    for version in sorted(seen):
        run.tell(
            "workflow.started",
            time,
            f"version:{version}",
            workflow=first.get("workflow", ""),
            workflow_version=version,
        )


def _tell_delay(run: Run, first: Fact) -> None:
    """A cron run, a retried run and a delayed start wait before their first workflow task."""
    delay_s = first.get("backoff_s")
    if not delay_s or run.is_copied(first):
        return
    step = {"step": "start delay", "step_run_id": "start-delay", "attempt": 1}
    due = later(first["time"], delay_s)
    run.tell("step.waiting", first["time"], "delay", **step, waiting_on="timer", due=due)
    for id in range(2, run.contiguous + 1):
        fact = run.by_id[id]
        if fact["type"] == "WORKFLOW_TASK_SCHEDULED":
            run.tell("step.completed", fact["time"], "delay:over", **step)
            return


def _tell_end(run: Run) -> None:
    for fact in run.live.get("closed", []):
        outcome = _LISTED_ENDINGS.get(fact["status"])
        if outcome:
            # A list says less than the history, whose last event has the same time and the last word.
            time = when(fact["time"]) - timedelta(microseconds=1)
            run.tell(f"workflow.{outcome}", time, f"listed:{fact['status']}")
    for fact in run.own(*WORKFLOW_ENDINGS):
        outcome = WORKFLOW_ENDINGS[fact["type"]]
        # What the server tries again, in a run of its own, has not failed yet.
        if outcome in ("failed", "timed_out") and fact.get("retry_state") == "InProgress":
            outcome = "continued"
        told = error(fact)
        if outcome == "timed_out":
            told = {"error_type": "WorkflowTimeout", **told}
        if outcome == "terminated" and fact.get("reason"):
            told = {"error_type": "Terminated", "error_message": fact["reason"]}
        run.tell(
            f"workflow.{outcome}",
            fact["time"],
            f"{fact['id']}:ended",
            **told,
            **attributes(
                history_events=fact["id"],
                new_run_id=fact.get("new_run"),
                initiator=fact.get("initiator"),
                retry_state=fact.get("retry_state"),
                terminated_by=fact.get("worker") if outcome == "terminated" else None,
            ),
            payload_bytes=fact.get("bytes"),
        )
