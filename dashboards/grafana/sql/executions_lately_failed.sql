SELECT ended_at, workflow, execution_id, status, duration_s, attempts, error_type, error_message, namespace, engine
FROM executions
WHERE status IN ('failed', 'timed_out', 'terminated') AND $__timeFilter(ended_at) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow)
ORDER BY ended_at DESC
LIMIT 50
