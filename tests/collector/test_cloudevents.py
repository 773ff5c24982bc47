"""CloudEvents to step events: our own types and the Serverless Workflow lifecycle."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.cloudevents import ENGINE, step_event
from collector.events import read_event
from stallwatch.clock import ManualClock
from stallwatch.errors import InputError
from stallwatch.store import Store
from tests.collector.helpers import NOW

DEFINITION = {"name": "orderPet", "namespace": "samples", "version": "1.0.0"}
INSTANCE = "orderPet-ix7iryakiem8j.samples"
AT = "2026-01-05T10:00:00-01:00"


def lifecycle(scope: str, phase: str, **data: object) -> dict[str, Any]:
    name: dict[str, object] = {"name": INSTANCE, "definition": DEFINITION}
    if scope == "task":
        name = {"workflow": INSTANCE, "task": "/do/1/initialize"}
    return {
        "specversion": "1.0",
        "type": f"io.serverlessworkflow.{scope}.{phase}.v1",
        "source": "https://runtime.example",
        "id": f"{scope}-{phase}",
        "time": "2026-01-05T11:30:00Z",
        "data": {**name, f"{phase}At": AT, **data},
    }


@pytest.mark.parametrize(
    ("scope", "phase", "event"),
    [
        ("workflow", "started", "workflow.started"),
        ("workflow", "suspended", "workflow.suspended"),
        ("workflow", "resumed", "workflow.resumed"),
        ("workflow", "cancelled", "workflow.cancelled"),
        ("workflow", "faulted", "workflow.failed"),
        ("workflow", "completed", "workflow.completed"),
        ("task", "created", "step.scheduled"),
        ("task", "started", "step.started"),
        ("task", "suspended", "step.waiting"),
        ("task", "resumed", "step.started"),
        ("task", "retried", "step.retrying"),
        ("task", "cancelled", "step.cancelled"),
        ("task", "faulted", "step.failed"),
        ("task", "completed", "step.completed"),
    ],
)
def test_the_serverless_workflow_lifecycle(scope: str, phase: str, event: str) -> None:
    read = read_event(lifecycle(scope, phase), NOW)
    assert read is not None
    assert read.event == event
    assert (read.engine, read.workflow, read.namespace) == (ENGINE, "orderPet", "samples")
    assert read.execution_id == INSTANCE
    assert read.workflow_version == ("1.0.0" if scope == "workflow" else "")
    assert read.step == ("/do/1/initialize" if scope == "task" else "")
    assert read.event_id == f"https://runtime.example {scope}-{phase}"
    assert read.time.isoformat() == "2026-01-05T11:00:00+00:00"


@pytest.mark.parametrize(
    "phase", ["status-changed", "correlation-started", "correlation-completed"]
)
def test_what_only_repeats_is_understood_and_not_stored(phase: str) -> None:
    assert read_event(lifecycle("workflow", phase), NOW) is None


def test_errors_and_retries_keep_their_details() -> None:
    error = {"type": "https://e.example/communication", "title": "HTTP failed", "status": 503}
    failed = read_event(lifecycle("task", "faulted", error=error), NOW)
    assert failed is not None
    assert (failed.error_type, failed.error_message) == (error["type"], "HTTP failed")
    failed = read_event(lifecycle("task", "faulted", error={**error, "detail": "refused"}), NOW)
    assert failed is not None
    assert failed.error_message == "refused"
    retried = read_event(lifecycle("task", "retried", retryCount=2), NOW)
    assert retried is not None
    assert retried.attempt == 2
    disguised = lifecycle("task", "retried")
    disguised["type"] = "io.serverlessworkflow.task.started.v1"
    told = read_event(disguised, NOW)
    assert told is not None
    assert told.event == "step.retrying"


@pytest.mark.parametrize(
    ("name", "workflow", "namespace"),
    [
        ("order-pet-ix7iryakiem8j.samples", "order-pet", "samples"),
        ("order-0192d4e5-7a8b-7c00-8d1e-f2a3b4c5d6e8.shop", "order", "shop"),
        ("bare", "bare", "default"),
        ("a-b.x.y", "a", "x.y"),
    ],
)
def test_a_qualified_name_is_taken_apart(name: str, workflow: str, namespace: str) -> None:
    read = read_event(lifecycle("task", "started", workflow=name), NOW)
    assert read is not None
    assert (read.workflow, read.namespace, read.execution_id) == (workflow, namespace, name)


def test_without_its_own_time_the_cloud_events_time_counts() -> None:
    event = lifecycle("task", "started")
    del event["data"]["startedAt"]
    read = read_event(event, NOW)
    assert read is not None
    assert read.time.minute == 30


def test_our_own_types() -> None:
    base = {"specversion": "1.0", "source": "/s", "id": "1", "time": AT}
    data = {"workflow": "w", "execution_id": "x", "step": "s"}
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    typed = {**base, "type": "dev.stallwatch.step.failed", "data": data, "traceparent": trace}
    read = read_event(typed, NOW)
    assert read is not None
    assert (read.event, read.event_id) == ("step.failed", "/s 1")
    assert (read.trace_id, read.span_id) == (trace[3:35], trace[36:52])
    packed = base64.b64encode(
        json.dumps({**data, "event": "step.started", "event_id": "e"}).encode()
    )
    read = read_event({**base, "type": "any.type", "data_base64": packed.decode()}, NOW)
    assert read is not None
    assert (read.event, read.event_id) == ("step.started", "e")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "com.example.paid"}, "com.example.paid"),
        ({"type": "io.serverlessworkflow.task.exploded.v1"}, "exploded"),
        ({"type": None}, "type: is required"),
        ({"type": 5}, "type: must be text"),
        ({"id": ""}, "id: is required"),
        ({"source": None}, "source"),
        ({"specversion": "0.3"}, "specversion"),
        ({"data": "text"}, "data: must be an object"),
        ({"data": {"workflow": {"a": 1}, "task": "t"}}, "data.workflow: must be text"),
        ({"data": {"workflow": "w"}}, "data.task: is required"),
        ({"data_base64": "%%%"}, "base64"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_event({**lifecycle("task", "started"), **change}, NOW)


def test_a_workflow_told_by_cloud_events_is_folded(store: Store) -> None:
    told = [
        lifecycle("workflow", "started", startedAt="2026-01-05T11:00:00Z"),
        lifecycle("task", "started", startedAt="2026-01-05T11:00:01Z"),
        lifecycle("task", "suspended", suspendedAt="2026-01-05T11:00:02Z"),
        lifecycle("task", "resumed", resumedAt="2026-01-05T11:00:03Z"),
        lifecycle("task", "retried", retriedAt="2026-01-05T11:00:04Z"),
        {**lifecycle("task", "started", startedAt="2026-01-05T11:00:05Z"), "id": "again"},
        lifecycle("task", "completed", completedAt="2026-01-05T11:00:06Z"),
        lifecycle("workflow", "completed", completedAt="2026-01-05T11:00:07Z"),
    ]
    events = [read_event(event, NOW) for event in told]
    store.insert_events([event for event in events if event is not None], NOW, "s")
    store.fold(ManualClock(NOW).now())
    execution = store.select("SELECT status, duration_s, workflow FROM executions")
    assert execution == [{"status": "completed", "duration_s": 7.0, "workflow": "orderPet"}]
    attempts = store.select("SELECT attempt, status FROM attempts ORDER BY attempt")
    assert [row["attempt"] for row in attempts] == [1, 2]
    assert attempts[1]["status"] == "completed"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=6,
)
_types = st.sampled_from(
    [
        f"io.serverlessworkflow.{scope}.{phase}.v1"
        for scope in ("workflow", "task")
        for phase in ("started", "faulted", "retried", "completed", "status-changed", "x")
    ]
    + ["dev.stallwatch.step.started", "other"]
)
_data_keys = st.sampled_from(
    ["name", "workflow", "task", "definition", "error", "startedAt", "retryCount", "event"]
)


@given(_types, st.dictionaries(_data_keys, _json) | _json, _json, _json)
def test_a_mapping_either_says_why_or_gives_an_identity(
    kind: str, data: Any, source: Any, trace: Any
) -> None:
    event = {
        "specversion": "1.0",
        "type": kind,
        "source": source,
        "id": "1",
        "data": data,
        "traceparent": trace,
    }
    told, reason = None, ""
    try:
        told = step_event(event)
    except InputError as error:
        reason = str(error)
    assert told is None or not reason
    if told is not None and kind.startswith("io."):
        assert told["execution_id"]
        assert told["workflow"]
        assert told["event_id"] == f"{source} 1"


@given(
    st.from_regex(r"[a-z]{1,8}(-[a-z]{1,8}){0,2}", fullmatch=True),
    st.uuids() | st.from_regex(r"[a-z0-9]{13}", fullmatch=True),
    st.from_regex(r"[a-z]{1,8}", fullmatch=True),
)
def test_the_name_of_the_definition_is_found_in_the_instances(
    workflow: str, instance: object, namespace: str
) -> None:
    name = f"{workflow}-{instance}.{namespace}"
    told = step_event(lifecycle("task", "started", workflow=name))
    assert told is not None
    assert (told["workflow"], told["namespace"]) == (workflow, namespace)
