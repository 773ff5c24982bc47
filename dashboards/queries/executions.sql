SELECT
    namespace, engine, workflow, workflow_version, execution_id, run_id, parent_execution_id, status, started_at, ended_at,
    duration_s, waited_s, last_progress_at, open_steps, attempts, error_type, error_message, trace_id
FROM executions
WHERE ({namespace:String} = '' OR namespace = {namespace:String})
    AND ({engine:String} = '' OR engine = {engine:String})
    AND ({workflow:String} = '' OR workflow = {workflow:String})
    AND ({status:String} = '' OR status = {status:String})
    AND started_at < {until:DateTime64(6, 'UTC')}
    AND (ended_at IS NULL OR ended_at >= {since:DateTime64(6, 'UTC')})
    AND ({step:String} = '' OR (namespace, engine, execution_id, run_id) IN
        (SELECT namespace, engine, execution_id, run_id FROM attempts WHERE step = {step:String} AND {step:String} != ''))
ORDER BY started_at DESC, execution_id
LIMIT {limit:UInt32}
