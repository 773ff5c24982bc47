-- As attempts_since, of executions.
SELECT *
FROM
(
    SELECT *
    FROM recent_execution
    WHERE folded >= {folded_from:UInt64}
    ORDER BY version DESC, folded DESC
    LIMIT 1 BY execution_key, run_id
)
WHERE NOT is_deleted
