-- The traces that the last spans touched and whose root says that they may be executions; which of them have spans beside those
-- that came now. Most have not, and the log of spans, where the spans of a trace lie among all others, need not be read.
CREATE OR REPLACE TEMPORARY TABLE fold_trace ENGINE = Memory AS
WITH wanted AS
    (
        SELECT trace_id FROM trace_root
        WHERE trace_id IN (SELECT trace_id FROM touched_trace WHERE batch > {after:UInt64} AND batch <= {upto:UInt64})
            AND trace_id NOT IN
                (
                    SELECT trace_id FROM engine_trace
                    WHERE trace_id IN (SELECT trace_id FROM touched_trace WHERE batch > {after:UInt64} AND batch <= {upto:UInt64})
                )
            AND (is_named OR arrayExists(
                glob -> service LIKE replaceAll(replaceAll(replaceRegexpAll(glob, '[\\\\%_]', '\\\\\\0'), '*', '%'), '?', '_'),
                {generic_services:Array(String)}))
    )
SELECT lower(hex(trace_id)) AS its_id, max(came_before) AS is_longer
FROM
(
    SELECT
        trace_id,
        (trace_id, span_id) NOT IN (SELECT toFixedString(unhex(trace_id), 16), toFixedString(unhex(span_id), 8) FROM fold_span WHERE reason = '') AS came_before
    FROM span_log
    WHERE trace_id IN (SELECT trace_id FROM wanted)
)
GROUP BY trace_id
