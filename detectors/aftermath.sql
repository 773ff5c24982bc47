-- Of some executions, how long the longest attempt of each step took that completed lately.
SELECT
    namespace, engine, workflow, step, execution_id,
    max(greatest(0, dateDiff('microsecond', ifNull(started_at, scheduled_at), ended_at) / 1e6 - waited_s)) AS longest_s,
    max(ended_received_at) AS last_received_at
FROM attempt_fold FINAL
WHERE execution_key IN
    (
        SELECT arrayJoin(arrayMap(
            (namespace, engine, execution_id) -> sipHash64(namespace, engine, execution_id),
            {namespaces:Array(String)}, {engines:Array(String)}, {executions:Array(String)}))
    )
    AND step IN {steps:Array(String)}
    AND status = 'completed'
    AND closed_by = 'event'
    AND NOT historical
    AND ifNull(started_at, scheduled_at) IS NOT NULL
    AND ended_received_at >= {from:DateTime64(6, 'UTC')}
    AND ended_received_at <= {until:DateTime64(6, 'UTC')}
GROUP BY namespace, engine, workflow, step, execution_id
