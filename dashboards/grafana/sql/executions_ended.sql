SELECT $__timeInterval(assumeNotNull(ended_at)) AS time, status, count() AS ended
FROM executions
WHERE ended_at IS NOT NULL AND $__timeFilter(ended_at) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow)
GROUP BY time, status
ORDER BY time
