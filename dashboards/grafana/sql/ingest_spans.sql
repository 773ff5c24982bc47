SELECT $__timeInterval(received_at) AS time, service, count() / $__interval_s AS spans_per_s
FROM spans
WHERE $__timeFilter(received_at) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
GROUP BY time, service
ORDER BY time
