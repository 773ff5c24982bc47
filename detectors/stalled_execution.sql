-- Running executions in which nothing is open and nothing has happened for a while. An open child execution is something;
-- so is a failed attempt that may be tried again: `retry_due_at` is when its declared pause ends.
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.workflow_version AS workflow_version,
    x.execution_id AS execution_id, x.last_step AS step, x.last_progress_at AS last_progress_at, x.sender AS sender,
    r.retry_due_at AS retry_due_at
FROM execution_fold AS x FINAL
LEFT JOIN
(
    -- What a step declares, not each road says of each attempt.
    SELECT
        execution_key, run_id,
        toNullable(max(ended_at + toIntervalMillisecond(toUInt64(1000 * least(ifNull(pause_max_s, 1e9), pause_s * pow(ifNull(rate, 1), least(attempt - 1, 64)), 1e9))))) AS retry_due_at
    FROM
    (
        SELECT
            execution_key, run_id, attempt, ended_at, is_last_attempt,
            max(backoff_s) OVER call AS pause_s, max(backoff_rate) OVER call AS rate, max(backoff_max_s) OVER call AS pause_max_s, max(max_attempts) OVER call AS most
        FROM attempt_fold FINAL
        WHERE status IN ('failed', 'timed_out')
            AND (execution_key, run_id) IN (SELECT execution_key, run_id FROM execution_fold FINAL WHERE status = 'running' AND open_steps = 0)
        WINDOW call AS (PARTITION BY execution_key, run_id, step, branch, step_run_id)
    )
    WHERE is_last_attempt AND pause_s > 0 AND (ifNull(most, 0) = 0 OR attempt < most)
    GROUP BY execution_key, run_id
) AS r ON r.execution_key = x.execution_key AND r.run_id = x.run_id
WHERE x.status = 'running'
    AND x.open_steps = 0
    AND NOT x.historical
    AND x.workflow != ''
    AND x.last_progress_at < {until:DateTime64(6, 'UTC')} - toIntervalSecond({idle_s:UInt32})
    AND (x.namespace, x.execution_id) NOT IN (SELECT namespace, parent_execution_id FROM execution_fold FINAL WHERE status IN ('running', 'suspended') AND parent_execution_id != '')
ORDER BY last_progress_at, execution_id
