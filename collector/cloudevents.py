"""CloudEvents 1.0 that carry workflow lifecycle facts, to step events.

Two kinds are understood: an event whose `data` is a step event (or whose type is `dev.stallwatch.step.started` and the
like), and the lifecycle events of the CNCF Serverless Workflow DSL 1.0 (`io.serverlessworkflow.workflow.*.v1` and
`.task.*.v1`; DSL reference, "Lifecycle Events").
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from collector.json_text import decode_any
from stallwatch.errors import InputError

TYPE_PREFIX: Final = "dev.stallwatch."
ENGINE: Final = "serverlessworkflow"
_LIFECYCLE: Final = re.compile(r"io\.serverlessworkflow\.(workflow|task)\.([a-z-]+)\.v1")
_EVENTS: Final[Mapping[str, Mapping[str, str]]] = {
    "workflow": {
        "started": "workflow.started",
        "suspended": "workflow.suspended",
        "resumed": "workflow.resumed",
        "cancelled": "workflow.cancelled",
        "faulted": "workflow.failed",
        "completed": "workflow.completed",
    },
    "task": {
        "created": "step.scheduled",
        "started": "step.started",
        "suspended": "step.waiting",
        "resumed": "step.started",
        "retried": "step.retrying",
        "cancelled": "step.cancelled",
        "faulted": "step.failed",
        "completed": "step.completed",
    },
}
# They repeat what another event of these says, or say what has no place in a lifecycle.
_SILENT: Final = frozenset({"status-changed", "correlation-started", "correlation-completed"})
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}.*")
_UUID_AT_END: Final = re.compile(
    r"-[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
)


def is_cloud_event(data: object) -> bool:
    """Whether an object is a structured CloudEvent rather than a step event."""
    return isinstance(data, dict) and "specversion" in data and "event" not in data


def from_headers(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """The CloudEvent of an HTTP request in binary mode (`ce-…` headers), or None if it is not one."""
    if "ce-specversion" not in headers:
        return None
    event: dict[str, Any] = {
        name.removeprefix("ce-"): unquote(value)
        for name, value in headers.items()
        if name.startswith("ce-")
    }
    if body:
        event["data"] = decode_any(body)
    return event


def step_event(event: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of the step event that a CloudEvent tells; None if it tells nothing that is to be stored.

    Raises InputError if the type is not understood or an attribute is missing or wrong.
    """
    kind, source, id_ = (_text(event, name, required=True) for name in ("type", "source", "id"))
    if not _text(event, "specversion").startswith("1."):
        raise InputError("specversion: must be 1.0")
    data = _data(event)
    defaults: dict[str, Any] = {"event_id": f"{source} {id_}", "time": event.get("time")}
    trace = _TRACEPARENT.fullmatch(_text(event, "traceparent"))
    if trace:
        defaults["trace_id"], defaults["span_id"] = trace.groups()
    lifecycle = _LIFECYCLE.fullmatch(kind)
    if lifecycle:
        told = _lifecycle(lifecycle[1], lifecycle[2], data)
    elif isinstance(data.get("event"), str):
        told = data
    elif kind.startswith(TYPE_PREFIX):
        told = {"event": kind.removeprefix(TYPE_PREFIX), **data}
    else:
        raise InputError(
            f"type: {kind[:100]!r} is not understood; data must be a step event, or the type one of "
            f"{TYPE_PREFIX}step.started … or io.serverlessworkflow.task.started.v1 …"
        )
    if told is None:
        return None
    return {**defaults, **{key: value for key, value in told.items() if value is not None}}


def _lifecycle(scope: str, phase: str, data: dict[str, Any]) -> dict[str, Any] | None:
    """What a Serverless Workflow lifecycle event says.

    The qualified name `{workflow}-{instance}.{namespace}` is the execution's id. `definition` names the workflow
    exactly; task events of the specification have none, then the qualified name is taken apart.
    """
    if phase in _SILENT:
        return None
    if scope == "task" and phase == "started" and "retriedAt" in data:
        # The Java SDK sends its retry events under the type of a start.
        phase = "retried"
    event = _EVENTS[scope].get(phase)
    if event is None:
        raise InputError(f"type: io.serverlessworkflow.{scope}.{phase}.v1 is not understood")
    instance = _text(data, "name" if scope == "workflow" else "workflow", "data.", required=True)
    definition = _object(data, "definition")
    workflow, namespace = _taken_apart(instance)
    told: dict[str, Any] = {
        "event": event,
        "engine": ENGINE,
        "execution_id": instance,
        "workflow": _text(definition, "name", "data.definition.") or workflow,
        "namespace": _text(definition, "namespace", "data.definition.") or namespace or None,
        "workflow_version": _text(definition, "version", "data.definition."),
        "time": data.get(f"{phase}At"),
    }
    if scope == "task":
        told["step"] = _text(data, "task", "data.", required=True)
        told["attempt"] = data.get("retryCount") if phase == "retried" else None
    if phase == "faulted":
        error = _object(data, "error")
        told["error_type"] = _text(error, "type", "data.error.")
        told["error_message"] = _text(error, "detail", "data.error.") or _text(
            error, "title", "data.error."
        )
    return told


def _taken_apart(qualified: str) -> tuple[str, str]:
    """(workflow, namespace) of `{workflow}-{instance}.{namespace}`; the instance may be a UUID."""
    name, _, namespace = qualified.partition(".")
    bare = _UUID_AT_END.sub("", name)
    if bare == name:
        bare = name.rpartition("-")[0] or name
    return bare, namespace


def _data(event: dict[str, Any]) -> dict[str, Any]:
    if "data_base64" in event:
        try:
            encoded = base64.b64decode(_text(event, "data_base64"), validate=True)
        except (binascii.Error, ValueError):
            raise InputError("data_base64: is not base64") from None
        data = decode_any(encoded)
    else:
        data = event.get("data")
    if not isinstance(data, dict):
        raise InputError("data: must be an object")
    return data


def _text(data: dict[str, Any], name: str, place: str = "", required: bool = False) -> str:
    value = data.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise InputError(
            f"{place}{name}: {'is required' if value in (None, '') else 'must be text'}"
        )
    return value


def _object(data: dict[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"data.{name}: must be an object")
    return value
