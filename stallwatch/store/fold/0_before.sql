CREATE TEMPORARY TABLE IF NOT EXISTS fold_before ENGINE = Memory AS
SELECT execution_key, run_id, step, branch, step_run_id, attempt, status, started_at, scheduled_at, ended_at, workflow, workflow_version, queue, version
FROM attempt_fold
WHERE false
