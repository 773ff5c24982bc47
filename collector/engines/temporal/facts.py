"""A history event to a fact: what Stallwatch needs of it, small, without payloads.

A fact has `id`, `type` (without `EVENT_TYPE_`), `time` (RFC 3339, microseconds) and what is kept of its attributes.
"""

from collections.abc import Mapping
from typing import Any, Final

from collector.engines.temporal.attributes import (
    KEPT,
    TASK_SCHEDULED,
    TASK_STARTED,
    Attributes,
    Fact,
)
from collector.engines.temporal.spelling import number, time_text, word
from stallwatch.errors import InputError

_ATTRIBUTES: Final = ("EventAttributes", "_event_attributes")
IGNORED: Final = {
    "UNSPECIFIED": "says nothing",
    "WORKFLOW_EXECUTION_CANCEL_REQUESTED": "a wish; what became of it follows",
    "ACTIVITY_TASK_CANCEL_REQUESTED": "a wish; what became of it follows",
    "NEXUS_OPERATION_CANCEL_REQUESTED": "a wish; what became of it follows",
    "NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED": "a wish was heard; what became of it follows",
    "NEXUS_OPERATION_CANCEL_REQUEST_FAILED": "a wish was not heard; the operation goes on",
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": "takes no time",
    "WORKFLOW_PROPERTIES_MODIFIED": "takes no time",
    "WORKFLOW_PROPERTIES_MODIFIED_EXTERNALLY": "is not used by any server",
    "ACTIVITY_PROPERTIES_MODIFIED_EXTERNALLY": "is not used by any server",
    "WORKFLOW_EXECUTION_OPTIONS_UPDATED": "takes no time",
    "WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED": "only in tests",
}
"""Event types that become no step event, and why. They still count as signs of life between two workflow tasks."""
MAPPED: Final = frozenset(KEPT)


def event_type(event: Mapping[str, Any]) -> str:
    """`ACTIVITY_TASK_SCHEDULED`, however it is spelled; the oldest servers said decision for workflow task."""
    spelled = word(event.get("eventType", event.get("event_type")), "EVENT_TYPE_")
    if spelled.isdigit():
        named = _named_attributes(event)[0]
        for suffix in _ATTRIBUTES:
            named = named.removesuffix(suffix)
        spelled = word(named, "") or spelled
    return spelled.replace("DECISION_TASK", "WORKFLOW_TASK")


def fact_of(event: Mapping[str, Any], kind: str) -> Fact:
    """Raises InputError, naming the field."""
    id = number(event.get("eventId", event.get("event_id")), "eventId")
    if id < 1:
        raise InputError("eventId: is counted from 1")
    stamped = event.get("eventTime", event.get("event_time", event.get("timestamp")))
    time = time_text(stamped, "eventTime")
    if not time:
        raise InputError(f"events: event {id} has no eventTime")
    kept = KEPT.get(kind)
    said = {} if kept is None else kept(attributes_of(event))
    return {
        "id": id,
        "type": kind,
        "time": time,
        **{key: value for key, value in said.items() if value not in (None, "", {}, 0, [])},
    }


def is_unwritten(event: Mapping[str, Any], kind: str) -> bool:
    """A workflow task that is being tried again is shown at the end of a history before it is written into it."""
    return kind in (TASK_SCHEDULED, TASK_STARTED) and not number(
        event.get("taskId", event.get("task_id")), "taskId"
    )


def attributes_of(event: Mapping[str, Any]) -> Attributes:
    """The one member of an event that ends in `EventAttributes`; names with underscores become camel case."""
    attributes = _named_attributes(event)[1]
    return _camel_keys(attributes) if "event_id" in event else attributes


def _named_attributes(event: Mapping[str, Any]) -> tuple[str, Attributes]:
    # The JSON of Rust's SDK has them one level deeper.
    for members in (event, event.get("attributes")):
        if isinstance(members, Mapping):
            for key, value in members.items():
                if isinstance(value, Mapping) and str(key).endswith(_ATTRIBUTES):
                    return key, value
    return "", {}


def _camel_keys(attributes: Attributes) -> Attributes:
    return {_camel_key(key): _camel_value(value) for key, value in attributes.items()}


def _camel_key(key: str) -> str:
    first, *others = key.split("_")
    # A header's field begins with an underscore and is nobody's spelling.
    return key if not first else first + "".join(other.capitalize() for other in others)


def _camel_value(value: object) -> object:
    if isinstance(value, Mapping):
        return _camel_keys(value)
    return [_camel_value(inner) for inner in value] if isinstance(value, list) else value
