-- The attempts of the touched keys as the last fold left them.
INSERT INTO fold_before
SELECT execution_key, run_id, step, branch, step_run_id, attempt, status, started_at, scheduled_at, ended_at, workflow, workflow_version, queue, version
FROM attempt_fold FINAL
WHERE folded > {floor:UInt64}
    AND execution_key IN (SELECT execution_key FROM fold_touched WHERE is_known AND is_young = {young:UInt8})
-- What was folded before {floor} is older than what is young.
SETTINGS use_skip_indexes_if_final = 1, use_skip_indexes_if_final_exact_mode = 0
