"""What is kept of each event type's attributes (`temporal.api.history.v1`), under short names, without payloads."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from collector.engines.temporal.spelling import (
    camel,
    failure,
    items,
    mapping,
    name,
    number,
    payload,
    payload_bytes,
    seconds,
    text,
    time_text,
    trace_context,
    word,
)
from stallwatch.errors import InputError

Attributes = Mapping[str, Any]
Fact = dict[str, Any]

TASK_SCHEDULED: Final = "WORKFLOW_TASK_SCHEDULED"
TASK_STARTED: Final = "WORKFLOW_TASK_STARTED"
TIMEOUTS: Final = {
    "timeout_s": "startToCloseTimeout",
    "heartbeat_timeout_s": "heartbeatTimeout",
    "schedule_to_start_timeout_s": "scheduleToStartTimeout",
    "schedule_to_close_timeout_s": "scheduleToCloseTimeout",
}


def retry_policy(value: object) -> Fact:
    """As `max_attempts` (0: without end), `backoff_s`, `backoff_rate` and `backoff_max_s`; empty if there is none."""
    policy = mapping(value)
    if not policy:
        return {}
    most = policy.get("maximumAttempts")
    rate = policy.get("backoffCoefficient")
    told = {
        "max_attempts": number(most, "retryPolicy.maximumAttempts"),
        "backoff_s": seconds(policy, "initialInterval"),
        "backoff_rate": float(rate) if isinstance(rate, int | float) and rate > 0 else None,
        "backoff_max_s": seconds(policy, "maximumInterval"),
    }
    return {key: value for key, value in told.items() if value is not None}


def timeouts(attributes: Attributes) -> Fact:
    """An activity's four timeouts, those that are set."""
    told = {name: seconds(attributes, field) for name, field in TIMEOUTS.items()}
    return {name: value for name, value in told.items() if value is not None}


def queue_of(value: object) -> str:
    """The queue's own name: a sticky queue, which belongs to one worker, stands for its normal one."""
    return text(mapping(value).get("normalName")) or name(value)


def version_of(value: object) -> str:
    """A worker's version, if it is versioned: `deployment.build`. Unversioned workers have a build id too."""
    version = mapping(value)
    build = text(version.get("buildId"))
    deployment = text(version.get("deploymentName"))
    if deployment:
        return f"{deployment}.{build}"
    return build if version.get("useVersioning") else ""


def _trace(header: object) -> Fact:
    found = trace_context(header)
    return {"trace_id": found[0], "span_id": found[1]} if found else {}


def _execution(value: object) -> str:
    return text(mapping(value).get("workflowId"))


def _workflow_started(a: Attributes) -> Fact:
    return {
        "workflow": name(a.get("workflowType")),
        "queue": queue_of(a.get("taskQueue", a.get("taskList"))),
        "run_timeout_s": seconds(a, "workflowRunTimeout"),
        "execution_timeout_s": seconds(a, "workflowExecutionTimeout")
        or seconds(a, "executionStartToCloseTimeout"),
        "task_timeout_s": seconds(a, "workflowTaskTimeout"),
        "parent": _execution(a.get("parentWorkflowExecution")),
        "parent_run": text(mapping(a.get("parentWorkflowExecution")).get("runId")),
        "continued": text(a.get("continuedExecutionRunId")),
        "initiator": camel(word(a.get("initiator"), "CONTINUE_AS_NEW_INITIATOR_")),
        "original": text(a.get("originalExecutionRunId")),
        "first": text(a.get("firstExecutionRunId")),
        "cron": text(a.get("cronSchedule")),
        "backoff_s": seconds(a, "firstWorkflowTaskBackoff"),
        "attempt": number(a.get("attempt"), "attempt"),
        "retry": retry_policy(a.get("retryPolicy")),
        "worker": text(a.get("identity")),
        "bytes": payload_bytes(a.get("input")),
        "version": version_of(a.get("inheritedPinnedVersion")) or text(a.get("inheritedBuildId")),
        **_trace(a.get("header")),
    }


def _workflow_ended(a: Attributes) -> Fact:
    return {
        "failure": failure(a.get("failure")),
        "retry_state": camel(word(a.get("retryState"), "RETRY_STATE_")),
        "new_run": text(a.get("newExecutionRunId")),
        "initiator": camel(word(a.get("initiator"), "CONTINUE_AS_NEW_INITIATOR_")),
        "reason": text(a.get("reason"))[:200],
        "worker": text(a.get("identity")),
        "bytes": payload_bytes(a.get("result", a.get("input"))),
    }


def _task_scheduled(a: Attributes) -> Fact:
    return {
        "queue": queue_of(a.get("taskQueue", a.get("taskList"))),
        "attempt": number(a.get("attempt"), "attempt"),
        "timeout_s": seconds(a, "startToCloseTimeout"),
    }


