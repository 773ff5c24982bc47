"""How large, how old and how various step events may be. What is too much is left out and counted, or goes back.

This is for step events, from `/v1/events` and from log records. Spans are never read here, one by one.
A value that is too long is only counted here: the store cuts it once secrets are out of it, because the beginning of
one that lies across a cut would not be known for a secret.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

import msgspec

from collector.admission import Sender
from collector.meters import Meters
from stallwatch.config.settings import CollectorConfig
from stallwatch.errors import InputError
from stallwatch.model.durations import format_duration
from stallwatch.model.events import StepEvent

Accept = Callable[[StepEvent], StepEvent]

OTHER: Final = "(other)"
"""The name of all workflows and steps beyond `max_names`."""
TEXT_MAX: Final = 2048
"""Characters of a field other than `error_message`: names and ids are compared, so they are refused, not cut."""
KEY_MAX: Final = 256
"""Characters of an attribute's name. An attribute with a longer one is left out."""
NAMESPACES: Final = 10
"""All namespaces together may have as many names as so many full ones."""
_TEXTS: Final = tuple(
    field.name
    for field in msgspec.structs.fields(StepEvent)
    if field.type is str and field.name != "error_message"
)


def as_it_is(event: StepEvent) -> StepEvent:
    """No limits."""
    return event


class Limits:
    """The configured limits, and the names seen so far. Thread-safe."""

    def __init__(self, config: CollectorConfig, meters: Meters) -> None:
        self._config = config
        self._meters = meters
        self._names = Names(config.max_names)
        self._future = timedelta(seconds=config.max_future)
        self._age = timedelta(seconds=config.max_event_age) if config.max_event_age else None

    def of(self, sender: Sender, received_at: datetime, historical: bool = False) -> Accept:
        """What to do with each event of a request: InputError sends it back, else what may be stored of it.

        History may have any age.
        """
        config = self._config
        latest = received_at + self._future
        earliest = None if self._age is None or historical else received_at - self._age

        def accept(event: StepEvent) -> StepEvent:
            sender.check_namespace(event.namespace)
            if event.time > latest:
                ahead = format_duration(config.max_future)
                raise InputError(f"time: {event.time.isoformat()} is more than {ahead} ahead")
            if earliest is not None and event.time < earliest:
                age = format_duration(config.max_event_age)
                raise InputError(f"time: {event.time.isoformat()} is more than {age} ago")
            for field in _TEXTS:
                if len(getattr(event, field)) > TEXT_MAX:
                    raise InputError(f"{field}: may have {TEXT_MAX} characters")
            return self._limited(event)

        return accept

    def _limited(self, event: StepEvent) -> StepEvent:
        changes: dict[str, Any] = self._pooled_names(event)
        limit = self._config.max_attribute_bytes
        attributes = first_attributes(event.attributes, self._config.max_attributes)
        dropped = len(event.attributes) - len(attributes)
        if dropped:
            self._meters.limited.labels("attributes").inc(dropped)
            changes["attributes"] = attributes
        long = sum(is_longer(value, limit) for value in (event.error_message, *attributes.values()))
        if long:
            self._meters.limited.labels("attribute_bytes").inc(long)
        return msgspec.structs.replace(event, **changes) if changes else event

    def _pooled_names(self, event: StepEvent) -> dict[str, Any]:
        workflow, step = self._names.kept(event.namespace, event.workflow, event.step)
        if workflow == event.workflow and step == event.step:
            return {}
        self._meters.limited.labels("names").inc()
        changes: dict[str, Any] = {"workflow": workflow, "step": step}
        if step != event.step and not event.step_run_id:
            # Steps that share a name now are still different steps of their execution.
            changes["step_run_id"] = event.step
        return changes


class Names:
    """The distinct workflows and steps of each namespace. A name that was kept once is always kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, set[int]] = {}
        self._count = 0
        self._lock = threading.Lock()

    def kept(self, namespace: str, workflow: str, step: str) -> tuple[str, str]:
        """The names under which to store: as they are, or OTHER where there are too many."""
        if not self._keeps(namespace, workflow, ""):
            workflow = OTHER
        if step and not self._keeps(namespace, workflow, step):
            step = OTHER
        return workflow, step

    def _keeps(self, namespace: str, workflow: str, step: str) -> bool:
        # A hash of 64 bits instead of the names: what a sender makes up must not fill the memory.
        name = hash((workflow, step))
        known = self._known.get(namespace)
        if known is not None and name in known:
            return True
        with self._lock:
            known = self._known.get(namespace, set())
            if name in known:
                return True
            if len(known) >= self._most or self._count >= NAMESPACES * self._most:
                return False
            self._known.setdefault(namespace, known).add(name)
            self._count += 1
            return True


def first_attributes(attributes: dict[str, Any], most: int) -> dict[str, Any]:
    """The first `most` attributes whose names are not too long."""
    named = (item for item in attributes.items() if len(item[0]) <= KEY_MAX)
    return dict(islice(named, most))


def is_longer(value: Any, limit_bytes: int) -> bool:
    """Whether the value, as the text that is stored of it, has more than `limit_bytes` in UTF-8."""
    if isinstance(value, str):
        # No character takes more than four bytes: most texts need not be encoded to be known as short enough.
        return len(value) * 4 > limit_bytes and len(value.encode("utf-8", "replace")) > limit_bytes
    return isinstance(value, dict | list) and len(msgspec.json.encode(value)) > limit_bytes
