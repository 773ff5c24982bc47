"""What the collector says of itself before anything happened."""

from prometheus_client import CollectorRegistry, generate_latest

from collector.meters import Meters


def test_series_begin_at_zero() -> None:
    """Prometheus sees no increase in a series that begins with its first count."""
    registry = CollectorRegistry()
    Meters(registry)
    said = generate_latest(registry).decode()
    for series in (
        'collector_accepted_total{item="event"}',
        'collector_rejected_total{item="span"}',
        'collector_batches_total{outcome="refused"}',
        'collector_unauthorized_total{reason="unknown"}',
        'collector_limited_total{limit="names"}',
        'collector_set_aside_total{reason="damaged"}',
    ):
        assert f"{series} 0.0\n" in said
