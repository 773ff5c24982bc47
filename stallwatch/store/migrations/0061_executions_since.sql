-- As attempts_since, of executions.
CREATE VIEW executions_since AS
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
