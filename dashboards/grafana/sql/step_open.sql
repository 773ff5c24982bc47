SELECT
    workflow, step, status, count() AS open,
    max(dateDiff('second', coalesce(started_at, scheduled_at, waiting_at, ended_at, $__toTime), $__toTime)) AS oldest_s, namespace, engine
FROM attempts
WHERE status IN ('scheduled', 'running', 'waiting', 'backing_off') AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
GROUP BY namespace, engine, workflow, step, status
ORDER BY oldest_s DESC
LIMIT 100
