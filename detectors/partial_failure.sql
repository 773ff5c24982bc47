-- All attempts of running executions in which a parallel branch may be in trouble: the oldest open attempts of branches, branches that
-- failed lately, and executions of workflows with branches in which nothing has happened for long.
WITH suspects AS
(
    SELECT execution_key
    FROM
    (
        SELECT execution_key
        FROM open_attempt FINAL
        WHERE branch != '' AND status IN ('running', 'backing_off', 'scheduled') AND NOT historical AND workflow != ''
            AND ifNull(started_at, scheduled_at) < {until:DateTime64(6, 'UTC')} - toIntervalMillisecond({youngest_ms:UInt64})
        ORDER BY ifNull(started_at, scheduled_at)
        LIMIT {most:UInt32}
    )
    UNION DISTINCT
    SELECT execution_key
    FROM
    (
        SELECT execution_key
        FROM attempts_since(folded_from = {folded_from:UInt64})
        WHERE branch != '' AND status IN ('failed', 'timed_out') AND is_last_attempt AND NOT historical AND workflow != ''
        ORDER BY folded DESC
        LIMIT {most:UInt32}
    )
    UNION DISTINCT
    SELECT execution_key
    FROM
    (
        SELECT execution_key
        FROM open_execution FINAL
        WHERE status = 'running' AND workflow IN {branched:Array(String)} AND NOT historical AND attempts > 1
            AND last_progress_at < {idle_from:DateTime64(6, 'UTC')}
        ORDER BY last_progress_at
        LIMIT {most:UInt32}
    )
)
SELECT
    a.namespace AS namespace, a.engine AS engine, a.workflow AS workflow, a.workflow_version AS workflow_version,
    a.execution_id AS execution_id, a.run_id AS run_id, a.step AS step, a.branch AS branch, a.step_run_id AS step_run_id, a.attempt AS attempt,
    a.status AS status, a.is_last_attempt AS is_last_attempt, a.closed_by AS closed_by, a.waiting_on AS waiting_on, a.road AS road, a.sender AS sender,
    a.queue AS queue, a.worker AS worker, a.downstream AS downstream, a.region AS region,
    assumeNotNull(ifNull(a.started_at, ifNull(a.scheduled_at, ifNull(a.waiting_at, a.ended_at)))) AS begun_at,
    a.scheduled_at AS scheduled_at, a.ended_at AS ended_at, a.last_heartbeat_at AS last_heartbeat_at, a.retrying_at AS retrying_at,
    a.waited_s AS waited_s, x.suspended_s AS suspended_s,
    a.timeout_s AS timeout_s, a.heartbeat_timeout_s AS heartbeat_timeout_s, a.schedule_to_close_timeout_s AS schedule_to_close_timeout_s,
    a.backoff_s AS backoff_s, a.backoff_rate AS backoff_rate, a.backoff_max_s AS backoff_max_s, a.max_attempts AS max_attempts,
    a.error_type AS error_type, a.error_message AS error_message, c.child_started_at AS child_started_at
FROM attempt_fold AS a FINAL
INNER JOIN
(
    SELECT execution_key, run_id, suspended_s
    FROM open_execution FINAL
    WHERE status = 'running' AND NOT historical AND workflow != '' AND execution_key IN (SELECT execution_key FROM suspects)
) AS x ON x.execution_key = a.execution_key AND x.run_id = a.run_id
LEFT JOIN
(
    SELECT namespace, parent_execution_id, toNullable(max(started_at)) AS child_started_at
    FROM open_execution FINAL
    WHERE parent_execution_id != ''
    GROUP BY namespace, parent_execution_id
) AS c ON c.namespace = a.namespace AND c.parent_execution_id = a.execution_id
WHERE a.execution_key IN (SELECT execution_key FROM suspects)
ORDER BY begun_at, execution_id
LIMIT 200000
