SELECT
    workflow, step, execution_id, attempt, status, dateDiff('second', coalesce(started_at, scheduled_at, waiting_at, ended_at, $__toTime), $__toTime) AS age_s,
    timeout_s, last_heartbeat_at, waiting_on, due, queue, worker, downstream, namespace, engine
FROM attempts
WHERE status IN ('scheduled', 'running', 'waiting', 'backing_off') AND is_last_attempt AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
ORDER BY age_s DESC
LIMIT 100
