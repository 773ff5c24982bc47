SELECT toDateTime(window_start) AS time, concat(workflow, ' / ', step) AS name, p99_s
FROM step_latency
WHERE window_s = multiIf(dateDiff('second', $__fromTime, $__toTime) <= 21600, 60, dateDiff('second', $__fromTime, $__toTime) <= 1209600, 3600, 86400)
    AND $__timeFilter(window_start) AND p99_s IS NOT NULL AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
ORDER BY time