def _task_started(a: Attributes) -> Fact:
    return {**_follows(a), "worker": text(a.get("identity"))}


def _task_ended(a: Attributes) -> Fact:
    return {
        **_follows(a),
        "worker": text(a.get("identity")),
        "cause": camel(word(a.get("cause"), "WORKFLOW_TASK_FAILED_CAUSE_")),
        "timeout": camel(word(a.get("timeoutType"), "TIMEOUT_TYPE_")),
        "failure": failure(a.get("failure")),
        "new_run": text(a.get("newRunId")),
        "base_run": text(a.get("baseRunId")),
        "version": version_of(a.get("deploymentVersion")) or version_of(a.get("workerVersion")),
    }


def _follows(a: Attributes) -> Fact:
    return {
        "scheduled": number(a.get("scheduledEventId"), "scheduledEventId"),
        "started": number(a.get("startedEventId"), "startedEventId"),
    }


def _activity_scheduled(a: Attributes) -> Fact:
    return {
        "activity": text(a.get("activityId")),
        "step": name(a.get("activityType")),
        "queue": queue_of(a.get("taskQueue", a.get("taskList"))),
        "declared": {**timeouts(a), **retry_policy(a.get("retryPolicy"))},
        "bytes": payload_bytes(a.get("input")),
        "task": _task(a),
        **_trace(a.get("header")),
    }


def _activity_started(a: Attributes) -> Fact:
    return {
        **_follows(a),
        "attempt": number(a.get("attempt"), "attempt"),
        "worker": text(a.get("identity")),
        "failure": failure(a.get("lastFailure")),
    }


def _activity_ended(a: Attributes) -> Fact:
    return {
        **_follows(a),
        "failure": failure(a.get("failure")),
        "retry_state": camel(word(a.get("retryState"), "RETRY_STATE_")),
        "bytes": payload_bytes(a.get("result")),
    }


def _task(a: Attributes) -> int:
    return number(a.get("workflowTaskCompletedEventId"), "workflowTaskCompletedEventId")


def _timer_started(a: Attributes) -> Fact:
    return {
        "timer": text(a.get("timerId")),
        "length_s": seconds(a, "startToFireTimeout"),
        "task": _task(a),
    }


def _timer_ended(a: Attributes) -> Fact:
    return {"started": number(a.get("startedEventId"), "startedEventId")}


def _child_initiated(a: Attributes) -> Fact:
    return {
        "child": text(a.get("workflowId")),
        "step": name(a.get("workflowType")),
        "queue": queue_of(a.get("taskQueue", a.get("taskList"))),
        "timeout_s": seconds(a, "workflowRunTimeout") or seconds(a, "workflowExecutionTimeout"),
        "declared": retry_policy(a.get("retryPolicy")),
        "close_policy": camel(word(a.get("parentClosePolicy"), "PARENT_CLOSE_POLICY_")),
        "bytes": payload_bytes(a.get("input")),
        "task": _task(a),
        **_trace(a.get("header")),
    }


def _initiated_ended(a: Attributes) -> Fact:
    return {
        "initiated": number(a.get("initiatedEventId"), "initiatedEventId"),
        "child_run": text(mapping(a.get("workflowExecution")).get("runId")),
        "failure": failure(a.get("failure")),
        "cause": camel(word(a.get("cause"), "")),
        "bytes": payload_bytes(a.get("result")),
    }


def _external_initiated(a: Attributes) -> Fact:
    return {
        "signal": text(a.get("signalName")),
        "target": _execution(a.get("workflowExecution")),
        "task": _task(a),
    }


def _marker(a: Attributes) -> Fact:
    return {
        "marker": text(a.get("markerName")),
        "local": _local_activity(mapping(a.get("details"))),
        "failure": failure(a.get("failure")),
        "task": _task(a),
    }


def _local_activity(details: Attributes) -> Fact:
    """What the SDKs write of a local activity: one JSON object as `data`, or (Java) fields of their own."""
    fields = mapping(details.get("fields")) or details
    said: dict[str, Any] = {}
    for part in [payload(fields.get("data")), *_payloads(fields.get("data"))]:
        said.update({_plain(key): value for key, value in mapping(part).items()})
    for key in ("activityId", "type"):
        for part in _payloads(fields.get(key)):
            said.setdefault(_plain(key), part)
    attempt = said.get("attempt")
    return {
        "activity": str(said.get("activityid") or ""),
        "step": text(said.get("activitytype")) or text(said.get("type")),
        "attempt": attempt if isinstance(attempt, int) and 0 < attempt < 2**31 else None,
        "ended": _moment(said.get("completetime")),
        "scheduled": _moment(said.get("originalscheduletime")),
    }


def _plain(key: object) -> str:
    return str(key).replace("_", "").lower()


def _payloads(value: object) -> list[Any]:
    return [payload(one) for one in items(mapping(value).get("payloads"))]


