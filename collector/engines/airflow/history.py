"""Facts of one DAG run to step events."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from collector.engines.airflow.definitions import ENGINE
from collector.engines.airflow.documents import ENDS, RUN_ENDS, WAITS
from collector.engines.reading import Facts, Reading
from stallwatch.model.events import StepEvent

START = "Airflow.start"
"""The step that stands for the time that a run is queued for a place among its DAG's active runs."""


def read(execution: str, facts: Facts, namespace: str) -> Reading:
    """All that is known of a DAG run. Step runs are named by task and map index alone, as in the spans of tasks."""
    reading = Reading()
    begun = [identity.partition(":")[2] for identity in facts if identity.startswith("begun:")]
    ends = []
    for identity, fact in facts.items():
        kind, *rest = identity.split(":")
        word = rest[0] if kind == "state" else str(fact.get("state", kind))
        reading.kinds["unknown" if kind == "state" else "mapped", word] += 1
        if kind == "end" and "task" not in fact:
            ends.append(fact["at"])
        if kind == "again" and not any(
            f"wait:{':'.join(rest[:3])}:{state}" in facts for state in WAITS
        ):
            # A second start is a resumption only behind a wait.
            continue
        for event, more in _events(kind, rest, fact):
            reading.events.append(
                StepEvent(
                    event=event,
                    workflow=facts["run"]["dag"],
                    execution_id=execution,
                    engine=ENGINE,
                    namespace=namespace,
                    event_id=f"airflow:{identity}:{event}",
                    **{"time": datetime.fromisoformat(fact["at"]), **more},
                )
            )
    reading.is_closed = bool(ends) and max(ends) >= max(begun, default="")
    return reading


def _events(
    kind: str, rest: list[str], fact: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    if "task" in fact:
        yield from _task_events(kind, fact)
    elif kind == "queued":
        yield "step.scheduled", {"step": START}
    elif kind == "begun":
        attributes = {"run_type": fact["type"]} if fact["type"] else {}
        yield "workflow.started", {"workflow_version": fact["version"], "attributes": attributes}
        if fact["queued"]:
            yield "step.started", {"step": START}
            yield "step.completed", {"step": START}
    elif kind == "end":
        yield f"workflow.{RUN_ENDS[rest[0]]}", {}


def _task_events(kind: str, fact: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    more: dict[str, Any] = {
        "step": fact["task"],
        "branch": fact["branch"],
        "attempt": fact["attempt"],
        "queue": fact.get("queue", ""),
        "max_attempts": fact.get("max_attempts"),
    }
    if kind == "scheduled":
        yield "step.scheduled", more
    elif kind == "start":
        operator = {"operator": fact["operator"]} if fact["operator"] else {}
        yield "step.started", {**more, "worker": fact["worker"], "attributes": operator}
    elif kind == "again":
        yield "step.started", more
    elif kind == "wait":
        trigger = {"trigger": fact["trigger"]} if fact["trigger"] else {}
        yield "step.waiting", {**more, "waiting_on": fact["waiting_on"], "attributes": trigger}
    elif kind == "retry":
        yield "step.retrying", more
    elif kind == "end":
        error = {"error_type": "upstream_failed"} if fact["state"] == "upstream_failed" else {}
        yield f"step.{ENDS[fact['state']]}", {**more, **error}
