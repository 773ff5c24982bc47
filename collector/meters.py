"""What the collector says of itself, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Meters:
    """The collector's metrics in one registry. `item` is `span` or `event`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.accepted = Counter(
            "collector_accepted",
            "Spans and events that are committed.",
            ("item",),
            registry=registry,
        )
        self.rejected = Counter(
            "collector_rejected",
            "Spans and events that went back to their sender for good; a body that cannot be read counts as one.",
            ("item",),
            registry=registry,
        )
        self.batches = Counter(
            "collector_batches",
            "Batches by outcome: committed, refused (then halved), unavailable.",
            ("outcome",),
            registry=registry,
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
