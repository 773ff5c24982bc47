"""What tells how a whole execution is: DescribeExecution, ListExecutions, EventBridge's status changes, map runs."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

from collector.engines.reading import Fragment, Hints
from collector.engines.stepfunctions import arns
from collector.engines.stepfunctions.facts import end_fact, parent_facts, version_facts
from collector.engines.stepfunctions.values import Fields

CHANGE: Final = "Step Functions Execution Status Change"
ENDED: Final[Mapping[str, str]] = {
    "SUCCEEDED": "workflow.completed",
    "FAILED": "workflow.failed",
    "TIMED_OUT": "workflow.timed_out",
    "ABORTED": "workflow.terminated",
}
PENDING: Final = "PENDING_REDRIVE"
"""A child of a map run that ended without success, and waits for the redrive of the map run to come to it."""
_COUNTS: Final = ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total")
_HEX: Final = frozenset("0123456789abcdef")


def change(event: Fields) -> Fragment:
    """An EventBridge event: https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html."""
    if event.text("detail-type") != CHANGE:
        raise event.wrong("detail-type", f"must be {CHANGE!r}")
    detail = event.object("detail")
    fragment = status(detail)
    if "stopDate" not in detail and detail.text("status") in ENDED:
        at = event.time("time")
        if at is not None:
            fragment.facts.update(_end(detail, at))
    return fragment


def status(said: Fields) -> Fragment:
    """DescribeExecution, an item of ListExecutions, or the `detail` of a status change: they have the same fields."""
    arn = said.text("executionArn", required=True)
    if not arns.execution(arn):
        raise said.wrong("executionArn", "must be the ARN of an execution")
    facts: dict[str, Any] = {}
    status = said.text("status", required=True)
    if (started := said.time("startDate")) is not None:
        facts["started"] = {"at": started}
    redrives = said.number("redriveCount") or 0
    if redrives and (redriven := said.time("redriveDate")) is not None:
        facts[f"redriven/{redrives}"] = {"at": redriven}
    stopped = said.time("stopDate")
    if status in ENDED:
        facts |= _end(said, stopped) if stopped is not None else {}
    elif status == PENDING and stopped is not None:
        facts[f"pending/{redrives}"] = {"at": stopped}
    elif status != "RUNNING":
        facts[f"status/{status[:40]}"] = {}
    return Fragment(arn, facts | beside(said))


def beside(said: Fields) -> dict[str, Any]:
    """What an execution was started by and with, where it is said."""
    facts = version_facts(said) | parent_facts(said.text("input"))
    if parent := said.text("parentExecutionArn"):
        facts["parent"] = {"execution": parent}
    if run := said.text("mapRunArn"):
        facts["map_run"] = {"arn": run}
    if trace := _trace_id(said.text("traceHeader")):
        facts["trace"] = {"trace_id": trace}
    return facts


def map_run(said: Fields, hints: Hints) -> Fragment:
    """DescribeMapRun: how far a map run is, to facts of the execution that started it. Dated by when it was asked."""
    execution = said.text("executionArn", required=True)
    run = said.text("mapRunArn", required=True)
    if not arns.execution(execution):
        raise said.wrong("executionArn", "must be the ARN of an execution")
    counted = said.object("executionCounts" if "executionCounts" in said else "itemCounts")
    counts = {name: counted.number(name) or 0 for name in _COUNTS}
    ended = counts["total"] - counts["pending"] - counts["running"]
    at = said.time("stopDate") or hints.received_at.astimezone(UTC).isoformat(
        timespec="microseconds"
    )
    label = run.rpartition(":")[2]
    return Fragment(execution, {f"map_run/{label}/{ended}": {"arn": run, "at": at, **counts}})


def _end(said: Fields, at: str) -> dict[str, Any]:
    redrives = said.number("redriveCount") or 0
    return {f"ended/{redrives}": end_fact(said.text("status"), at, said)}


def _trace_id(header: str) -> str:
    """The trace of an X-Ray header, `Root=1-5759e988-bd862e3fe1be46a994272793;…`, as OpenTelemetry writes it."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == "Root":
            trace = "".join(value.split("-")[1:]).lower()
            return trace if len(trace) == 32 and _HEX.issuperset(trace) else ""
    return ""