def _moment(value: object) -> str:
    try:
        return time_text(value, "details")
    except InputError:
        return ""


def _signaled(a: Attributes) -> Fact:
    return {
        "signal": text(a.get("signalName")),
        "from": _execution(a.get("externalWorkflowExecution")),
    }


def _update(a: Attributes) -> Fact:
    request = mapping(a.get("acceptedRequest") or a.get("request") or a.get("rejectedRequest"))
    meta = mapping(a.get("meta") or request.get("meta"))
    return {
        "update": text(meta.get("updateId")) or text(a.get("protocolInstanceId")),
        "step": name(request.get("input")),
        "accepted": number(a.get("acceptedEventId"), "acceptedEventId"),
        "admitted": number(
            a.get("acceptedRequestSequencingEventId"), "acceptedRequestSequencingEventId"
        ),
        "failure": failure(mapping(a.get("outcome")).get("failure") or a.get("failure")),
    }


def _nexus_scheduled(a: Attributes) -> Fact:
    return {
        "endpoint": text(a.get("endpoint")),
        "step": "/".join(filter(None, (text(a.get("service")), text(a.get("operation"))))),
        "declared": timeouts(a),
        "bytes": payload_bytes([a["input"]]) if "input" in a else None,
        "task": _task(a),
    }


def _nexus_ended(a: Attributes) -> Fact:
    return {**_follows(a), "failure": failure(a.get("failure"))}


def _paused(a: Attributes) -> Fact:
    return {"worker": text(a.get("identity")), "reason": text(a.get("reason"))[:200]}


KEPT: Final[dict[str, Callable[[Attributes], Fact]]] = {
    "WORKFLOW_EXECUTION_STARTED": _workflow_started,
    "WORKFLOW_EXECUTION_COMPLETED": _workflow_ended,
    "WORKFLOW_EXECUTION_FAILED": _workflow_ended,
    "WORKFLOW_EXECUTION_TIMED_OUT": _workflow_ended,
    "WORKFLOW_EXECUTION_CANCELED": _workflow_ended,
    "WORKFLOW_EXECUTION_TERMINATED": _workflow_ended,
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW": _workflow_ended,
    "WORKFLOW_EXECUTION_PAUSED": _paused,
    "WORKFLOW_EXECUTION_UNPAUSED": _paused,
    "WORKFLOW_EXECUTION_SIGNALED": _signaled,
    "WORKFLOW_EXECUTION_UPDATE_ADMITTED": _update,
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED": _update,
    "WORKFLOW_EXECUTION_UPDATE_REJECTED": _update,
    "WORKFLOW_EXECUTION_UPDATE_COMPLETED": _update,
    TASK_SCHEDULED: _task_scheduled,
    TASK_STARTED: _task_started,
    "WORKFLOW_TASK_COMPLETED": _task_ended,
    "WORKFLOW_TASK_FAILED": _task_ended,
    "WORKFLOW_TASK_TIMED_OUT": _task_ended,
    "ACTIVITY_TASK_SCHEDULED": _activity_scheduled,
    "ACTIVITY_TASK_STARTED": _activity_started,
    "ACTIVITY_TASK_COMPLETED": _activity_ended,
    "ACTIVITY_TASK_FAILED": _activity_ended,
    "ACTIVITY_TASK_TIMED_OUT": _activity_ended,
    "ACTIVITY_TASK_CANCELED": _activity_ended,
    "TIMER_STARTED": _timer_started,
    "TIMER_FIRED": _timer_ended,
    "TIMER_CANCELED": _timer_ended,
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED": _child_initiated,
    "START_CHILD_WORKFLOW_EXECUTION_FAILED": _initiated_ended,
    "CHILD_WORKFLOW_EXECUTION_STARTED": _initiated_ended,
    "CHILD_WORKFLOW_EXECUTION_COMPLETED": _initiated_ended,
    "CHILD_WORKFLOW_EXECUTION_FAILED": _initiated_ended,
    "CHILD_WORKFLOW_EXECUTION_CANCELED": _initiated_ended,
    "CHILD_WORKFLOW_EXECUTION_TIMED_OUT": _initiated_ended,
    "CHILD_WORKFLOW_EXECUTION_TERMINATED": _initiated_ended,
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": _external_initiated,
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": _initiated_ended,
    "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED": _initiated_ended,
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": _external_initiated,
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": _initiated_ended,
    "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED": _initiated_ended,
    "MARKER_RECORDED": _marker,
    "NEXUS_OPERATION_SCHEDULED": _nexus_scheduled,
    "NEXUS_OPERATION_STARTED": _nexus_ended,
    "NEXUS_OPERATION_COMPLETED": _nexus_ended,
    "NEXUS_OPERATION_FAILED": _nexus_ended,
    "NEXUS_OPERATION_CANCELED": _nexus_ended,
    "NEXUS_OPERATION_TIMED_OUT": _nexus_ended,
}
