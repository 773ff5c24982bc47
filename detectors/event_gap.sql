-- The sequence numbers of executions that lack some, with the time each was received. Only executions heard of lately enough for
-- a gap of theirs to be told still; where they are many, those that were heard of last, and `suspects` is how many they are.
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.execution_id AS execution_id, x.run_id AS run_id,
    x.sequence_max AS sequence_max, x.sequences AS sequences, any(x.suspects) AS suspects,
    arraySort(groupArray((e.sequence, e.received_at, e.time, if(e.step = '', toString(e.event), concat(toString(e.event), ' ', toString(e.step)))))) AS seen
FROM
(
    SELECT *, count() OVER (PARTITION BY namespace, engine, workflow) AS suspects
    FROM executions_since(folded_from = {folded_from:UInt64})
    WHERE sequence_max >= 0
        AND sequences <= toUInt64(sequence_max)
        AND NOT historical
        AND workflow != ''
        AND last_received_at > {from:DateTime64(6, 'UTC')}
    ORDER BY last_received_at DESC
    LIMIT {rows_max:UInt32}
) AS x
INNER JOIN
(
    SELECT execution_key, run_id, sequence, received_at, time, event, step
    FROM step_event_log FINAL
    WHERE sequence >= 0 AND NOT is_replay AND received_at <= {until:DateTime64(6, 'UTC')}
        AND execution_key IN
        (
            SELECT execution_key
            FROM executions_since(folded_from = {folded_from:UInt64})
            WHERE sequence_max >= 0 AND sequences <= toUInt64(sequence_max) AND NOT historical AND workflow != ''
                AND last_received_at > {from:DateTime64(6, 'UTC')}
            ORDER BY last_received_at DESC
            LIMIT {rows_max:UInt32}
        )
) AS e ON e.execution_key = x.execution_key
WHERE e.run_id = x.run_id OR e.run_id = ''
GROUP BY namespace, engine, workflow, execution_id, run_id, sequence_max, sequences
ORDER BY execution_id, run_id
