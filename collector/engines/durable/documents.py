"""Documents about orchestrations, in the shapes that Durable has for them, to facts.

- An instance with its history: the HTTP management API (`historyEvents`), the SDKs' protobuf as JSON (`history`), the
  Python SDK's history export (`events`); or the status alone, or a list of any of these.
- Rows of the tables `<TaskHub>Instances` and `<TaskHub>History` of Azure Storage, together or each by itself.

Facts of a history that is as the backend keeps it are its events by their place: `<edition>|<place>`, and
`<edition>|look|<length>` for having been seen at rest with so many events. The edition counts what a rewind rewrote.
The HTTP API takes things out of a history, so places in it move: what it tells is worked out of the whole document (see
`management`) and kept as `said|<event id>`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from collector.engines.durable import facts, kinds
from collector.engines.durable.instances import fragment_key, instance_of_key, is_entity
from collector.engines.durable.management import said_of_history
from collector.engines.durable.rows import fragment_of_row, generation_of_row, is_row
from collector.engines.durable.status import Status, said_of_status, status_of
from collector.engines.reading import Fragment, Hints, Parts
from stallwatch.errors import InputError
from stallwatch.model.plain_text import json_type

_HISTORIES: Final = ("historyevents", "history", "events")
_TYPE_MAX: Final = 100
_PENDING: Final = ("pending", "pendingevents")


def parts_of(document: object, hints: Hints) -> Parts:
    """Facts of a document. Raises InputError, naming the field, for what is none of these."""
    if isinstance(document, list):
        return _parts_of_list(document, hints)
    if not isinstance(document, Mapping):
        raise InputError(f"a document is an object, not {json_type(document)}")
    if is_row(document):
        fragment = fragment_of_row(document, hints.received_at)
    else:
        _, fragment = instance_of(document, hints)
        if _history(facts.flat(document)):
            _check_known(fragment)
    # Entities live for ever: as executions they would all be stalled.
    is_about_an_entity = is_entity(instance_of_key(fragment.execution))
    return Parts([] if is_about_an_entity or not fragment.facts else [fragment])


def instance_of(document: Mapping[str, Any], hints: Hints) -> tuple[Status, Fragment]:
    """An instance, with its history or without. Raises InputError if it is none."""
    fields = facts.flat(document)
    status = status_of(fields, hints)
    if not status.instance:
        raise InputError("instanceId: is required")
    history = _history(fields)
    if history is None and not status.status:
        raise InputError("runtimeStatus: is required where there is no history")
    return status, fragment_of(status, history or [], hints.received_at, _is_resting(fields))


def _check_known(fragment: Fragment) -> None:
    """Raises InputError if nothing in a history is understood: it is another engine's, and nothing would be stored."""
    told = [fact for fact in fragment.facts.values() if isinstance(fact, Mapping)]
    types = [fact["k"] for fact in told if "e" not in fact and fact["k"] not in kinds.STATUSES]
    if types and len(types) == len(told) and all(kinds.fate(type_) == "unknown" for type_ in types):
        raise InputError(
            f"history: not one event type is known, the first is {types[0][:_TYPE_MAX]!r}"
        )


def fragment_of(
    status: Status, history: Sequence[object], received_at: datetime, is_resting: bool = True
) -> Fragment:
    """Facts of one instance. `is_resting`: nothing that came for it waits to be worked on."""
    if not history:
        return Fragment(fragment_key(status.instance, ""), said_of_status(status))
    events = [facts.from_any(event, received_at) for event in history]
    if _is_of_management(history, events):
        run, found = said_of_history(status, events)
        return Fragment(fragment_key(status.instance, run), found)
    return _of_whole(status, _generation(events), events, is_resting)


def fragment_of_rows(
    status: Status, rows: Sequence[Mapping[str, Any]], received_at: datetime
) -> Fragment:
    """Facts of an instance by its rows of History, those of one generation and without a gap."""
    if not rows:
        return Fragment(fragment_key(status.instance, ""), said_of_status(status))
    events = [facts.from_any(row, received_at) for row in rows]
    return _of_whole(status, generation_of_row(rows[0]), events, is_resting=True)


def _of_whole(
    status: Status, generation: str, events: Sequence[Mapping[str, Any]], is_resting: bool
) -> Fragment:
    """Facts of a history as the backend keeps it, from its first event on."""
    edition = _edition(events)
    found: dict[str, Any] = {f"{edition}|{place:08}": event for place, event in enumerate(events)}
    if is_resting and status.status == "Running" and events[-1]["k"] == "OrchestratorCompleted":
        found[f"{edition}|look|{len(events):08}"] = True
    if status.closes and not any(event["k"] in kinds.COMPLETIONS for event in events):
        # It was ended from outside, or its end is not in the history yet: the status knows first.
        found |= said_of_status(status, only_end=True)
    return Fragment(fragment_key(status.instance, generation), found)


def _parts_of_list(documents: list[Any], hints: Hints) -> Parts:
    if documents and all(is_event(element) for element in documents):
        named = [facts.instance_of(element) for element in documents]
        instance = next(filter(None, named), "") or hints.execution_id
        return parts_of({"instanceId": instance, "history": documents}, hints)
    found = Parts()
    for index, element in enumerate(documents):
        try:
            its = parts_of(element, hints._replace(execution_id=""))
        except InputError as error:
            raise InputError(f"[{index}].{error}") from None
        found.fragments += its.fragments
    return found


def is_event(element: object) -> bool:
    """Whether something is an event of a history, and no instance, and no row that knows its place."""
    if not isinstance(element, Mapping) or is_row(element):
        return False
    named = any(name in element for name in ("EventType", "event_type", "eventType", "eventId"))
    return named and "instanceId" not in element


def _history(fields: Mapping[str, Any]) -> list[object] | None:
    for name in _HISTORIES:
        value = fields.get(name)
        if value is not None:
            if not isinstance(value, list):
                raise InputError(f"{name}: must be an array")
            return value
    return None


def _is_resting(fields: Mapping[str, Any]) -> bool:
    return not any(fields.get(name) for name in _PENDING)


def _is_of_management(history: Sequence[object], events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the HTTP API made it: it takes out the turns, and every id."""
    if any(event["k"].startswith("Orchestrator") for event in events):
        return False
    return all(
        isinstance(event, Mapping) and "EventType" in event and "EventId" not in event
        for event in history
    )


def _generation(events: Iterable[Mapping[str, Any]]) -> str:
    """What tells the generations of an instance apart: when it was started, its execution id, or its first turn."""
    first = ""
    for event in events:
        if event["k"] == "ExecutionStarted":
            return event.get("t") or event.get("x") or first
        first = first or event.get("t", "")
    return first


def _edition(events: Iterable[Mapping[str, Any]]) -> int:
    """How often it was rewound: a rewind rewrites a history, or turns events of it into notes."""
    return sum(
        event["k"] in ("ExecutionRewound", "RewindEvent")
        or (event["k"] == "GenericEvent" and event.get("msg", "").startswith("Rewound"))
        for event in events
    )
