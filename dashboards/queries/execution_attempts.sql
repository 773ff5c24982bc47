SELECT
    namespace, engine, run_id, step, step_run_id, branch, attempt, status, scheduled_at, started_at, ended_at, duration_s, queue_s,
    waiting_at, waited_s, last_heartbeat_at, waiting_on, due, timeout_s, heartbeat_timeout_s, max_attempts, queue, worker, downstream, region,
    error_type, error_message, road, span_id
FROM attempts
WHERE execution_id = {execution_id:String}
ORDER BY coalesce(scheduled_at, started_at, waiting_at, ended_at), step, branch, step_run_id, attempt
LIMIT 2000
