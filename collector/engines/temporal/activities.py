"""Activities: one step run each, its attempts as the history tells them at its end and as a look at it tells before.

A step run's id is the id of the span that scheduled the activity, where the tracing interceptor left it in the header,
else the activity's id: spans name it so too (`conventions/temporal.sql`). So nothing is told of an activity before
the event that scheduled it is known.
"""

from typing import Any

from collector.engines.temporal.attributes import Fact
from collector.engines.temporal.run import Run, attributes, error, trace
from collector.engines.temporal.spelling import when

_OUTCOMES = {
    "ACTIVITY_TASK_COMPLETED": "completed",
    "ACTIVITY_TASK_FAILED": "failed",
    "ACTIVITY_TASK_TIMED_OUT": "timed_out",
    "ACTIVITY_TASK_CANCELED": "cancelled",
}


def tell_activities(run: Run) -> None:
    """Every activity that this run scheduled, or was handed at a reset."""
    started = {
        fact["scheduled"]: fact for fact in run.own("ACTIVITY_TASK_STARTED") if "scheduled" in fact
    }
    calls: dict[str, list[Fact]] = {}
    for scheduled in run.opened("ACTIVITY_TASK_SCHEDULED"):
        calls.setdefault(scheduled.get("activity", ""), []).append(scheduled)
    seen: dict[int, list[Fact]] = {}
    for look in run.live.get("attempt", []):
        # An id may be used again when its activity has ended.
        since = look.get("started") or look["time"]
        before = [one for one in calls.get(look["activity"], []) if one["time"] <= since]
        if before:
            seen.setdefault(before[-1]["id"], []).append(look)
    for scheduled in run.opened("ACTIVITY_TASK_SCHEDULED"):
        id = scheduled["id"]
        _Call(run, scheduled).tell(started.get(id), run.ended.get(id), seen.get(id, []))


class _Call:
    """One activity."""

    def __init__(self, run: Run, scheduled: Fact) -> None:
        self._run = run
        self._scheduled = scheduled
        self._id = scheduled["id"]
        self._step: dict[str, Any] = {
            "step": scheduled.get("step") or "activity",
            "step_run_id": scheduled.get("span_id") or scheduled.get("activity") or str(self._id),
            "queue": scheduled.get("queue", ""),
            **scheduled.get("declared", {}),
            **trace(scheduled),
        }

    def tell(self, started: Fact | None, ended: Fact | None, looks: list[Fact]) -> None:
        self._say(
            "scheduled",
            self._scheduled["time"],
            "scheduled",
            attempt=1,
            span_id=self._scheduled.get("span_id", ""),
            payload_bytes=self._scheduled.get("bytes"),
            **attributes(activity_id=self._scheduled.get("activity")),
        )
        for look in looks:
            self._tell_look(look)
        self._tell_superseded(looks)
        if started is not None:
            self._tell_start(started)
        if ended is not None:
            self._tell_end(started, ended)

    def _tell_look(self, look: Fact) -> None:
        attempt, what, time = look["attempt"], look["what"], look["time"]
        if what == "failed":
            failed = "timed_out" if look["failure"].get("timeout") else "failed"
            self._say(failed, time, f"{attempt}:failed", attempt=attempt, **error(look))
            due = {"due": when(look["due"])} if look.get("due") else {}
            self._say(
                "retrying", time, f"{attempt}:retrying", attempt=attempt, **due, **error(look)
            )
        elif what == "started":
            self._say("started", time, f"{attempt}:started", attempt=attempt, worker=look["worker"])
        elif what == "scheduled":
            if attempt > 1:
                self._say("scheduled", time, f"{attempt}:scheduled", attempt=attempt)
        elif what == "beat":
            self._say("heartbeat", time, f"{attempt}:beat:{time}", attempt=attempt)
        else:
            # Somebody paused it, and somebody has to let it go on.
            self._say(
                "waiting", time, f"{attempt}:paused:{time}", attempt=attempt, waiting_on="human"
            )

    def _tell_superseded(self, looks: list[Fact]) -> None:
        """What was tried again later on is over, also where the later attempt was seen only when it had failed."""
        last = max((look["attempt"] for look in looks if look["what"] == "failed"), default=0)
        if last > 1:
            self._say("retrying", self._scheduled["time"], "1:over", attempt=1)
        for look in looks:
            attempt, time = look["attempt"], look["time"]
            if look["what"] != "failed" and 1 < attempt < last:
                self._say("retrying", time, f"{attempt}:over:{time}", attempt=attempt)

    def _tell_start(self, started: Fact) -> None:
        attempt = started.get("attempt", 1)
        worker = started.get("worker", "")
        self._say("started", started["time"], f"{attempt}:started", attempt=attempt, worker=worker)
        if attempt > 1 and started.get("failure"):
            # When the attempt before ended is not written; it was before this one began. Of the attempts before that
            # one nothing is written: the fold knows that they failed.
            what = "timed_out" if started["failure"].get("timeout") else "retrying"
            before = attempt - 1
            about = f"{before}:failed-before"
            self._say(what, started["time"], about, attempt=before, **error(started))

    def _tell_end(self, started: Fact | None, ended: Fact) -> None:
        if ended.get("started") and started is None:
            return
        attempt = None if started is None else started.get("attempt", 1)
        self._say(
            _OUTCOMES[ended["type"]],
            ended["time"],
            "ended",
            attempt=attempt,
            payload_bytes=ended.get("bytes"),
            **error(ended),
            **attributes(retry_state=ended.get("retry_state")),
        )

    def _say(self, what: str, time: str, about: str, **fields: Any) -> None:
        self._run.tell(f"step.{what}", time, f"{self._id}:{about}", **{**self._step, **fields})
