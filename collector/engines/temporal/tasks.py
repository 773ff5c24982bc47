"""Workflow tasks: the workflow's own code at work. Healthy ones are not told; what fails, hangs or finds no worker is.

A failing workflow task is tried again without end. Its first failure is in the history, later ones are only seen by
looking, the final success is written with the attempt that it took. All attempts are one step run, named by the last
event that was written before they began to repeat.
"""

from typing import Any, Final

from collector.engines.temporal.attributes import TASK_SCHEDULED, TASK_STARTED, Fact
from collector.engines.temporal.run import Run, error

STEP: Final = "workflow task"
_ENDED: Final = ("WORKFLOW_TASK_COMPLETED", "WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT")
_FAILED: Final = ("WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT")
_BENIGN: Final = frozenset(
    {
        "ResetWorkflow",
        "ResetStickyTaskQueue",
        "UnhandledCommand",
        "UnhandledUpdate",
        "ForceCloseCommand",
        "FailoverCloseCommand",
        "WorkflowPauseRequestedBeforeTaskStarted",
    }
)
"""Causes that are part of the protocol and nobody's fault."""
_VAGUE: Final = ("", "Unspecified", "WorkflowWorkerUnhandledFailure")
"""Causes that say no more than that the workflow's code threw something: the failure says what."""


def tell_tasks(run: Run) -> None:
    episodes = _attempts_seen(run)
    for failed in run.own(*_FAILED):
        if failed.get("cause") in _BENIGN or failed.get("timeout") == "ScheduleToStart":
            continue
        scheduled = run.at(failed.get("scheduled", 0), TASK_SCHEDULED)
        started = run.at(failed.get("started", 0), TASK_STARTED)
        if scheduled is not None and started is not None:
            attempt = scheduled.get("attempt", 1)
            after = failed["id"] if attempt == 1 else scheduled["id"] - 1
            _tell_failure(run, after, attempt, (scheduled, started, failed))
            episodes.add(after)
    for after in episodes:
        _tell_episode(run, after)


def _attempts_seen(run: Run) -> set[int]:
    """Tell what looks found; the step runs that it is about."""
    looks = run.live.get("task", [])
    seen = {(look["after"], look["attempt"]) for look in looks}
    for look in looks:
        after, attempt, time = look["after"], look["attempt"], look["time"]
        what = "started" if look["type"] == TASK_STARTED else "scheduled"
        queue = look["queue"] if what == "scheduled" else ""
        _say(run, what, time, after, f"{attempt}:{what}:{time}", attempt, queue=queue)
        # How it failed nobody saw; that it had failed by then is sure.
        if what == "scheduled" and (after, attempt - 1) in seen:
            _say(run, "retrying", time, after, f"{attempt - 1}:over:{time}", attempt - 1)
    return {after for after, _ in seen}


def _tell_failure(run: Run, after: int, attempt: int, events: tuple[Fact, Fact, Fact]) -> None:
    scheduled, started, failed = events
    queue, worker = scheduled.get("queue", ""), started.get("worker", "")
    about = f"{attempt}:{failed['id']}"
    _say(run, "scheduled", scheduled["time"], after, f"{about}:scheduled", attempt, queue=queue)
    _say(run, "started", started["time"], after, f"{about}:started", attempt, worker=worker)
    if failed["type"].endswith("TIMED_OUT"):
        told = {"error_type": f"{failed.get('timeout') or 'StartToClose'}Timeout"}
        _say(run, "timed_out", failed["time"], after, f"{about}:ended", attempt, **told)
    else:
        told = error(failed)
        cause = failed.get("cause", "")
        if cause not in _VAGUE or "error_type" not in told:
            told["error_type"] = cause
        _say(run, "failed", failed["time"], after, f"{about}:ended", attempt, **told)
    _say(run, "retrying", failed["time"], after, f"{about}:retrying", attempt, **told)


def _tell_episode(run: Run, after: int) -> None:
    """The next workflow task that was written ends it."""
    if after and after not in run.by_id:
        return
    for id in range(after + 1, run.ordered[-1]["id"] + 1 if run.ordered else 0):
        fact = run.by_id.get(id)
        if fact is None or run.is_copied(fact):
            return
        if fact["type"] in _ENDED:
            _tell_end(run, after, fact)
            return


def _tell_end(run: Run, after: int, ended: Fact) -> None:
    """The next workflow task that was written: it ended what was tried again, or what nobody had taken."""
    scheduled = run.at(ended.get("scheduled", 0), TASK_SCHEDULED)
    if scheduled is None:
        return
    attempt = scheduled.get("attempt", 1)
    number: int | None = attempt
    if attempt == 1 and run.at(after, *_FAILED) is not None:
        # Older servers do not count; and with something new to work on, counting begins anew: then the attempt is the
        # one that was seen last.
        number = 2 if scheduled["id"] == after + 1 else None
    started = run.at(ended.get("started", 0), TASK_STARTED)
    if started is not None and number is not None:
        about = f"{number}:started:{started['time']}"
        _say(run, "started", started["time"], after, about, number)
    what = "completed" if ended["type"] == "WORKFLOW_TASK_COMPLETED" else "cancelled"
    _say(run, what, ended["time"], after, "over", number)


def _say(
    run: Run, what: str, time: str, after: int, about: str, attempt: int | None, **fields: Any
) -> None:
    step = {"step": STEP, "step_run_id": f"workflow-task-{after}", "attempt": attempt}
    run.tell(f"step.{what}", time, f"task-{after}:{about}", **step, **fields)
