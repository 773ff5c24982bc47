CREATE VIEW step_events AS
SELECT
    event, time, workflow, execution_id, step, engine, namespace, run_id, workflow_version, parent_execution_id, step_run_id,
    nullIf(attempt, 0) AS attempt, branch, event_id, nullIf(sequence, -1) AS sequence, queue, worker, downstream, region,
    idempotency_key, timeout_s, heartbeat_timeout_s, schedule_to_start_timeout_s, schedule_to_close_timeout_s, max_attempts,
    backoff_s, backoff_rate, backoff_max_s, waiting_on, due, error_type, error_message, payload_bytes, compensates, is_replay,
    trace_id, span_id, attributes, received_at, road, sender, historical
FROM step_event_log FINAL
