SELECT $__timeInterval(started_at) AS time, workflow, count() AS started
FROM executions
WHERE $__timeFilter(started_at) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow)
GROUP BY time, workflow
ORDER BY time
