SELECT
    workflow, step, verdict, current_timeout_s, recommended_timeout_s, guidance_timeout_s, p50_s, p99_s, p99_low_s, p99_high_s,
    n, censored, stuck_s_saved, week, namespace, engine
FROM recommendations
WHERE $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
ORDER BY verdict = 'ok', workflow, step
LIMIT 200
