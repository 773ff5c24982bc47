-- The attempts that were folded since a time (µs), as they are now. FINAL would merge these rows in the order of the key,
-- which for an hour of a busy store costs ten times as much. What was folded last has the highest version, so a row that
-- is older than the limit hides none that is not.
SELECT *
FROM
(
    SELECT *
    FROM recent_attempt
    WHERE folded >= {folded_from:UInt64}
    ORDER BY version DESC, folded DESC
    LIMIT 1 BY execution_key, run_id, step, branch, step_run_id, attempt
)
WHERE NOT is_deleted
