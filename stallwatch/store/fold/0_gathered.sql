CREATE TEMPORARY TABLE IF NOT EXISTS fold_gathered ENGINE = Memory AS
SELECT
    execution_key, toUInt64(0) AS run_key, run_id AS run, step, branch, step_run_id AS call_id, toUInt64(0) AS call_number, toUInt64(0) AS call_key,
    attempt AS number, namespace, engine, execution_id, scheduled_at, started_at, started_at AS started_last, '' AS end_kind, ended_at AS completed_at,
    ended_at AS dropped_at, ended_at AS failed_at, ended_received_at, queue, worker, downstream, error_type, error_message, road,
    trace_id, span_id, starts, sender, historical, first_received_at, last_event_at,
    last_heartbeat_at, waiting_at, retrying_at, waiting_on, due, timeout_s, heartbeat_timeout_s,
    schedule_to_start_timeout_s, schedule_to_close_timeout_s, max_attempts, backoff_s, backoff_rate, backoff_max_s,
    region, idempotency_key, compensates, payload_bytes
FROM attempt_fold
WHERE false
