INSERT INTO execution_fold
SELECT
    x.execution_key, namespace, engine, workflow, workflow_version, execution_id, x.run_id, parent_execution_id, status, started_at,
    ended_at, suspended_at, suspended_s,
    suspended_s + a.waited_s AS waited_s,
    last_progress_at, last_step, a.open_steps, a.attempts, timeout_s, error_type, error_message, trace_id, sequence_max, sequences,
    sequence_received_at, last_received_at, ended_received_at, road, sender, historical, version, 0, first_batch, {mark:UInt64}
FROM fold_execution AS x
LEFT JOIN
(
    SELECT
        execution_key, run_id, count() AS attempts,
        countIf(status IN ('scheduled', 'running', 'waiting', 'backing_off')) AS open_steps,
        sum(waited_s) AS waited_s
    FROM fold_attempt
    GROUP BY execution_key, run_id
) AS a ON x.execution_key = a.execution_key AND x.run_id = a.run_id
