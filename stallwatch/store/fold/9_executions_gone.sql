-- Runs that the fold had and no longer sees (their events belong to another run after all, or their trace is an engine's).
INSERT INTO execution_fold (execution_key, run_id, version, is_deleted, folded)
SELECT execution_key, run_id, greatest(old.version, seen.version), 1, {mark:UInt64}
FROM execution_fold AS old FINAL
LEFT JOIN (SELECT execution_key, max(version) AS version FROM fold_execution GROUP BY execution_key) AS seen ON old.execution_key = seen.execution_key
WHERE old.execution_key IN (SELECT execution_key FROM fold_touched WHERE is_known)
    -- A fold that saw fewer events (retention took some) must not take away what the fuller one left.
    AND (seen.version > 0 OR old.execution_key NOT IN (SELECT execution_key FROM fold_event))
    AND (execution_key, run_id) NOT IN (SELECT execution_key, run_id FROM fold_execution)
