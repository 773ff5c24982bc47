"""What the collector says of itself, for Prometheus."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

ITEMS: Final = ("span", "event")


class Meters:
    """The collector's metrics in one registry. `item` is `span` or `event`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.accepted = _counter(
            registry,
            "collector_accepted",
            "Spans and events that are committed.",
            "item",
            ITEMS,
        )
        self.rejected = _counter(
            registry,
            "collector_rejected",
            "Spans and events that went back to their sender for good; a body that cannot be read counts as one.",
            "item",
            ITEMS,
        )
        self.unauthorized = _counter(
            registry,
            "collector_unauthorized",
            "Requests without a token (missing) or with one that is not known (unknown).",
            "reason",
            ("missing", "unknown"),
        )
        self.limited = _counter(
            registry,
            "collector_limited",
            "What went beyond a configured limit: rate (requests sent back), attributes, attribute_bytes (cut), names.",
            "limit",
            ("rate", "attributes", "attribute_bytes", "names"),
        )
        self.batches = _counter(
            registry,
            "collector_batches",
            "Batches by outcome: committed, refused (then halved), unavailable.",
            "outcome",
            ("committed", "refused", "unavailable"),
        )
        self.bytes = Counter("collector_bytes", "Bytes committed, inflated.", registry=registry)
        self.retries = Counter(
            "collector_retries",
            "Commits tried again because the store was away.",
            registry=registry,
        )
        self.pending_bytes = Gauge(
            "collector_pending_bytes",
            "Bytes of bodies that are read or wait to be committed.",
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "collector_commit_seconds",
            "How long a commit took, retries included.",
            registry=registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.repeated = _counter(
            registry,
            "collector_repeated",
            "Spans and events of bodies that were sent again and not stored again.",
            "item",
            ITEMS,
        )
        self.spooled = _counter(
            registry,
            "collector_spooled",
            "Spans and events that were written to the spool.",
            "item",
            ITEMS,
        )
        self.drained = _counter(
            registry,
            "collector_drained",
            "Spans and events that came from the spool into the store.",
            "item",
            ITEMS,
        )
        self.set_aside = _counter(
            registry,
            "collector_set_aside",
            "Spans and events of the spool that will never be stored: damaged on disk, or refused by the store.",
            "reason",
            ("damaged", "refused"),
        )
        self.spool_refused = Counter(
            "collector_spool_refused",
            "Requests that were sent back because the spool was full.",
            registry=registry,
        )
        self.spool_bytes = Gauge(
            "collector_spool_bytes", "Bytes that wait in the spool.", registry=registry
        )
        self.spool_records = Gauge(
            "collector_spool_records", "Requests that wait in the spool.", registry=registry
        )
        self.spool_age_seconds = Gauge(
            "collector_spool_age_seconds",
            "How long ago the oldest request in the spool was received; 0 if there is none.",
            registry=registry,
        )
        self.engine_unknown = Counter(
            "collector_engine_unknown",
            "Events of an engine's own types that are not understood (yet).",
            ("engine", "type"),
            registry=registry,
        )
        self.shelf_dropped = _counter(
            registry,
            "collector_shelf_dropped",
            "What the shelf of the engines had no room for: executions, the oldest first; facts of one with too many.",
            "what",
            ("executions", "facts"),
        )
        self.poll_seconds = Histogram(
            "collector_poll_seconds",
            "How long one look at an engine took.",
            ("engine",),
            registry=registry,
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )
        self.poll_failures = Counter(
            "collector_poll_failures",
            "Looks at an engine that failed: transient (tried again), permanent (needs somebody).",
            ("engine", "kind"),
            registry=registry,
        )
        self.polled_at = Gauge(
            "collector_poll_last_success_timestamp_seconds",
            "When an engine was last looked at with success.",
            ("engine",),
            registry=registry,
        )


def _counter(
    registry: CollectorRegistry, name: str, what: str, label: str, values: Iterable[str]
) -> Counter:
    """A counter whose series begin at 0: a series that begins with its first count has had no increase."""
    counter = Counter(name, what, (label,), registry=registry)
    for value in values:
        counter.labels(value)
    return counter
