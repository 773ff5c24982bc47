-- Executions that completed lately although a step of theirs failed for good: no later run of it, in the same branch, completed.
-- `since_then`: the steps that began in the execution afterwards, and whether they undo another.
WITH candidates AS
(
    -- Before rows are deduplicated.
    SELECT execution_key
    FROM recent_attempt
    WHERE folded >= {folded_from:UInt64} AND status IN ('failed', 'timed_out') AND is_last_attempt AND closed_by = 'event'
        AND execution_key IN (SELECT execution_key FROM recent_execution WHERE folded >= {folded_from:UInt64} AND status = 'completed')
)
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.workflow_version AS workflow_version, x.execution_id AS execution_id,
    f.step AS step, f.failed_at AS failed_at, f.error_type AS error_type, f.error_message AS error_message, f.attempt AS attempt, f.max_attempts AS max_attempts,
    x.ended_at AS ended_at, x.received_at AS received_at, f.queue AS queue, f.worker AS worker, f.downstream AS downstream, f.region AS region,
    arrayMap(one -> (one.2, one.3), arrayFilter(one -> one.1 >= f.failed_at, f.begun)) AS since_then
FROM
(
    SELECT
        execution_key, run_id, step, last.2 AS failed_at, last.3 AS error_type, last.4 AS error_message,
        last.5 AS queue, last.6 AS worker, last.7 AS downstream, last.8 AS region, last.9 AS attempt, max_attempts, begun
    FROM
    (
        SELECT
            execution_key, run_id, step, branch, max(a.max_attempts) AS max_attempts,
            groupArray((begun_at, toString(step), compensates != '')) AS its_begun,
            argMax((toString(status), ended_at, toString(error_type), error_message, toString(queue), toString(worker), toString(downstream), toString(region), attempt), (begun_at, attempt)) AS last,
            groupArrayArray(its_begun) OVER (PARTITION BY execution_key, run_id) AS begun
        FROM
        (
            SELECT *, ifNull(ifNull(scheduled_at, started_at), ifNull(waiting_at, ended_at)) AS begun_at
            FROM attempts_since(folded_from = {folded_from:UInt64})
            WHERE execution_key IN
                (
                    SELECT execution_key
                    FROM attempts_since(folded_from = {folded_from:UInt64})
                    WHERE execution_key IN (SELECT execution_key FROM candidates)
                        AND status IN ('failed', 'timed_out') AND is_last_attempt AND closed_by = 'event' AND NOT historical
                )
        ) AS a
        GROUP BY execution_key, run_id, step, branch
    )
    WHERE last.1 IN ('failed', 'timed_out')
) AS f
INNER JOIN
(
    SELECT execution_key, run_id, namespace, engine, workflow, workflow_version, execution_id, assumeNotNull(e.ended_at) AS ended_at, assumeNotNull(ended_received_at) AS received_at
    FROM executions_since(folded_from = {folded_from:UInt64}) AS e
    WHERE execution_key IN (SELECT execution_key FROM candidates) AND status = 'completed' AND NOT historical AND workflow != ''
        AND e.ended_at >= {epoch:DateTime64(6, 'UTC')} AND ended_received_at > {from:DateTime64(6, 'UTC')} AND ended_received_at <= {until:DateTime64(6, 'UTC')}
) AS x ON x.execution_key = f.execution_key AND x.run_id = f.run_id
ORDER BY ended_at, execution_id
LIMIT 10000
