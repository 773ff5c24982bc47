-- A trace that was taken for a plain one holds an engine's span, which came later or had come before what was told of its start:
-- its generic events are taken back, by writing each again as a replay (which the fold leaves out), received just before, so that
-- it is the one that stays.
INSERT INTO step_event_log
WITH mistaken AS
    (
        SELECT trace_id, execution_key FROM generic_trace
        WHERE trace_id IN (SELECT trace_id FROM engine_trace WHERE batch > {after:UInt64} AND batch <= {upto:UInt64})
            OR (batch > {after:UInt64} AND batch <= {upto:UInt64} AND trace_id IN (SELECT trace_id FROM engine_trace))
    )
SELECT e.* REPLACE (true AS is_replay, e.received_at - INTERVAL 1 MICROSECOND AS received_at, {upto:UInt64} AS batch)
FROM step_event_log AS e FINAL
WHERE e.execution_key IN (SELECT execution_key FROM mistaken)
    AND toFixedString(unhex(e.trace_id), 16) IN (SELECT trace_id FROM mistaken)
    AND startsWith(e.event_id, 'generic:')
    AND NOT e.is_replay
