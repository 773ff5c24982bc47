"""Azure Durable Functions and the Durable Task Framework: histories, status documents, tables, `host.json`."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.documents import Document
from collector.engines.durable import kinds
from collector.engines.durable.documents import parts_of
from collector.engines.durable.files import history_document
from collector.engines.durable.history import History
from collector.engines.durable.hostjson import definition_of, is_hostjson
from collector.engines.durable.instances import instance_of_key
from collector.engines.durable.polling import poller_of
from collector.engines.durable.telling import ENGINE
from collector.engines.reading import Engine, Facts, Hints, Parts, Poller, Reading
from stallwatch.model.events import StepEvent

_SAID: Final = "said|"
_OTHER: Final = "other|"
_LOOK: Final = "look"


class _Edition:
    """A history from its first event on as far as there is no gap, and the lengths that it was seen at rest with."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.looks: set[int] = set()


class Durable(Engine):
    """Instances are executions, the generations that continue-as-new makes of them are runs."""

    name = ENGINE

    def parts(self, document: Any, hints: Hints) -> Parts:
        """Take a document apart; see `documents` for the shapes."""
        if is_hostjson(document):
            return Parts(definitions=[definition_of(document, hints)])
        return parts_of(document, hints)

    def read(self, execution: str, facts: Facts, namespace: str) -> Reading:
        """The events of a generation as far as its history is known without a gap, and what documents told whole."""
        reading = Reading()
        found: dict[str, StepEvent] = {}
        editions: dict[str, _Edition] = defaultdict(_Edition)
        for identity, fact in sorted(facts.items()):
            if isinstance(fact, dict):
                reading.kinds[_counted(fact)] += 1
            if identity.startswith(_SAID):
                event = msgspec.convert(fact["e"], StepEvent)
                found[event.event_id] = msgspec.structs.replace(event, namespace=namespace)
            elif not identity.startswith(_OTHER):
                edition, *what, place = identity.split("|")
                if what == [_LOOK]:
                    editions[edition].looks.add(int(place))
                elif int(place) == len(editions[edition].events):
                    editions[edition].events.append(fact)
        for its in editions.values():
            history = History(namespace, instance_of_key(execution), its.events, its.looks)
            for event_id, event in history.read().events.items():
                found.setdefault(event_id, event)
        reading.events = sorted(found.values(), key=lambda event: event.time)
        reading.is_closed = _is_closed(reading.events)
        return reading

    def file_documents(self, path: Path) -> Iterator[Document] | None:
        """A file of the events of one history is one document."""
        return history_document(path)

    def poller(self, config: Any) -> Poller:
        """What asks a Functions app, a task hub over gRPC, or its tables, as the section says."""
        return poller_of(config)


def _counted(fact: dict[str, Any]) -> tuple[Any, str]:
    kind = fact["k"]
    if "e" in fact or kind in kinds.STATUSES:
        return ("mapped", kind)
    return (kinds.fate(kind), kind)


def _is_closed(events: list[StepEvent]) -> bool:
    last = max(
        (event for event in events if event.event.startswith("workflow.")),
        key=lambda event: (event.time, event.event != "workflow.started"),
        default=None,
    )
    return last is not None and last.event in kinds.CLOSING.values()
