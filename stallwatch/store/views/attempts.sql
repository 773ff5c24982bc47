CREATE VIEW attempts AS
SELECT
    namespace, engine, workflow, workflow_version, execution_id, run_id, step, step_run_id, branch, attempt, status,
    scheduled_at, started_at, ended_at,
    -- Where nobody told of a beginning, there is no duration (greatest passes over NULL).
    if(ended_at IS NULL OR coalesce(started_at, scheduled_at, waiting_at) IS NULL, NULL,
        greatest(0, dateDiff('microsecond', coalesce(started_at, scheduled_at, waiting_at), ended_at) / 1e6)) AS duration_s,
    if(scheduled_at IS NULL OR started_at IS NULL, NULL, greatest(0, dateDiff('microsecond', scheduled_at, started_at) / 1e6)) AS queue_s,
    last_heartbeat_at, waiting_on, due, timeout_s, heartbeat_timeout_s, max_attempts, queue, worker, downstream, region,
    error_type, error_message, road, span_id,
    trace_id, schedule_to_start_timeout_s, schedule_to_close_timeout_s, backoff_s, backoff_rate, backoff_max_s,
    waiting_at, waited_s, is_last_attempt, closed_by, payload_bytes, compensates, idempotency_key, historical,
    execution_key
FROM attempt_fold FINAL
