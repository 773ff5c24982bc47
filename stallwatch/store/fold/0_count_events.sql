-- About how many events the executions have that batches in (after, upto] touched: what came now, and what was folded before (an
-- execution's version counts it).
SELECT
    (SELECT count() FROM step_event_log WHERE batch > {after:UInt64} AND batch <= {upto:UInt64})
    + (SELECT sum(events) FROM
        (
            SELECT max(version) AS events
            FROM execution_fold
            WHERE execution_key IN (SELECT execution_key FROM touched_execution WHERE batch > {after:UInt64} AND batch <= {upto:UInt64})
            GROUP BY execution_key
        )) AS n
