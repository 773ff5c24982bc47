-- Runs that the fold had and no longer sees (their events turned out to belong to another run).
INSERT INTO execution_fold (execution_key, run_id, version, is_deleted)
SELECT execution_key, run_id, seen.version, 1
FROM execution_fold AS old FINAL
INNER JOIN (SELECT execution_key, max(version) AS version FROM fold_execution GROUP BY execution_key) AS seen ON old.execution_key = seen.execution_key
WHERE old.execution_key IN (SELECT execution_key FROM fold_touched)
    AND (execution_key, run_id) NOT IN (SELECT execution_key, run_id FROM fold_execution)
