"""What an open execution is doing now: DescribeWorkflowExecution, items of a list, and workflow tasks not yet written.

All of it is true of its moment only. So each fact carries the moment in its identity, and says nothing that a later
look could take back: an attempt began, an attempt failed, a heartbeat came, nothing was pending behind event n.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from collector.engines.temporal.attributes import (
    TASK_SCHEDULED,
    TASK_STARTED,
    Fact,
    queue_of,
    version_of,
)
from collector.engines.temporal.spelling import (
    failure,
    items,
    mapping,
    name,
    number,
    seconds,
    text,
    time_text,
    when,
    word,
)

UNTAKEN: Final = timedelta(seconds=2)
"""A workflow task that no worker took for so long is worth telling; the healthy ones are not."""
BEAT_S: Final = 60.0
"""Of heartbeats without a heartbeat timeout, one is kept in each such time; with one, four in its time."""
_PENDING: Final = (
    "pendingActivities",
    "pendingChildren",
    "pendingWorkflowTask",
    "pendingNexusOperations",
)


def described(document: Mapping[str, Any], received_at: datetime) -> dict[str, Fact]:
    """The facts of a DescribeWorkflowExecutionResponse. Raises InputError, naming the field."""
    info = mapping(document["workflowExecutionInfo"])
    config = mapping(document.get("executionConfig"))
    about = {
        **_about(info),
        "queue": queue_of(config.get("taskQueue")) or text(info.get("taskQueue")),
        "run_timeout_s": seconds(config, "workflowRunTimeout"),
        "execution_timeout_s": seconds(config, "workflowExecutionTimeout"),
    }
    facts: dict[str, Fact] = {"described": about, **_ended(info)}
    if version := _version(info):
        facts[f"version/{version}"] = {"version": version}
    length = number(info.get("historyLength"), "historyLength")
    for activity in items(document.get("pendingActivities")):
        facts.update(_activity(activity))
    for operation in items(document.get("pendingNexusOperations")):
        facts.update(_nexus(operation))
    facts.update(_task(mapping(document.get("pendingWorkflowTask")), length, about, received_at))
    is_running = word(info.get("status"), "WORKFLOW_EXECUTION_STATUS_") == "RUNNING"
    if is_running and length and not any(document.get(pending) for pending in _PENDING):
        facts[f"idle/{length}"] = {"id": length}
    return facts


def listed(item: Mapping[str, Any]) -> dict[str, Fact]:
    """The facts of one WorkflowExecutionInfo, as lists give it."""
    about = {**_about(item), "queue": text(item.get("taskQueue"))}
    return {"listed": about, **_ended(item)}


def task_facts(unwritten: Iterable[Fact]) -> dict[str, Fact]:
    """The facts of a workflow task at the end of a history that is being tried again and so not written yet."""
    facts: dict[str, Fact] = {}
    scheduled: dict[int, Fact] = {}
    for event in unwritten:
        if event["type"] == TASK_SCHEDULED and event.get("attempt", 1) > 1:
            scheduled[event["id"]] = event
            facts.update(
                _attempt_of_task(
                    event["id"] - 1,
                    event["attempt"],
                    TASK_SCHEDULED,
                    event["time"],
                    event.get("queue", ""),
                )
            )
    for event in unwritten:
        opened = scheduled.get(event.get("scheduled", 0))
        if event["type"] == TASK_STARTED and opened is not None:
            after, attempt = opened["id"] - 1, opened["attempt"]
            facts.update(
                _attempt_of_task(
                    after, attempt, TASK_STARTED, event["time"], opened.get("queue", "")
                )
            )
    return facts


def _about(info: Mapping[str, Any]) -> Fact:
    return {
        "workflow": name(info.get("type")),
        "start": time_text(info.get("startTime"), "startTime"),
        "parent": text(mapping(info.get("parentExecution")).get("workflowId")),
    }


def _ended(info: Mapping[str, Any]) -> dict[str, Fact]:
    status = word(info.get("status"), "WORKFLOW_EXECUTION_STATUS_")
    time = time_text(info.get("closeTime"), "closeTime")
    if not time or status in ("", "RUNNING", "PAUSED", "UNSPECIFIED"):
        return {}
    return {f"closed/{status}": {"status": status, "time": time}}


def _version(info: Mapping[str, Any]) -> str:
    versioning = mapping(info.get("versioningInfo"))
    return (
        version_of(versioning.get("deploymentVersion"))
        or text(info.get("assignedBuildId"))
        or version_of(info.get("mostRecentWorkerVersionStamp"))
    )


def _activity(pending: Mapping[str, Any]) -> dict[str, Fact]:
    activity = text(pending.get("activityId"))
    state = word(pending.get("state"), "PENDING_ACTIVITY_STATE_")
    attempt = max(1, number(pending.get("attempt"), "pendingActivities.attempt"))
    scheduled = time_text(pending.get("scheduledTime"), "pendingActivities.scheduledTime")
    started = time_text(pending.get("lastStartedTime"), "pendingActivities.lastStartedTime")
    ended = time_text(
        pending.get("lastAttemptCompleteTime"), "pendingActivities.lastAttemptCompleteTime"
    )
    upcoming = time_text(
        pending.get("nextAttemptScheduleTime"), "pendingActivities.nextAttemptScheduleTime"
    )
    told = _Told(activity, text(pending.get("lastWorkerIdentity")))
    if state == "PAUSED":
        paused = mapping(pending.get("pauseInfo")).get("pauseTime")
        told.add(attempt, "paused", time_text(paused, "pauseInfo.pauseTime"))
    elif state != "SCHEDULED":
        told.add(attempt, "started", started)
        told.beat(attempt, started, pending)
    elif scheduled and not upcoming:
        told.add(attempt, "scheduled", scheduled)
    if attempt > 1:
        failed = failure(pending.get("lastFailure"))
        told.add(attempt - 1, "failed", ended, failure=failed, due=upcoming or scheduled)
    return told.facts


class _Told:
    """The facts of one pending activity."""

    def __init__(self, activity: str, worker: str) -> None:
        self.facts: dict[str, Fact] = {}
        self._activity = activity
        self._worker = worker

    def add(self, attempt: int, what: str, time: str, **more: Any) -> None:
        if time:
            self.facts[f"attempt/{self._activity}/{attempt}/{what}/{time}"] = {
                "activity": self._activity,
                "attempt": attempt,
                "what": what,
                "time": time,
                "worker": self._worker if what == "started" else "",
                **more,
            }

    def beat(self, attempt: int, started: str, pending: Mapping[str, Any]) -> None:
        time = time_text(pending.get("lastHeartbeatTime"), "pendingActivities.lastHeartbeatTime")
        if not time or not started or time <= started:
            return
        options = mapping(pending.get("activityOptions"))
        every_s = max(1.0, (seconds(options, "heartbeatTimeout") or 4 * BEAT_S) / 4)
        bucket = int(when(time).timestamp() // every_s)
        key = f"attempt/{self._activity}/{attempt}/beat/{every_s:g}/{bucket}"
        self.facts[key] = {
            "activity": self._activity,
            "attempt": attempt,
            "what": "beat",
            "time": time,
            "started": started,
        }


def _task(
    pending: Mapping[str, Any], length: int, about: Fact, received_at: datetime
) -> dict[str, Fact]:
    attempt = number(pending.get("attempt"), "pendingWorkflowTask.attempt")
    scheduled = time_text(pending.get("scheduledTime"), "pendingWorkflowTask.scheduledTime")
    started = time_text(pending.get("startedTime"), "pendingWorkflowTask.startedTime")
    is_scheduled = word(pending.get("state"), "PENDING_WORKFLOW_TASK_STATE_") == "SCHEDULED"
    if not scheduled or not length:
        return {}
    if attempt > 1:
        # What is tried again is not written into the history: it would come behind its last event.
        facts = _attempt_of_task(length, attempt, TASK_SCHEDULED, scheduled, about["queue"])
        if not is_scheduled and started:
            facts.update(_attempt_of_task(length, attempt, TASK_STARTED, started, about["queue"]))
        return facts
    if is_scheduled and received_at.astimezone(UTC) - when(scheduled) >= UNTAKEN:
        return _attempt_of_task(length - 1, 1, TASK_SCHEDULED, scheduled, about["queue"])
    return {}


def _attempt_of_task(after: int, attempt: int, kind: str, time: str, queue: str) -> dict[str, Fact]:
    fact = {"after": after, "attempt": attempt, "type": kind, "time": time, "queue": queue}
    return {f"task/{after}/{attempt}/{kind}": fact}


def _nexus(pending: Mapping[str, Any]) -> dict[str, Fact]:
    scheduled = number(pending.get("scheduledEventId"), "pendingNexusOperations.scheduledEventId")
    attempt = number(pending.get("attempt"), "pendingNexusOperations.attempt")
    ended = time_text(
        pending.get("lastAttemptCompleteTime"), "pendingNexusOperations.lastAttemptCompleteTime"
    )
    upcoming = time_text(
        pending.get("nextAttemptScheduleTime"), "pendingNexusOperations.nextAttemptScheduleTime"
    )
    if not scheduled or not attempt or not ended:
        return {}
    fact = {
        "scheduled": scheduled,
        "attempt": attempt,
        "time": ended,
        "failure": failure(pending.get("lastAttemptFailure")),
        "due": upcoming,
    }
    return {f"nexus/{scheduled}/{attempt}/{ended}": fact}
