-- Whether traces that batches in (after, upto] touched have to be looked at whole.
SELECT
    (
        SELECT count()
        FROM trace_root
        WHERE trace_id IN (SELECT trace_id FROM touched_trace WHERE batch > {after:UInt64} AND batch <= {upto:UInt64})
    ) AS rooted,
    (
        SELECT count()
        FROM generic_trace
        WHERE trace_id IN (SELECT trace_id FROM engine_trace WHERE batch > {after:UInt64} AND batch <= {upto:UInt64})
            OR (batch > {after:UInt64} AND batch <= {upto:UInt64} AND trace_id IN (SELECT trace_id FROM engine_trace))
    ) AS taken
