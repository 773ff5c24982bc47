SELECT
    $__timeInterval(received_at) AS time, sender, quantile(0.95)(greatest(0, dateDiff('millisecond', e.time, e.received_at) / 1000)) AS p95_lag_s
FROM step_events AS e
WHERE NOT historical AND $__timeFilter(received_at) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
GROUP BY time, sender
ORDER BY time
