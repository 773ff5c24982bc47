SELECT
    workflow, step, status, count() AS open, max(dateDiff('second', coalesce(started_at, scheduled_at, $__toTime), $__toTime)) AS oldest_s
FROM attempts
WHERE ended_at IS NULL AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
GROUP BY workflow, step, status
ORDER BY oldest_s DESC
LIMIT 100
