-- How each workflow's executions have ended by now, by error type ('' for those that went well): how many, and the first of them.
SELECT
    namespace, engine, workflow,
    status IN ('failed', 'timed_out') AS failed,
    if(failed, if(error_type = '', toString(status), toString(error_type)), '') AS error_type,
    count() AS n,
    min(assumeNotNull(ended_at)) AS first_at,
    groupArraySorted({closed_min:UInt8})(assumeNotNull(ended_at)) AS first_closed
FROM execution_fold FINAL
WHERE ended_at IS NOT NULL
    AND workflow != ''
    AND ended_received_at <= {until:DateTime64(6, 'UTC')}
GROUP BY namespace, engine, workflow, failed, error_type
-- Where types are made of ids, the oldest are enough.
ORDER BY first_at
LIMIT 1000 BY namespace, engine, workflow
