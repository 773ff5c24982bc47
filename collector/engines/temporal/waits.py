"""What a workflow waits for: timers, children, other workflows, and signals."""

from datetime import timedelta
from typing import Any, Final

from collector.engines.temporal.attributes import Fact
from collector.engines.temporal.run import (
    ENDINGS,
    OPENINGS,
    WORKFLOW_ENDINGS,
    Run,
    attributes,
    error,
    trace,
)
from collector.engines.temporal.spelling import later, when

QUIET: Final = timedelta(milliseconds=10)
"""What follows sooner was no wait for somebody."""
_TASK_OPEN: Final = {
    "WORKFLOW_TASK_SCHEDULED": True,
    "WORKFLOW_TASK_STARTED": True,
    "WORKFLOW_TASK_COMPLETED": False,
}
_WAKING: Final = frozenset(ENDINGS) - {"TIMER_CANCELED", "WORKFLOW_EXECUTION_UPDATE_COMPLETED"} | {
    "CHILD_WORKFLOW_EXECUTION_STARTED",
    "NEXUS_OPERATION_STARTED",
    "WORKFLOW_EXECUTION_SIGNALED",
    "WORKFLOW_EXECUTION_CANCEL_REQUESTED",
    "WORKFLOW_EXECUTION_UPDATE_ADMITTED",
}
"""What comes from outside the workflow's code: the server has a workflow task follow, however slow it is with that."""
_OWN_ENDINGS: Final = {
    kind for kind in WORKFLOW_ENDINGS if not kind.endswith(("TIMED_OUT", "TERMINATED"))
}
"""How the workflow's code ends it, in the workflow task before, however slow the server is with that."""
_CHILD_OUTCOMES: Final = {
    "CHILD_WORKFLOW_EXECUTION_COMPLETED": "completed",
    "CHILD_WORKFLOW_EXECUTION_FAILED": "failed",
    "CHILD_WORKFLOW_EXECUTION_CANCELED": "cancelled",
    "CHILD_WORKFLOW_EXECUTION_TIMED_OUT": "timed_out",
    "CHILD_WORKFLOW_EXECUTION_TERMINATED": "failed",
    "START_CHILD_WORKFLOW_EXECUTION_FAILED": "failed",
}
_EXTERNALS: Final = {
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": "signal another workflow",
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": "cancel another workflow",
}


def tell_waits(run: Run) -> None:
    for timer in run.opened("TIMER_STARTED"):
        _tell_timer(run, timer)
    for child in run.opened("START_CHILD_WORKFLOW_EXECUTION_INITIATED"):
        _tell_child(run, child)
    for kind, step in _EXTERNALS.items():
        for initiated in run.opened(kind):
            _tell_external(run, initiated, step)
    _tell_signals(run)


def _tell_timer(run: Run, timer: Fact) -> None:
    id, length_s = timer["id"], timer.get("length_s")
    step = {"step": "timer", "step_run_id": f"timer-{id}", "attempt": 1}
    due = later(timer["time"], length_s) if length_s else None
    said = attributes(timer_id=timer.get("timer"))
    run.tell(
        "step.waiting", timer["time"], f"{id}:waiting", waiting_on="timer", due=due, **step, **said
    )
    ended = run.ended.get(id)
    if ended is not None:
        what = "completed" if ended["type"] == "TIMER_FIRED" else "cancelled"
        run.tell(f"step.{what}", ended["time"], f"{id}:ended", **step)


def _tell_child(run: Run, initiated: Fact) -> None:
    id = initiated["id"]
    step: dict[str, Any] = {
        "step": initiated.get("step") or "child workflow",
        "step_run_id": f"child-{id}",
        "attempt": 1,
        "queue": initiated.get("queue", ""),
        "timeout_s": initiated.get("timeout_s"),
        **trace(initiated),
    }
    run.tell(
        "step.scheduled",
        initiated["time"],
        f"{id}:scheduled",
        payload_bytes=initiated.get("bytes"),
        **step,
        **attributes(child=initiated.get("child"), close_policy=initiated.get("close_policy")),
    )
    for began in run.own("CHILD_WORKFLOW_EXECUTION_STARTED"):
        if began.get("initiated") == id:
            said = attributes(child=initiated.get("child"), child_run_id=began.get("child_run"))
            run.tell(
                "step.waiting", began["time"], f"{id}:waiting", waiting_on="child", **step, **said
            )
    ended = run.ended.get(id)
    if ended is not None:
        outcome = _CHILD_OUTCOMES[ended["type"]]
        told = error(ended)
        if outcome in ("failed", "timed_out") and not told:
            told = {"error_type": ended.get("cause") or _plain(ended["type"])}
        size = ended.get("bytes")
        run.tell(
            f"step.{outcome}", ended["time"], f"{id}:ended", **step, **told, payload_bytes=size
        )


def _plain(kind: str) -> str:
    return "ChildTerminated" if kind.endswith("TERMINATED") else "ChildTimeout"


def _tell_external(run: Run, initiated: Fact, name: str) -> None:
    id = initiated["id"]
    step = {"step": name, "step_run_id": f"external-{id}", "attempt": 1}
    said = attributes(target=initiated.get("target"), signal=initiated.get("signal"))
    run.tell("step.started", initiated["time"], f"{id}:started", **step, **said)
    ended = run.ended.get(id)
    if ended is None:
        return
    if ended["type"].endswith("_FAILED"):
        told = {"error_type": ended.get("cause", "Failed")}
        run.tell("step.failed", ended["time"], f"{id}:ended", **step, **told)
    else:
        run.tell("step.completed", ended["time"], f"{id}:ended", **step)


def _tell_signals(run: Run) -> None:
    """Waits for a signal or an update leave no event, they are inferred:

    1. go through the events as far as none is missing, and keep what is open;
    2. where no workflow task, activity, timer, child or operation is open, the workflow waits for somebody outside;
    3. that is told when something came later on, which was not the workflow task that this had to be followed by, or
       when a look at the execution found it so;
    4. it is over with the next event.
    """
    idle = {fact["id"] for fact in run.live.get("idle", [])}
    open_ids: set[int] = set()
    is_task_open = True
    for id in range(1, run.contiguous + 1):
        fact = run.by_id[id]
        kind = fact["type"]
        is_task_open = _TASK_OPEN.get(kind, is_task_open)
        if kind in OPENINGS:
            open_ids.add(id)
        elif kind in ENDINGS:
            open_ids.discard(fact.get(ENDINGS[kind], 0))
        if is_task_open or open_ids or kind in WORKFLOW_ENDINGS or run.is_copied(fact):
            continue
        following = run.by_id.get(id + 1)
        lasted = (
            following is not None
            and following["type"] not in _OWN_ENDINGS
            and when(following["time"]) - when(fact["time"]) >= QUIET
        )
        if id in idle or (lasted and kind not in _WAKING):
            _tell_signal_wait(run, fact, following)


def _tell_signal_wait(run: Run, last: Fact, following: Fact | None) -> None:
    step = {"step": "signal", "step_run_id": f"signal-{last['id']}", "attempt": 1}
    said = attributes(inferred="nothing else is open")
    run.tell(
        "step.waiting", last["time"], f"{last['id']}:signal", waiting_on="signal", **step, **said
    )
    if following is not None and following["type"] not in WORKFLOW_ENDINGS:
        run.tell("step.completed", following["time"], f"{last['id']}:signal:over", **step)
