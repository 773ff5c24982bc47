-- The executions in which a step of a branch ran more than once, before rows are deduplicated.
SELECT execution_key
FROM recent_attempt
WHERE folded >= {folded_from:UInt64}
GROUP BY execution_key, cityHash64(run_id, branch, step)
HAVING min(cityHash64(step_run_id)) != max(cityHash64(step_run_id))
