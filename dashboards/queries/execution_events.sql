SELECT
    namespace, engine, run_id, event, time, received_at, step, step_run_id, branch, attempt, sequence, queue, worker, downstream,
    waiting_on, due, error_type, error_message, road, event_id
FROM step_events
WHERE execution_id = {execution_id:String}
ORDER BY time, multiIf(event = 'workflow.started', 0, startsWith(event, 'workflow.'), 2, 1), sequence
LIMIT 2000
