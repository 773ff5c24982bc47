SELECT
    workflow, execution_id, status, started_at, dateDiff('second', started_at, $__toTime) AS age_s, waited_s,
    last_progress_at, open_steps, namespace, engine
FROM executions
WHERE status IN ('running', 'suspended') AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow)
ORDER BY started_at
LIMIT 50
