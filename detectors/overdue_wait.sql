-- Waits of running executions that may be over their time, the longest first: a timer that is due, what a policy limits
-- (`limited_s`: the shortest such limit), and steps that a policy calls a wait although nothing labels them one.
SELECT
    a.namespace AS namespace, a.engine AS engine, a.workflow AS workflow, a.workflow_version AS workflow_version,
    a.execution_id AS execution_id, a.step AS step, a.sender AS sender, a.status AS status,
    a.queue AS queue, a.worker AS worker, a.downstream AS downstream, a.region AS region,
    a.waiting_on AS waiting_on, a.due AS due, a.execution_suspended_s AS suspended_s,
    assumeNotNull(if(a.status = 'waiting', a.waiting_at, ifNull(a.started_at, a.scheduled_at))) AS waiting_since
FROM open_attempt AS a FINAL
WHERE (a.status = 'waiting' OR ({unlabelled:Bool} AND a.status IN ('running', 'scheduled')))
    AND a.execution_status = 'running'
    AND a.is_last_attempt
    AND NOT a.historical
    AND a.workflow != ''
    AND (a.due < {until:DateTime64(6, 'UTC')} OR waiting_since < {until:DateTime64(6, 'UTC')} - toIntervalMillisecond({limited_ms:UInt64}))
ORDER BY waiting_since, execution_id
LIMIT {most:UInt64} BY namespace, engine, workflow, step
