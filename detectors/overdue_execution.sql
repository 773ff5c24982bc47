-- Running executions with the time that they spent waiting or suspended so far, the wait that is still on included, and in the
-- pauses that they declare between a failed attempt and the next.
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.workflow_version AS workflow_version,
    x.execution_id AS execution_id, x.started_at AS started_at, x.last_step AS last_step, x.last_progress_at AS last_progress_at,
    x.open_steps AS open_steps, x.timeout_s AS timeout_s, x.sender AS sender, x.parent_execution_id AS parent_execution_id,
    x.waited_s + if(w.waiting_since IS NULL, 0, dateDiff('microsecond', assumeNotNull(w.waiting_since), {until:DateTime64(6, 'UTC')}) / 1e6) + ifNull(w.paused_s, 0) AS waited_s
FROM execution_fold AS x FINAL
LEFT JOIN
(
    -- What a step declares, not each road says of each attempt.
    SELECT
        execution_key, run_id,
        minOrNullIf(waiting_at, status = 'waiting') AS waiting_since,
        toNullable(sumIf(
            least(
                dateDiff('microsecond', ifNull(ended_at, retrying_at), {until:DateTime64(6, 'UTC')}) / 1e6,
                pause_s * pow(ifNull(rate, 1), least(attempt - 1, 64)),
                ifNull(pause_max_s, 1e9)),
            status IN ('failed', 'timed_out', 'backing_off') AND pause_s > 0 AND (ifNull(most, 0) = 0 OR attempt < most))) AS paused_s
    FROM
    (
        SELECT
            execution_key, run_id, status, attempt, waiting_at, ended_at, retrying_at,
            max(backoff_s) OVER call AS pause_s, max(backoff_rate) OVER call AS rate, max(backoff_max_s) OVER call AS pause_max_s, max(max_attempts) OVER call AS most
        FROM attempt_fold FINAL
        WHERE status IN ('waiting', 'failed', 'timed_out', 'backing_off')
            AND (execution_key, run_id) IN (SELECT execution_key, run_id FROM execution_fold FINAL WHERE status = 'running')
        WINDOW call AS (PARTITION BY execution_key, run_id, step, branch, step_run_id)
    )
    GROUP BY execution_key, run_id
) AS w ON w.execution_key = x.execution_key AND w.run_id = x.run_id
WHERE x.status = 'running'
    AND NOT x.historical
    AND x.workflow != ''
    AND x.started_at < {until:DateTime64(6, 'UTC')} - toIntervalSecond(1)
ORDER BY started_at, execution_id
