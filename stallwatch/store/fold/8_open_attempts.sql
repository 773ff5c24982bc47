-- What the fold just wrote of attempts that are open, or were: these leave a deleted row.
INSERT INTO open_attempt
SELECT * REPLACE (toUInt8(is_deleted OR status NOT IN ('scheduled', 'running', 'waiting', 'backing_off')) AS is_deleted)
FROM attempt_fold
WHERE folded = {mark:UInt64}
    AND execution_key IN (SELECT execution_key FROM fold_touched)
    AND (status IN ('scheduled', 'running', 'waiting', 'backing_off')
        OR (execution_key, run_id, step, branch, step_run_id, attempt) IN
            (SELECT execution_key, run_id, step, branch, step_run_id, attempt FROM fold_before WHERE status IN ('scheduled', 'running', 'waiting', 'backing_off')))
