"""The status of an instance, without its history: that it is there, since when, and whether it has ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from collector.engines.durable import facts, kinds, values
from collector.engines.durable.telling import Telling
from collector.engines.reading import Hints
from stallwatch.errors import InputError


class Status(NamedTuple):
    """`status` as in `OrchestrationStatus`, empty if it is not said."""

    instance: str
    name: str
    status: str
    created: datetime | None = None
    updated: datetime | None = None
    version: str = ""
    error: str = ""
    message: str = ""
    size: int | None = None

    @property
    def closes(self) -> bool:
        return self.status in kinds.CLOSING


def status_of(fields: Mapping[str, Any], hints: Hints) -> Status:
    """The status in a document whose fields are in one spelling: HTTP API, protobuf, SDK or a row of the table."""
    told = next(
        (
            fields[name]
            for name in ("runtimestatus", "orchestrationstatus", "status")
            if fields.get(name) is not None
        ),
        None,
    )
    status = kinds.status(told)
    if told is not None and not status:
        raise InputError(f"runtimeStatus: {str(told)[:60]!r} is not a status of an orchestration")
    failure = facts.flat(values.mapping(fields.get("failuredetails")))
    output = fields.get("output", fields.get("serializedoutput"))
    is_failed = status == "Failed" and isinstance(output, str)
    return Status(
        instance=values.text(fields, "instanceid", most=2048) or hints.execution_id,
        name=values.text(fields, "name") or hints.workflow,
        status=status,
        created=_moment(fields, hints, "createdtime", "createdtimestamp", "createdat"),
        updated=_moment(
            fields, hints, "completedtime", "completedtimestamp", "lastupdatedtime",
            "lastupdatedtimestamp", "lastupdatedat",
        ),
        version=values.text(fields, "version"),
        error=values.text(failure, "errortype"),
        message=values.text(failure, "errormessage", "message", most=values.ERROR_MAX)
        or (output[: values.ERROR_MAX] if is_failed else ""),
        size=values.size(output),
    )  # fmt: skip


def said_of_status(status: Status, only_end: bool = False) -> dict[str, Any]:
    """What a status tells of its own. Its run is not known: it belongs to the one that is open, or else the latest."""
    created = status.created
    label = f"status {'' if created is None else values.written(created)}"
    telling = Telling("", status.instance, status.name, "", status.version, label=label)
    if not only_end:
        telling.started(created)
    if status.status == "Suspended":
        telling.changed("workflow.suspended", status.updated)
    if status.closes:
        telling.closed(status.status, status.updated, status.error, status.message, status.size)
    found = said(telling, status.status)
    if not found:
        # It is there, but since when cannot be believed.
        found[f"other|{status.status}"] = {"k": status.status}
    return found


def said(telling: Telling, kind: str) -> dict[str, Any]:
    """Events as facts, by their ids. The namespace is that of the reader."""
    return {
        f"said|{event_id}": {"k": kind, "e": msgspec.to_builtins(event)}
        for event_id, event in telling.events.items()
    }


def _moment(fields: Mapping[str, Any], hints: Hints, *names: str) -> datetime | None:
    found = (values.sane(fields.get(name), hints.received_at) for name in names)
    return next((moment for moment in found if moment is not None), None)
