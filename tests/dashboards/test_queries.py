"""What dashboards read is what everyone may read."""

from dashboards.reading import sql
from stallwatch.store import Store
from stallwatch.store.sql_endpoint import SqlEndpoint

NAMES = (
    "counts", "execution", "execution_attempts", "execution_events", "executions", "findings",
    "incidents", "ingest_health", "recommendations", "steps_closed", "steps_open", "steps_series",
)  # fmt: skip
GIVEN = {
    "namespace": "", "engine": "", "workflow": "", "step": "", "status": "", "run": "",
    "execution_id": "x", "since": "2026-01-05 00:00:00", "until": "2026-01-06 00:00:00",
    "limit": "10", "statuses": "[]", "window_s": "60", "bucket_s": "60",
}  # fmt: skip


def test_every_query_reads_public_views_only(shop: Store) -> None:
    """The endpoint for strangers, which refuses everything else, answers them too."""
    endpoint = SqlEndpoint(shop.engine)
    for name in NAMES:
        endpoint.query(sql(name), GIVEN)
    endpoint.close()
