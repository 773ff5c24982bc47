-- Attempts that failed as the last allowed one, the news of it received in the window, with nothing behind them.
-- What an attempt does not say is asked of its step's definition afterwards: those of `declared_steps` come all.
-- `repaired_at`: the same step of the same execution completed later after all (a redrive, another call).
SELECT
    a.namespace AS namespace, a.engine AS engine, a.workflow AS workflow, a.workflow_version AS workflow_version,
    a.execution_id AS execution_id, a.step AS step, a.attempt AS attempt, a.max_attempts AS max_attempts,
    a.ended_at AS ended_at, a.ended_received_at AS received_at, a.error_type AS error_type, a.error_message AS error_message,
    a.queue AS queue, a.worker AS worker, a.downstream AS downstream, a.region AS region,
    g.completed_at AS repaired_at
FROM attempt_fold AS a FINAL
LEFT JOIN
(
    SELECT execution_key, run_id, step, branch, toNullable(max(ended_at)) AS completed_at
    FROM attempt_fold FINAL
    WHERE status = 'completed' AND ended_received_at > {from:DateTime64(6, 'UTC')}
    GROUP BY execution_key, run_id, step, branch
) AS g ON g.execution_key = a.execution_key AND g.run_id = a.run_id AND g.step = a.step AND g.branch = a.branch
WHERE a.status IN ('failed', 'timed_out')
    AND a.is_last_attempt
    AND a.closed_by = 'event'
    AND (a.max_attempts > 0 AND a.attempt >= a.max_attempts OR a.max_attempts IS NULL AND a.step IN {declared_steps:Array(String)})
    AND NOT a.historical
    AND a.workflow != ''
    AND a.ended_at >= {epoch:DateTime64(6, 'UTC')}
    AND a.ended_received_at > {from:DateTime64(6, 'UTC')}
    AND a.ended_received_at <= {until:DateTime64(6, 'UTC')}
ORDER BY ended_at, execution_id
