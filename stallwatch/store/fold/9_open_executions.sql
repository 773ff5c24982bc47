-- What the fold just wrote of executions that run or are suspended, or may have been.
INSERT INTO open_execution
SELECT * REPLACE (toUInt8(is_deleted OR status NOT IN ('running', 'suspended')) AS is_deleted)
FROM execution_fold
WHERE folded = {mark:UInt64}
    AND execution_key IN (SELECT execution_key FROM fold_touched)
    AND (status IN ('running', 'suspended') OR execution_key IN (SELECT execution_key FROM fold_touched WHERE is_known)
        -- On a server another process may write it as open after this, having seen less.
        OR {is_shared:UInt8})
