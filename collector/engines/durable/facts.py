"""One event of a history, in any of its spellings, to a small fact without payloads.

Protobuf's JSON nests an event's fields under the name of its kind, in camel case; the Python SDK's history export
writes them flat in snake case; .NET and the Azure Storage tables write them flat in Pascal case, with objects as JSON
inside of texts. All three have the same fields (`orchestrator_service.proto`; DurableTask.Core, namespace `History`).

A fact has `k` (kind), `t` (when, absent where the clock cannot be believed), `at` (when that was called which it
answers), `id`, `ref` (the id of what it answers), `n` (name), `v` (version), `x` (execution id), `parent`, `trace`
(traceparent), `due`, `child` (the instance that is called or told), `size` (bytes of the payload), `err` and `msg`,
`status`, `begin` (scheduled start), `try` and `max` (the retry that the orchestrator noted), `op`, `req` and `lock` (an
entity's operation, its request, whether it is a lock), `only` (a signal).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from collector.engines.durable import kinds, values
from stallwatch.errors import InputError
from stallwatch.model.plain_text import json_type

Flat = Mapping[str, Any]
_ENVELOPE: Final = frozenset({"eventId", "timestamp", "eventType"})
_RETRY: Final = "dt.retry.attempt"
_RETRIES: Final = "dt.retry.maxAttempts"
"""Tags of TaskScheduled where the host notes retries (Durable Functions extension, `RetryMetadataConstants`)."""


def from_any(event: object, received_at: datetime) -> dict[str, Any]:
    """The fact of an event of a history. Raises InputError if it is none."""
    if not isinstance(event, Mapping):
        raise InputError(f"history: an event is an object, not {json_type(event)}")
    kind = event.get("EventType", event.get("event_type", event.get("eventType")))
    if isinstance(kind, str | int) and kind != "":
        return _fact(_kind(kind), flat(event), received_at)
    for name, body in event.items():
        if name and name not in _ENVELOPE and isinstance(body, Mapping):
            envelope = {name: event[name] for name in _ENVELOPE & event.keys()}
            return _fact(name[:1].upper() + name[1:], {**flat(body), **flat(envelope)}, received_at)
    raise InputError("history: an event has no type")


def flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields under one spelling; `_Timestamp` of a table is the event's own, `Timestamp` the table's."""
    found = {
        name.replace("_", "").lower(): value for name, value in fields.items() if "@" not in name
    }
    if "_Timestamp" in fields:
        found["timestamp"] = fields["_Timestamp"]
    return found


def instance_of(event: Mapping[str, Any]) -> str:
    """The instance that an ExecutionStarted names itself, in any spelling."""
    body = flat(values.mapping(event.get("executionStarted")) or event)
    return values.text(
        flat(values.mapping(body.get("orchestrationinstance"))), "instanceid", most=2048
    )


def run_of(started: Mapping[str, Any], time: datetime | None) -> str:
    """The run id: when the generation was started, for that all sources tell; else the engine's execution id."""
    own = started.get("t")
    if own:
        return str(own)
    return started.get("x") or ("" if time is None else values.written(time))


def _kind(kind: str | int) -> str:
    if isinstance(kind, int):
        known = 0 <= kind < len(kinds.BY_NUMBER)
        return kinds.BY_NUMBER[kind] if known else f"EventType {kind}"
    if kind.endswith("Event") and kinds.fate(kind) == "unknown":
        kind = kind.removesuffix("Event")
    return kind[:1].upper() + kind[1 : values.NAME_MAX]


def _fact(kind: str, body: Flat, received_at: datetime) -> dict[str, Any]:
    instance = flat(values.mapping(body.get("orchestrationinstance")))
    parent = flat(values.mapping(body.get("parentinstance")))
    trace = flat(values.mapping(body.get("parenttracecontext")))
    tags = values.mapping(body.get("tags"))
    found = {
        "k": kind,
        "t": _written(values.sane(body.get("timestamp"), received_at)),
        # Protobuf's JSON leaves zeros out.
        "id": values.number(body, "eventid") or 0,
        "ref": values.number(body, "taskscheduledid", "timerid"),
        "at": _written(values.sane(body.get("scheduledtime"), received_at)),
        "n": values.text(body, "name", "functionname"),
        "v": values.text(body, "version"),
        "x": values.text(instance, "executionid") or values.text(body, "executionid"),
        "parent": values.text(
            flat(values.mapping(parent.get("orchestrationinstance"))), "instanceid", most=2048
        ),
        "trace": values.text(trace, "traceparent", most=60),
        "due": _written(values.due(body.get("fireat"))),
        "child": values.text(body, "instanceid", "targetinstanceid", most=2048),
        "size": values.size(body.get("input", body.get("result", body.get("output")))),
        "status": kinds.status(body.get("orchestrationstatus")),
        "begin": _written(
            values.sane(
                body.get("scheduledstarttimestamp", body.get("scheduledstarttime")), received_at
            )
        ),
        "try": values.number(tags, _RETRY),
        "max": values.number(tags, _RETRIES),
        "op": values.text(body, "operation"),
        "req": values.text(body, "requestid", "criticalsectionid"),
        **_error(body),
        **(_message(body.get("input")) if kind == "EventSent" else {}),
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def _written(moment: datetime | None) -> str:
    return "" if moment is None else values.written(moment)


def _error(body: Flat) -> dict[str, str]:
    """What failed: `FailureDetails` where there are any, else the reason that older versions give."""
    failure = flat(values.mapping(body.get("failuredetails")))
    return {
        "err": values.text(failure, "errortype"),
        "msg": values.text(failure, "errormessage", "message", most=values.ERROR_MAX)
        or values.text(body, "reason", most=values.ERROR_MAX),
    }


def _message(payload: object) -> dict[str, Any]:
    """What an orchestrator tells an entity, where that is an event (`RequestMessage` of the extension)."""
    message = values.mapping(payload)
    if "op" not in message and "lockset" not in message:
        return {}
    return {
        "op": values.text(message, "op"),
        "req": values.text(message, "id"),
        "only": True if message.get("signal") is True else None,
        "lock": True if "lockset" in message else None,
    }
