-- Running executions with the time that they spent waiting or suspended so far, the wait that is still on included.
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.workflow_version AS workflow_version,
    x.execution_id AS execution_id, x.started_at AS started_at, x.last_step AS last_step, x.last_progress_at AS last_progress_at,
    x.open_steps AS open_steps, x.timeout_s AS timeout_s, x.sender AS sender,
    x.waited_s + if(w.waiting_since IS NULL, 0, dateDiff('microsecond', assumeNotNull(w.waiting_since), {until:DateTime64(6, 'UTC')}) / 1e6) AS waited_s
FROM execution_fold AS x FINAL
LEFT JOIN
(
    SELECT execution_key, run_id, toNullable(min(waiting_at)) AS waiting_since
    FROM attempt_fold FINAL
    WHERE status = 'waiting'
    GROUP BY execution_key, run_id
) AS w ON w.execution_key = x.execution_key AND w.run_id = x.run_id
WHERE x.status = 'running'
    AND NOT x.historical
    AND x.workflow != ''
    AND x.started_at < {until:DateTime64(6, 'UTC')} - toIntervalSecond(1)
ORDER BY started_at, execution_id
