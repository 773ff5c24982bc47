"""The public views have at least the columns that users rely on."""

import pytest

from stallwatch.store import Store

COLUMNS = {
    "executions": "namespace engine workflow workflow_version execution_id run_id parent_execution_id status "
    "started_at ended_at duration_s waited_s last_progress_at open_steps attempts error_type error_message trace_id",
    "attempts": "namespace engine workflow workflow_version execution_id run_id step step_run_id branch attempt "
    "status scheduled_at started_at ended_at duration_s queue_s last_heartbeat_at waiting_on due timeout_s "
    "heartbeat_timeout_s max_attempts queue worker downstream region error_type error_message road span_id",
    "step_events": "event time workflow execution_id step engine namespace run_id workflow_version "
    "parent_execution_id step_run_id attempt branch event_id sequence queue worker downstream region "
    "idempotency_key timeout_s heartbeat_timeout_s schedule_to_start_timeout_s schedule_to_close_timeout_s "
    "max_attempts backoff_s backoff_rate backoff_max_s waiting_on due error_type error_message payload_bytes "
    "compensates is_replay trace_id span_id attributes received_at road",
    "spans": "trace_id span_id parent_span_id name scope service kind start_at duration_s status attributes resource",
    "step_latency": "window_start window_s namespace engine workflow step completed failed timed_out retried "
    "p50_s p95_s p99_s",
    "findings": "detector severity status namespace engine workflow step executions count first_seen last_seen "
    "fingerprint title explanation evidence next_steps",
    "incidents": "id cause findings executions opened_at closed_at severity",
    "recommendations": "namespace engine workflow step n censored p50_s p95_s p99_s p999_s p99_low_s p99_high_s "
    "current_timeout_s recommended_timeout_s guidance_timeout_s buffer verdict healthy_cut stuck_s_saved week",
    "declarations": "namespace engine workflow workflow_version step kind source timeout_s heartbeat_timeout_s "
    "schedule_to_start_timeout_s schedule_to_close_timeout_s max_attempts backoff_s backoff_rate backoff_max_s "
    "jitter retries catches caught_by "
    "compensated_by inside waiting_on downstream region next attributes declared_at",
    "definitions": "namespace engine workflow workflow_version step kind source timeout_s heartbeat_timeout_s "
    "schedule_to_start_timeout_s schedule_to_close_timeout_s max_attempts backoff_s backoff_rate backoff_max_s "
    "jitter retries catches caught_by "
    "compensated_by inside waiting_on downstream region next attributes declared_at preference",
    "ingest_health": "sender namespace last_received_at lag_s skew_s accepted rejected quarantined spool_bytes",
}


@pytest.mark.parametrize("view", COLUMNS)
def test_columns(view: str, store_root: Store) -> None:
    rows = store_root.select(
        "SELECT name FROM system.columns WHERE database = {database:String} AND table = {view:String}",
        {"database": store_root.engine.database, "view": view},
    )
    assert set(COLUMNS[view].split()) <= {row["name"] for row in rows}
