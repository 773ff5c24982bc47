SELECT
    $__timeInterval(assumeNotNull(started_at)) AS time,
    concat(
        if(uniqExact(namespace) OVER () > 1, concat(namespace, ' / '), ''),
        if(uniqExact(engine) OVER () > 1, concat(engine, ' / '), ''),
        if(queue = '', 'no queue', queue)) AS name,
    quantile(0.95)(queue_s) AS p95_queue_s
FROM attempts
WHERE started_at IS NOT NULL AND queue_s IS NOT NULL AND $__timeFilter(started_at) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
GROUP BY time, namespace, engine, queue
ORDER BY time
