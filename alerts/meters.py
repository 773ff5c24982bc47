"""What the alerts say of themselves, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Meters:
    """The alerts' metrics in one registry; `target` is `receiver/kind/index`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sent = Counter(
            "alerts_sent",
            "Attempts to tell a target, by outcome: told, transient, permanent, broken.",
            ("target", "outcome"),
            registry=registry,
        )
        self.failed = Counter("alerts_failed", "Messages given up.", ("target",), registry=registry)
        self.pending = Gauge(
            "alerts_pending", "Messages that wait for a target.", ("target",), registry=registry
        )
        self.decisions = Counter(
            "alerts_decisions", "Why targets were told or not.", ("reason",), registry=registry
        )
        self.unrouted = Counter(
            "alerts_unrouted",
            "Decisions on incidents that no route matched, so that the first receiver got them.",
            registry=registry,
        )
        self.open_incidents = Gauge(
            "alerts_open_incidents", "Incidents that are open.", registry=registry
        )
