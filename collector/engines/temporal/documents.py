"""Which documents of Temporal there are, whose they are, and the facts in them.

The run is what the document says beside the history, else what the history says itself: `originalExecutionRunId` of
its first event, or where the run was reset, `newRunId` of the workflow task that failed for it. A reset run begins
with a copy of the events of the run it was made from. Those are facts of their own kind (`base`): that work was done
once, elsewhere.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from collector.engines.reading import Fragment, Hints, Parts
from collector.engines.temporal.attributes import Fact
from collector.engines.temporal.facts import (
    IGNORED,
    MAPPED,
    attributes_of,
    event_type,
    fact_of,
    is_unwritten,
)
from collector.engines.temporal.live import described, listed, task_facts
from collector.engines.temporal.run import RESET_CAUSE
from collector.engines.temporal.spelling import mapping, text
from stallwatch.errors import InputError
from stallwatch.model.plain_text import json_type

_EVENT_KEYS: Final = {"eventType", "event_type"}
_TYPE_MAX: Final = 100
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def take_apart(document: Any, hints: Hints) -> Parts:
    """Raises InputError, naming the field, if the document is none of Temporal's."""
    return Parts(fragments=list(_fragments(document, hints)))


def execution_key(workflow_id: str, run_id: str) -> str:
    return f"{workflow_id}/{run_id}"


def _fragments(document: Any, hints: Hints) -> Iterator[Fragment]:
    if isinstance(document, list):
        if document and mapping(document[0]).keys() & _EVENT_KEYS:
            yield _history({}, document, hints)
            return
        for one in document:
            yield from _fragments(one, hints)
        return
    if not isinstance(document, Mapping):
        raise InputError(f"a document is an object, not {json_type(document)}")
    history = document.get("history", document)
    if isinstance(history, Mapping) and "events" in history:
        yield _history(document, history["events"], hints)
    elif document.keys() & _EVENT_KEYS:
        # Of a file that is a list of events, as older tools wrote them, each comes alone.
        yield _history({}, [document], hints)
    elif "workflowExecutionInfo" in document:
        yield _described(document, hints)
    elif isinstance(document.get("executions"), list):
        yield from _fragments(document["executions"], hints)
    elif "execution" in document and "status" in document:
        yield _listed(document)
    else:
        raise InputError("events: neither a history nor a description of a workflow execution")


def _history(document: Mapping[str, Any], events: object, hints: Hints) -> Fragment:
    if not isinstance(events, list):
        raise InputError(f"events: expected a list, not {json_type(events)}")
    written: list[Fact] = []
    unwritten: list[Fact] = []
    for index, event in enumerate(events):
        if not isinstance(event, Mapping):
            raise InputError(f"events[{index}]: expected an object")
        kind = event_type(event)
        if not kind:
            raise InputError(f"events[{index}]: eventType is missing")
        try:
            told = fact_of(event, kind)
        except InputError as error:
            raise InputError(f"events[{index}]: {error}") from None
        (unwritten if is_unwritten(event, kind) else written).append(told)
    written, unwritten = _at_the_end(written, unwritten)
    first = next((fact for fact in written if fact["id"] == 1), {})
    said = mapping(document.get("execution") or document.get("workflowExecution") or document)
    # A later part may have nothing but what is newer than Stallwatch; a beginning without a known type is no history.
    if first and all(
        fact["type"] not in MAPPED and fact["type"] not in IGNORED for fact in written
    ):
        raise InputError(
            f"events: not one eventType is known, the first is {first['type'][:_TYPE_MAX]!r}"
        )
    if not events and not said.get("workflowId"):
        raise InputError("events: there are none")
    resets = [fact for fact in written if fact.get("cause") == RESET_CAUSE]
    fork = max(resets, key=_id, default={})
    workflow_id, run_id = _whose(said, first, fork, hints, events)
    is_copied = (bool(first.get("original")) and first["original"] != run_id) or (
        bool(run_id) and fork.get("new_run") == run_id
    )
    facts: dict[str, Fact] = {}
    for fact in written:
        base = is_copied and (not fork or fact["id"] < fork["id"])
        facts[f"{'base' if base else 'event'}/{fact['id']}/{fact['type']}/{fact['time']}"] = fact
    facts.update(task_facts(unwritten))
    return Fragment(execution_key(workflow_id, run_id), facts)


def _at_the_end(written: list[Fact], unwritten: list[Fact]) -> tuple[list[Fact], list[Fact]]:
    """Without a task id, but with others behind it, an event is written after all: its task id was taken off."""
    last = max(map(_id, written), default=0)
    return (
        sorted(written + [fact for fact in unwritten if fact["id"] < last], key=_id),
        [fact for fact in unwritten if fact["id"] > last],
    )


def _id(fact: Fact) -> int:
    return int(fact["id"])


def _whose(
    said: Mapping[str, Any], first: Fact, fork: Fact, hints: Hints, events: list[Any]
) -> tuple[str, str]:
    workflow_id = text(said.get("workflowId")) or _workflow_id(events)
    run_id = text(said.get("runId")) or fork.get("new_run", "") or first.get("original", "")
    if not workflow_id:
        hint = hints.execution_id
        found = _UUID.search(hint)
        if not run_id and found:
            run_id = found[0]
        workflow_id = hint.replace(run_id, "").strip("._-/ ") if run_id else hint
        workflow_id = workflow_id or hint
    if not workflow_id:
        raise InputError(
            "workflowId: whose history this is, neither it nor its file says: say it beside it "
            "(`import --execution-id`, over HTTP `?execution_id=`)"
        )
    return workflow_id, run_id


def _workflow_id(events: list[Any]) -> str:
    """The first event says it since server 1.20."""
    for event in events:
        if event_type(event) == "WORKFLOW_EXECUTION_STARTED":
            return text(attributes_of(event).get("workflowId"))
    return ""


def _described(document: Mapping[str, Any], hints: Hints) -> Fragment:
    info = mapping(document["workflowExecutionInfo"])
    return Fragment(_named(info), described(document, hints.received_at))


def _listed(document: Mapping[str, Any]) -> Fragment:
    return Fragment(_named(document), listed(document))


def _named(info: Mapping[str, Any]) -> str:
    execution = mapping(info.get("execution"))
    workflow_id, run_id = text(execution.get("workflowId")), text(execution.get("runId"))
    if not workflow_id or not run_id:
        raise InputError("execution: workflowId and runId are required")
    return execution_key(workflow_id, run_id)
