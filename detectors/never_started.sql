-- Attempts of running executions that were scheduled and have not been started for longer than their step's limit (`steps`: namespace,
-- engine, workflow and name) or than they declare, the oldest first. Spans cannot show a start before the step is over: what is known
-- from them alone is judged as a step that is open. `is_own_code`: Temporal's workflow task, in which the execution's own code runs; it is
-- told only when nobody takes it, so its past says nothing.
WITH unstarted AS
(
    -- Before rows are deduplicated, from few columns: hardly anything of what is open has not been started yet.
    SELECT execution_key FROM open_attempt WHERE status = 'scheduled' AND road != 'span' AND scheduled_at < {until:DateTime64(6, 'UTC')}
)
SELECT
    a.namespace AS namespace, a.engine AS engine, a.workflow AS workflow, a.workflow_version AS workflow_version,
    a.execution_id AS execution_id, a.step AS step, a.sender AS sender, a.road AS road,
    a.queue AS queue, a.worker AS worker, a.downstream AS downstream, a.region AS region,
    assumeNotNull(a.scheduled_at) AS scheduled_at, x.suspended_s AS suspended_s,
    a.schedule_to_start_timeout_s AS schedule_to_start_timeout_s,
    a.engine = 'temporal' AND a.step = 'workflow task' AS is_own_code, x.last_step AS last_step, a.attempt AS attempt
FROM open_attempt AS a FINAL
INNER JOIN
(
    SELECT execution_key, run_id, suspended_s, last_step
    FROM open_execution FINAL
    WHERE status = 'running' AND execution_key IN (SELECT execution_key FROM unstarted)
) AS x ON x.execution_key = a.execution_key AND x.run_id = a.run_id
WHERE a.execution_key IN (SELECT execution_key FROM unstarted)
    AND a.status = 'scheduled'
    AND a.road != 'span'
    AND a.is_last_attempt
    AND NOT a.historical
    AND a.workflow != ''
    AND dateDiff('millisecond', a.scheduled_at, {until:DateTime64(6, 'UTC')}) > 1000 * least(
        if(is_own_code, 0, inf),
        transform(concat(a.namespace, '\n', a.engine, '\n', a.workflow, '\n', a.step), {steps:Array(String)}, {limits_s:Array(Float64)}, inf),
        ifNull(nullIf(a.schedule_to_start_timeout_s, 0), inf))
ORDER BY scheduled_at, execution_id
LIMIT {most:UInt64} BY namespace, engine, workflow, step
