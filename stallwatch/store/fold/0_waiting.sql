-- What came in batches in (after, upto]: which conventions have spans to read, and whether traces have to be looked at whole.
SELECT
    (SELECT groupUniqArray(claimed_by) FROM claimed_span WHERE batch > {after:UInt64} AND batch <= {upto:UInt64}) AS claimed,
    (
        SELECT count()
        FROM trace_root
        WHERE trace_id IN (SELECT trace_id FROM touched_trace WHERE batch > {after:UInt64} AND batch <= {upto:UInt64})
    ) AS rooted,
    (
        SELECT count()
        FROM generic_trace
        WHERE trace_id IN (SELECT toFixedString(unhex(trace_id), 16) FROM claimed_span WHERE batch > {after:UInt64} AND batch <= {upto:UInt64} AND claimed_by != 'stallwatch')
            OR (batch > {after:UInt64} AND batch <= {upto:UInt64} AND trace_id IN (SELECT trace_id FROM engine_trace))
    ) AS taken
