-- Attempts that the fold had and no longer sees (a late event numbered them anew, or their trace turned out to be an engine's).
INSERT INTO attempt_fold (execution_key, run_id, step, branch, step_run_id, attempt, version, is_deleted, folded)
SELECT execution_key, run_id, step, branch, step_run_id, attempt, greatest(old.version, seen.version), 1, {mark:UInt64}
FROM fold_before AS old
LEFT JOIN (SELECT execution_key, max(version) AS version FROM fold_execution GROUP BY execution_key) AS seen ON old.execution_key = seen.execution_key
WHERE
    -- A fold that saw fewer events (retention took some) must not take away what the fuller one left.
    (seen.version > 0 OR old.execution_key NOT IN (SELECT execution_key FROM fold_event))
    AND (execution_key, run_id, step, branch, step_run_id, attempt) NOT IN (SELECT execution_key, run_id, step, branch, step_run_id, attempt FROM fold_attempt)
