-- Running executions in which nothing is open and nothing has happened for a while. An open child execution is something;
-- so is a failed attempt that may be tried again: `retry_due_at` is when its declared pause ends. Only those come that have been idle
-- for longer than is known of the gap behind their last step; where they are many the oldest; `suspects` is how many these are there.
--
-- Behind them (`attempt` is not 0) those whose workflow task, in which Temporal has a workflow's own code run, failed and is tried again.
-- One that is scheduled for long is left out: nobody takes it. Last (`suspects` is 0) all attempts of some of these: they say how it failed.
SELECT *
FROM
(
    SELECT
        namespace, engine, workflow, workflow_version, execution_id, last_step AS step, last_progress_at, sender, retry_due_at,
        toUInt32(0) AS attempt, '' AS state, '' AS queue, '' AS its_error, '' AS its_message, '' AS call,
        count() OVER (PARTITION BY namespace, engine, workflow, step) AS suspects,
        row_number() OVER (PARTITION BY namespace, engine, workflow, step ORDER BY last_progress_at, execution_id) AS nth
    FROM open_execution FINAL
    WHERE status = 'running'
        AND open_steps = 0
        AND NOT historical
        AND workflow != ''
        AND last_progress_at < {until:DateTime64(6, 'UTC')} - toIntervalSecond({idle_s:UInt32})
        AND dateDiff('microsecond', greatest(last_progress_at, ifNull(retry_due_at, last_progress_at)), {until:DateTime64(6, 'UTC')}) / 1e6
            > transform(
                cityHash64(namespace, engine, workflow, last_step),
                arrayMap(p -> cityHash64(p.1, p.2, p.3, p.4), {places:Array(Tuple(String, String, String, String))}), {limits_s:Array(Float64)}, 1e15)
        AND (namespace, execution_id) NOT IN (SELECT namespace, parent_execution_id FROM open_execution FINAL WHERE parent_execution_id != '')
    QUALIFY nth <= {rows_per_place:UInt32}
    ORDER BY nth
    LIMIT {rows_max:UInt32}
)
UNION ALL
SELECT
    namespace, engine, workflow, workflow_version, execution_id, step, assumeNotNull(ifNull(scheduled_at, started_at)) AS begun_at, sender, NULL,
    attempt, status, queue, error_type, error_message, concat(run_id, '/', step_run_id),
    count() OVER (PARTITION BY namespace, workflow),
    row_number() OVER (PARTITION BY namespace, workflow ORDER BY attempt DESC, begun_at, execution_id) AS nth
FROM open_attempt FINAL
WHERE engine = 'temporal' AND step = 'workflow task' AND execution_status = 'running' AND NOT historical AND workflow != ''
    AND is_last_attempt AND (attempt > 1 OR status = 'backing_off')
    AND (status != 'scheduled' OR scheduled_at > {until:DateTime64(6, 'UTC')} - toIntervalSecond({idle_s:UInt32}))
QUALIFY nth <= {rows_per_place:UInt32}
UNION ALL
SELECT
    namespace, engine, workflow, workflow_version, execution_id, step, assumeNotNull(ifNull(scheduled_at, started_at)), sender, NULL,
    attempt, status, queue, error_type, error_message, concat(run_id, '/', step_run_id), 0, 0
FROM attempt_fold FINAL
WHERE step = 'workflow task' AND execution_key IN
(
    SELECT execution_key
    FROM open_attempt FINAL
    WHERE engine = 'temporal' AND step = 'workflow task' AND execution_status = 'running' AND NOT historical AND workflow != '' AND is_last_attempt
    ORDER BY attempt DESC
    LIMIT {looked_up:UInt32}
)
