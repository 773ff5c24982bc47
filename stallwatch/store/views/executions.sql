CREATE VIEW executions AS
SELECT
    namespace, engine, workflow, workflow_version, execution_id, run_id, parent_execution_id, status, started_at, ended_at,
    if(ended_at IS NULL, NULL, greatest(0, dateDiff('microsecond', started_at, ended_at) / 1e6)) AS duration_s,
    waited_s, last_progress_at, open_steps, attempts, error_type, error_message, trace_id, timeout_s, road, historical,
    execution_key
FROM execution_fold FINAL
