SELECT $__timeInterval(assumeNotNull(ended_at)) AS time, workflow, quantile(0.5)(duration_s) AS p50_s, quantile(0.95)(duration_s) AS p95_s
FROM executions
WHERE status = 'completed' AND $__timeFilter(ended_at) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow)
GROUP BY time, workflow
ORDER BY time
