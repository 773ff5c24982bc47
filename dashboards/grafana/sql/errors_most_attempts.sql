SELECT
    workflow, step, execution_id, max(a.attempt) AS attempts, any(max_attempts) AS allowed, argMax(status, attempt) AS last_status,
    argMax(error_type, attempt) AS last_error, namespace, engine
FROM attempts AS a
WHERE attempt > 1 AND $__timeFilter(coalesce(ended_at, started_at, scheduled_at)) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
GROUP BY namespace, engine, workflow, step, execution_id, run_id, step_run_id
ORDER BY attempts DESC
LIMIT 50
