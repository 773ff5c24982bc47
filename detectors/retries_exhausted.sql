-- Attempts that failed as the last of their step run, the news of it received in the window, where somebody declares how often it is tried.
-- What this attempt does not declare, an earlier one of the same step run may; what none does is asked of the step's
-- definition afterwards: those of `declared_steps` come all.
-- A fold writes all attempts of an execution, so all of these are recent.
-- `repaired_at`: the same step of the same execution completed later after all (a redrive, another call).
SELECT
    namespace, engine, workflow, workflow_version, execution_id, step, attempt, allowed AS max_attempts,
    ended_at, ended_received_at AS received_at, error_type, error_message, queue, worker, downstream, region, repaired_at
FROM
(
    SELECT
        *,
        max(max_attempts) OVER (PARTITION BY execution_key, run_id, step, branch, step_run_id) AS allowed,
        maxIf(ended_at, status = 'completed') OVER (PARTITION BY execution_key, run_id, step, branch) AS repaired_at
    FROM attempts_since(folded_from = 0)
    WHERE execution_key IN
    (
        SELECT execution_key
        FROM recent_attempt
        WHERE folded >= {folded_from:UInt64}
            AND status IN ('failed', 'timed_out')
            AND is_last_attempt
            AND (max_attempts > 0 OR attempt > 1 OR step IN {declared_steps:Array(String)})
            AND ended_received_at > {from:DateTime64(6, 'UTC')}
            AND NOT historical
    )
)
WHERE status IN ('failed', 'timed_out')
    AND is_last_attempt
    AND closed_by = 'event'
    AND (allowed > 0 AND attempt >= allowed OR allowed IS NULL AND step IN {declared_steps:Array(String)})
    AND NOT historical
    AND workflow != ''
    AND ended_at >= {epoch:DateTime64(6, 'UTC')}
    AND received_at > {from:DateTime64(6, 'UTC')}
    AND received_at <= {until:DateTime64(6, 'UTC')}
ORDER BY ended_at, execution_id
