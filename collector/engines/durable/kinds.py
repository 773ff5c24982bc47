"""The kinds of history events, under the names that .NET's DurableTask.Core has for them.

Protobuf names the same kinds in camel case (`orchestrator_service.proto`, oneof `eventType` of `HistoryEvent`), the
Python SDK's history export as classes (`TaskScheduledEvent`). Kinds that only one side has are here as well.
"""

from typing import Final

from collector.engines.reading import Fate

MAPPED: Final = frozenset({
    "ExecutionStarted", "ExecutionCompleted", "ExecutionFailed", "ExecutionTerminated", "ExecutionSuspended",
    "ExecutionResumed", "ExecutionRewound", "RewindEvent", "ContinueAsNew", "OrchestratorStarted",
    "OrchestratorCompleted", "TaskScheduled", "TaskCompleted", "TaskFailed", "SubOrchestrationInstanceCreated",
    "SubOrchestrationInstanceCompleted", "SubOrchestrationInstanceFailed", "TimerCreated", "TimerFired",
    "EventSent", "EventRaised", "EntityOperationSignaled", "EntityOperationCalled", "EntityOperationCompleted",
    "EntityOperationFailed", "EntityLockRequested", "EntityLockGranted",
})  # fmt: skip
IGNORED: Final = frozenset({
    "EntityUnlockSent",  # one-way, and nothing waits for it
    "GenericEvent",  # a note; what a rewind replaced becomes one
    "HistoryState",  # a snapshot of what the other events say
})  # fmt: skip
BY_NUMBER: Final = (
    "ExecutionStarted", "ExecutionCompleted", "ExecutionFailed", "ExecutionTerminated", "TaskScheduled",
    "TaskCompleted", "TaskFailed", "SubOrchestrationInstanceCreated", "SubOrchestrationInstanceCompleted",
    "SubOrchestrationInstanceFailed", "TimerCreated", "TimerFired", "OrchestratorStarted", "OrchestratorCompleted",
)  # fmt: skip
"""`EventType` as a number, as DurableTask.Core writes it itself. Behind these, its versions number differently."""
COMPLETIONS: Final = frozenset({"ExecutionCompleted", "ExecutionFailed", "ContinueAsNew"})
STATUSES: Final = (
    "Running", "Completed", "ContinuedAsNew", "Failed", "Canceled", "Terminated", "Pending", "Suspended",
)  # fmt: skip
"""`OrchestrationStatus`, by its number."""
CLOSING: Final = {
    "Completed": "workflow.completed",
    "ContinuedAsNew": "workflow.continued",
    "Failed": "workflow.failed",
    "Canceled": "workflow.cancelled",
    "Terminated": "workflow.terminated",
}
STATUS_OF_KIND: Final = {
    "ExecutionCompleted": "Completed",
    "ExecutionFailed": "Failed",
    "ContinueAsNew": "ContinuedAsNew",
}
"""What the kinds in COMPLETIONS mean where they do not say the status."""
_SPELLINGS: Final = {name.replace("_", "").lower(): name for name in STATUSES} | {
    "cancelled": "Canceled"
}


def fate(kind: str) -> Fate:
    if kind in MAPPED:
        return "mapped"
    return "ignored" if kind in IGNORED else "unknown"


def status(value: object) -> str:
    """A status by its number, as `ORCHESTRATION_STATUS_RUNNING` or as `Running`; empty if it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return STATUSES[value] if 0 <= value < len(STATUSES) else ""
    if not isinstance(value, str):
        return ""
    return _SPELLINGS.get(
        value.upper().removeprefix("ORCHESTRATION_STATUS_").replace("_", "").lower(), ""
    )
