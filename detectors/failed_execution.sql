-- For each workflow with failures lately: what closed by error type ('' for what went well, which is asked of young workflows only): since when
-- the type is seen, what closed since the calibration (`n`, and the first of it), and the failures of the window (`told`, of which 10,000 come).
WITH candidates AS
(
    SELECT execution_key
    FROM recent_execution
    WHERE folded >= {folded_from:UInt64}
        AND (status IN ('failed', 'timed_out') OR (namespace, engine, workflow) IN (SELECT w.1, w.2, w.3 FROM (SELECT arrayJoin({young:Array(Tuple(String, String, String))}) AS w)))
)
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow,
    x.status IN ('failed', 'timed_out') AS failed,
    if(failed, if(x.error_type = '', toString(x.status), toString(x.error_type)), '') AS error_type,
    countIf(is_new) AS n,
    min(assumeNotNull(x.ended_at)) AS first_at,
    groupArraySortedIf({closed_min:UInt8})(assumeNotNull(x.ended_at), is_new) AS first_closed,
    countIf(is_told) AS told,
    arraySort(f -> (f.1, f.2), groupArrayIf(10000)(
        (assumeNotNull(x.ended_at), x.execution_id, assumeNotNull(x.ended_received_at), x.error_message, ifNull(s.failed_step, '')), is_told)) AS failures
FROM
(
    SELECT
        *,
        ended_received_at > {calibrated_at:DateTime64(6, 'UTC')} AS is_new,
        status IN ('failed', 'timed_out') AND NOT historical AND ended_at >= {epoch:DateTime64(6, 'UTC')}
            AND ended_received_at > {from:DateTime64(6, 'UTC')} AND ended_received_at <= {until:DateTime64(6, 'UTC')} AS is_told
    FROM executions_since(folded_from = {folded_from:UInt64})
    WHERE execution_key IN (SELECT execution_key FROM candidates) AND workflow != '' AND ended_at <= {until:DateTime64(6, 'UTC')}
) AS x
LEFT JOIN
(
    SELECT execution_key, run_id, toNullable(argMax(toString(step), ended_at)) AS failed_step
    FROM attempts_since(folded_from = {folded_from:UInt64})
    WHERE status IN ('failed', 'timed_out')
        AND execution_key IN (SELECT execution_key FROM candidates)
    GROUP BY execution_key, run_id
) AS s ON s.execution_key = x.execution_key AND s.run_id = x.run_id
GROUP BY namespace, engine, workflow, failed, error_type
