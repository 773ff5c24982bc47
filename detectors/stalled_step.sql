-- Open attempts of running executions that may be old enough to be late. Waits are not judged. A start that spans
-- cannot show (they come when the step is over) counts from its scheduling.
SELECT
    a.namespace AS namespace, a.engine AS engine, a.workflow AS workflow, a.workflow_version AS workflow_version,
    a.execution_id AS execution_id, a.step AS step, a.attempt AS attempt, a.status AS status, a.sender AS sender,
    a.queue AS queue, a.worker AS worker, a.downstream AS downstream, a.region AS region,
    ifNull(a.started_at, a.scheduled_at) AS begun_at,
    a.scheduled_at AS scheduled_at, a.last_heartbeat_at AS last_heartbeat_at, a.retrying_at AS retrying_at, a.waited_s AS waited_s, x.suspended_s AS suspended_s,
    a.timeout_s AS timeout_s, a.heartbeat_timeout_s AS heartbeat_timeout_s, a.schedule_to_close_timeout_s AS schedule_to_close_timeout_s,
    a.backoff_s AS backoff_s, a.backoff_rate AS backoff_rate, a.backoff_max_s AS backoff_max_s,
    c.child_started_at AS child_started_at
FROM attempt_fold AS a FINAL
INNER JOIN (SELECT execution_key, run_id, suspended_s FROM execution_fold FINAL WHERE status = 'running') AS x ON x.execution_key = a.execution_key AND x.run_id = a.run_id
LEFT JOIN
(
    SELECT namespace, parent_execution_id, toNullable(max(started_at)) AS child_started_at
    FROM execution_fold FINAL
    WHERE status IN ('running', 'suspended') AND parent_execution_id != ''
    GROUP BY namespace, parent_execution_id
) AS c ON c.namespace = a.namespace AND c.parent_execution_id = a.execution_id
WHERE (a.status IN ('running', 'backing_off') OR (a.status = 'scheduled' AND a.road = 'span'))
    AND a.is_last_attempt
    AND NOT a.historical
    AND a.workflow != ''
    AND ifNull(a.started_at, a.scheduled_at) < {until:DateTime64(6, 'UTC')} - toIntervalMillisecond({youngest_ms:UInt64})
ORDER BY begun_at, execution_id
