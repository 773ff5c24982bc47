-- For each workflow with failures in the window: its closed executions by error type ('' for those that went well): since when
-- the type is known, the first closures of all, and the failures of the window.
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow,
    x.status IN ('failed', 'timed_out') AS failed,
    if(failed, if(x.error_type = '', toString(x.status), toString(x.error_type)), '') AS error_type,
    count() AS n,
    min(assumeNotNull(x.ended_at)) AS first_at,
    groupArraySorted({closed_min:UInt8})(assumeNotNull(x.ended_at)) AS first_closed,
    arraySort(f -> (f.1, f.2), groupArrayIf(100000)(
        (assumeNotNull(x.ended_at), x.execution_id, assumeNotNull(x.ended_received_at), x.error_message, ifNull(s.failed_step, '')),
        x.status IN ('failed', 'timed_out') AND NOT x.historical AND x.ended_at >= {epoch:DateTime64(6, 'UTC')}
            AND x.ended_received_at > {from:DateTime64(6, 'UTC')} AND x.ended_received_at <= {until:DateTime64(6, 'UTC')})) AS failures
FROM execution_fold AS x FINAL
LEFT JOIN
(
    SELECT execution_key, run_id, toNullable(argMax(toString(step), ended_at)) AS failed_step
    FROM attempt_fold FINAL
    WHERE status IN ('failed', 'timed_out') AND ended_received_at > {from:DateTime64(6, 'UTC')} - toIntervalDay(1)
    GROUP BY execution_key, run_id
) AS s ON s.execution_key = x.execution_key AND s.run_id = x.run_id
WHERE x.ended_at IS NOT NULL
    AND x.ended_at <= {until:DateTime64(6, 'UTC')}
    AND (x.namespace, x.engine, x.workflow) IN
    (
        SELECT namespace, engine, workflow FROM execution_fold FINAL
        WHERE status IN ('failed', 'timed_out') AND NOT historical AND workflow != '' AND ended_at >= {epoch:DateTime64(6, 'UTC')}
            AND ended_received_at > {from:DateTime64(6, 'UTC')} AND ended_received_at <= {until:DateTime64(6, 'UTC')}
    )
GROUP BY namespace, engine, workflow, failed, error_type
