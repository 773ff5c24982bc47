SELECT toDateTime($__timeInterval(first_seen)) AS time, detector, count() AS findings
FROM findings
WHERE status != 'pending' AND $__timeFilter(first_seen) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow)
GROUP BY time, detector
ORDER BY time
