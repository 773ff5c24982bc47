SELECT
    error_type, workflow, step, downstream, count() AS attempts, uniqExact(execution_id) AS executions, max(ended_at) AS last_at,
    argMax(error_message, ended_at) AS last_message, namespace, engine
FROM attempts
WHERE status IN ('failed', 'timed_out') AND $__timeFilter(ended_at) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
GROUP BY namespace, engine, error_type, workflow, step, downstream
ORDER BY attempts DESC
LIMIT 100
