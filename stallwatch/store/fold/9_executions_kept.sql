INSERT INTO execution_fold
SELECT
    x.execution_key, namespace, engine, workflow, workflow_version, execution_id, x.run_id, parent_execution_id, status, started_at,
    ended_at, suspended_at, suspended_s,
    suspended_s + a.waited_s AS waited_s,
    arraySum(p -> p.2, arrayFilter(p -> p.1 + toIntervalMicrosecond(toInt64(1e6 * p.2)) <= last_progress_at, a.pauses)) AS paused_s,
    arrayFilter(p -> p.1 + toIntervalMicrosecond(toInt64(1e6 * p.2)) > last_progress_at AND status IN ('running', 'suspended'), a.pauses) AS pauses,
    a.waiting_since, a.retry_due_at,
    last_progress_at, last_step, a.open_steps, a.attempts, timeout_s,
    -- A failure that does not say why is its last failed step's.
    if(status = 'failed' AND x.error_type = '', a.failed_with.1, toString(x.error_type)) AS error_type,
    if(status = 'failed' AND x.error_type = '' AND x.error_message = '', a.failed_with.2, x.error_message) AS error_message,
    trace_id, sequence_max, sequences,
    sequence_received_at, last_received_at, ended_received_at, road, sender, historical, version, 0, first_batch, {mark:UInt64}
FROM fold_execution AS x
LEFT JOIN
(
    SELECT
        execution_key, run_id, count() AS attempts,
        countIf(status IN ('scheduled', 'running', 'waiting', 'backing_off')) AS open_steps,
        sum(waited_s) AS waited_s,
        argMaxIf((toString(error_type), error_message), (ended_at, step, branch, step_run_id, attempt), status IN ('failed', 'timed_out')) AS failed_with,
        groupArrayIf((assumeNotNull(ifNull(ended_at, retrying_at)), pause_s), pause_s > 0) AS pauses,
        minOrNullIf(waiting_at, status = 'waiting') AS waiting_since,
        maxOrNullIf(ended_at + toIntervalMicrosecond(toInt64(1e6 * pause_s)), pause_s > 0 AND is_last_attempt AND status != 'backing_off') AS retry_due_at
    FROM fold_attempt
    GROUP BY execution_key, run_id
) AS a ON x.execution_key = a.execution_key AND x.run_id = a.run_id
