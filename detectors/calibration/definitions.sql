-- How long definitions allow a workflow (empty step) and its steps to take, and how often to try.
SELECT
    namespace, engine, workflow, workflow_version, step, source, declared_at,
    timeout_s, schedule_to_close_timeout_s, max_attempts, backoff_s, backoff_rate, backoff_max_s
FROM declarations
WHERE timeout_s > 0 OR schedule_to_close_timeout_s > 0 OR max_attempts IS NOT NULL
ORDER BY declared_at
