-- The executions of the open attempts.
INSERT INTO open_execution
    (execution_key, namespace, engine, workflow, workflow_version, execution_id, status, started_at, last_progress_at, last_step, open_steps, attempts,
    sequence_max, sequences, last_received_at, road, sender, waiting_since, version, folded)
SELECT
    execution_key, namespace, engine, workflow, workflow_version, execution_id, 'running', started_at - toIntervalSecond(3), assumeNotNull(started_at),
    'step-0', 1, 1, 2, 3, first_received_at, road, sender, waiting_at, version, folded
FROM open_attempt
