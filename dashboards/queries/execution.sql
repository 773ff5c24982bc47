SELECT
    namespace, engine, workflow, workflow_version, execution_id, run_id, parent_execution_id, status, started_at, ended_at,
    duration_s, waited_s, last_progress_at, open_steps, attempts, error_type, error_message, trace_id, timeout_s
FROM executions
WHERE execution_id = {execution_id:String}
    AND ({run:String} = '' OR run_id = {run:String})
    AND ({namespace:String} = '' OR namespace = {namespace:String})
    AND ({engine:String} = '' OR engine = {engine:String})
ORDER BY started_at DESC
LIMIT 100
