"""Updates, Nexus operations and local activities: work whose traces in the history are their own."""

from typing import Any, Final

from collector.engines.temporal.attributes import Fact
from collector.engines.temporal.run import Run, attributes, error
from collector.engines.temporal.spelling import when

_ADMITTED: Final = "WORKFLOW_EXECUTION_UPDATE_ADMITTED"
_NEXUS_OUTCOMES: Final = {
    "NEXUS_OPERATION_COMPLETED": "completed",
    "NEXUS_OPERATION_FAILED": "failed",
    "NEXUS_OPERATION_CANCELED": "cancelled",
    "NEXUS_OPERATION_TIMED_OUT": "timed_out",
}


def tell_operations(run: Run) -> None:
    _tell_updates(run)
    for scheduled in run.opened("NEXUS_OPERATION_SCHEDULED"):
        _tell_nexus(run, scheduled)
    for marker in run.own("MARKER_RECORDED"):
        if is_local_activity(marker):
            _tell_local_activity(run, marker)


def is_local_activity(marker: Fact) -> bool:
    """`core_local_activity` (Python, TypeScript, .NET, Ruby, PHP) or `LocalActivity` (Go, Java)."""
    name = str(marker.get("marker", ""))
    return name.replace("_", "").lower().endswith("localactivity")


def _tell_updates(run: Run) -> None:
    """An update's handler runs from its acceptance to its completion; what was refused is not in the history."""
    for admitted in run.own(_ADMITTED):
        run.tell(
            "step.scheduled", admitted["time"], f"{admitted['id']}:scheduled", **_update(admitted)
        )
    for refused in run.own("WORKFLOW_EXECUTION_UPDATE_REJECTED"):
        step = _update(refused)
        run.tell("step.failed", refused["time"], f"{refused['id']}:ended", **step, **error(refused))
    for accepted in run.opened("WORKFLOW_EXECUTION_UPDATE_ACCEPTED"):
        id = accepted["id"]
        # What was admitted before (at a reset, say) is not repeated when it is accepted.
        request = accepted if "step" in accepted else run.at(accepted.get("admitted", 0), _ADMITTED)
        if request is None:
            continue
        step = _update({**accepted, "step": request.get("step")})
        run.tell("step.started", accepted["time"], f"{id}:started", **step)
        ended = run.ended.get(id)
        if ended is not None:
            what = "failed" if ended.get("failure") else "completed"
            run.tell(f"step.{what}", ended["time"], f"{id}:ended", **step, **error(ended))


def _update(fact: Fact) -> dict[str, Any]:
    run_id = fact.get("update") or str(fact["id"])
    return {"step": fact.get("step") or "update", "step_run_id": f"update-{run_id}", "attempt": 1}


def _tell_nexus(run: Run, scheduled: Fact) -> None:
    id = scheduled["id"]
    step: dict[str, Any] = {
        "step": scheduled.get("step") or "nexus operation",
        "step_run_id": f"nexus-{id}",
        "downstream": scheduled.get("endpoint", ""),
        **scheduled.get("declared", {}),
    }
    size = scheduled.get("bytes")
    run.tell("step.scheduled", scheduled["time"], f"{id}:scheduled", **step, payload_bytes=size)
    for look in run.live.get("nexus", []):
        if look["scheduled"] == id:
            due = {"due": when(look["due"])} if look.get("due") else {}
            about = f"{id}:{look['attempt']}:retrying"
            said = {"attempt": look["attempt"], **error(look), **due}
            run.tell("step.retrying", look["time"], about, **step, **said)
    for began in run.own("NEXUS_OPERATION_STARTED"):
        if began.get("scheduled") == id:
            # What takes long is started, and calls back when it is done.
            run.tell("step.waiting", began["time"], f"{id}:waiting", waiting_on="callback", **step)
    ended = run.ended.get(id)
    if ended is not None:
        outcome = _NEXUS_OUTCOMES[ended["type"]]
        run.tell(f"step.{outcome}", ended["time"], f"{id}:ended", **step, **error(ended))


def _tell_local_activity(run: Run, marker: Fact) -> None:
    """It is written when it is done, with what the SDK says of it: its retries within one workflow task are not."""
    local = marker.get("local", {})
    id, ended = marker["id"], local.get("ended") or marker["time"]
    step: dict[str, Any] = {
        "step": local.get("step") or "local activity",
        "step_run_id": f"local-{local.get('activity') or id}",
        "attempt": local.get("attempt"),
    }
    # The moment it was scheduled is by another clock than the moment it ended.
    if local.get("scheduled") and local["scheduled"] <= ended:
        run.tell("step.scheduled", local["scheduled"], f"{id}:scheduled", **step)
    said = attributes(local=True)
    failed = error(marker)
    what = "failed" if failed else "completed"
    run.tell(f"step.{what}", ended, f"{id}:ended", **step, **failed, **said)
