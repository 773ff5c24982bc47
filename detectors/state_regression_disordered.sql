-- The executions whose numbered events did not arrive in the order of their numbers.
SELECT execution_key
FROM step_event_log
WHERE batch >= {folded_from:UInt64} AND sequence >= 0 AND NOT is_replay AND NOT historical
GROUP BY execution_key, run_id
HAVING arrayMap(e -> e.2, arraySort(groupArray((received_at, sequence)))) != arraySort(groupArray(sequence))
