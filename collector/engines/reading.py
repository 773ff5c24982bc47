"""What every engine gives: facts about executions, and how facts become step events.

Whatever the road (a poll, a push, a file), a document is taken apart into *facts*: small JSON values, each with an
identity, each about one execution, without payloads and secrets. The shelf keeps the facts of an execution together,
and `Engine.read` makes step events of all that is known of it. So the order, the repetition and the splitting of
deliveries do not matter, if two rules are kept:

1. `read` looks at the facts alone, and what it gives for some of the facts is among what it gives for more of them: a
   step event that was sent cannot be taken back. What cannot be known yet is not said yet.
2. An event has the same `event_id` and the same content whichever road its facts came by.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from collector.documents import Document
from stallwatch.errors import InputError
from stallwatch.model.definitions import Definition
from stallwatch.model.events import StepEvent

Facts = Mapping[str, Any]
"""Facts of one execution by their identity. A fact that comes again with the same identity changes nothing."""
Fate = Literal["mapped", "ignored", "unknown"]


class Hints(NamedTuple):
    """What the way in knows and the document may not say."""

    received_at: datetime
    namespace: str = "default"
    execution_id: str = ""
    workflow: str = ""


class Fragment(NamedTuple):
    """Some facts about one execution. `execution` is the key that all its fragments have, over all roads."""

    execution: str
    facts: dict[str, Any]


@dataclass(slots=True)
class Parts:
    """What a document says: about executions, and of the definition of workflows."""

    fragments: list[Fragment] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)


@dataclass(slots=True)
class Reading:
    """What is known of one execution. `kinds` counts the engine's own event types by what became of them."""

    events: list[StepEvent] = field(default_factory=list)
    is_closed: bool = False
    """Nothing more is expected: its facts need not be kept for long."""
    kinds: Counter[tuple[Fate, str]] = field(default_factory=Counter)


class Delivery(NamedTuple):
    """Documents that came in another's envelope, and the answer that its sender expects."""

    documents: Sequence[Any]
    answer: Mapping[str, Any]


class Piece(NamedTuple):
    """A part of what a poll found. When it is stored, `mark` is remembered and handed to the next poll."""

    parts: Parts
    namespace: str = "default"
    mark: str | None = None
    historical: bool = False
    """It closed before anybody looked: it teaches the detectors and never pages."""


class Poller(ABC):
    """Asks an engine. One thread calls it, one call at a time."""

    @abstractmethod
    def poll(self, mark: str | None, now: datetime) -> Iterator[Piece]:
        """Everything that is new since `mark` (None: the first look), in pieces that are stored one after the other.

        Raises Transient when the engine is away or throttles, Permanent when asking again is useless.
        """

    def complete_since(self, began_at: datetime) -> datetime:
        """Since when everything that is open was asked for again, after a look that began at `began_at`.

        Earlier than that where not everything has its turn at each look.
        """
        return began_at

    def close(self) -> None:
        """Give back connections."""
        return


class Engine(ABC):
    """One engine: how its documents become facts, and its facts step events."""

    name: str

    @abstractmethod
    def parts(self, document: Any, hints: Hints) -> Parts:
        """Take a decoded JSON document apart. Raises InputError, naming the field, if it is none of this engine."""

    @abstractmethod
    def read(self, execution: str, facts: Facts, namespace: str) -> Reading:
        """The step events of all that is known of an execution. Pure; see the two rules above."""

    def delivery(self, _document: Any) -> Delivery | None:
        """The documents inside an envelope of this engine's senders; None if this is not an envelope."""
        return None

    def file_hints(self, path: Path, hints: Hints) -> Hints:
        """What a file's name, or a file beside it, says where the document does not."""
        return hints._replace(execution_id=hints.execution_id or path.stem)

    def file_documents(self, _path: Path) -> Iterator[Document] | None:
        """The documents of a file that is not JSON (a database); None if it is to be read as JSON."""
        return None

    def poller(self, _config: Any) -> Poller:
        """What asks this engine, by its section of the configuration. Raises ConfigError."""
        raise InputError(f"{self.name} cannot be polled")
