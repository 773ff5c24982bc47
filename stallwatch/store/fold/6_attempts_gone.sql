-- Attempts that the fold had and no longer sees (a late event numbered them anew).
INSERT INTO attempt_fold (execution_key, run_id, step, branch, step_run_id, attempt, version, is_deleted)
SELECT execution_key, run_id, step, branch, step_run_id, attempt, seen.version, 1
FROM attempt_fold AS old FINAL
INNER JOIN (SELECT execution_key, max(version) AS version FROM fold_execution GROUP BY execution_key) AS seen ON old.execution_key = seen.execution_key
WHERE old.execution_key IN (SELECT execution_key FROM fold_touched)
    AND (execution_key, run_id, step, branch, step_run_id, attempt) NOT IN (SELECT execution_key, run_id, step, branch, step_run_id, attempt FROM fold_attempt)
