SELECT $__timeInterval(received_at) AS time, sender, count() / $__interval_s AS events_per_s
FROM step_events
WHERE $__timeFilter(received_at) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
GROUP BY time, sender
ORDER BY time
