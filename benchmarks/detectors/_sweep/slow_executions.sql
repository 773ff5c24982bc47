-- The executions of these attempts.
INSERT INTO execution_fold
    (execution_key, namespace, engine, workflow, workflow_version, execution_id, status, started_at, ended_at, last_progress_at,
    last_step, attempts, sequence_max, sequences, last_received_at, ended_received_at, road, sender, version, folded)
SELECT
    execution_key, namespace, engine, workflow, workflow_version, execution_id, 'completed', started_at - toIntervalSecond(3), ended_at, ended_at,
    step, 1, 3, 4, ended_received_at, ended_received_at, road, sender, version, folded
FROM attempt_fold
WHERE startsWith(workflow, 'slow-')
