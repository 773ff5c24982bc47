SELECT
    namespace, engine, workflow, workflow_version, execution_id, run_id, parent_execution_id, status, started_at, ended_at,
    duration_s, waited_s, last_progress_at, open_steps, attempts, error_type, error_message, trace_id, timeout_s
FROM executions
WHERE execution_id = {execution_id:String}
ORDER BY started_at DESC
LIMIT 1000
