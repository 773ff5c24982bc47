SELECT
    toDateTime(window_start) AS time, concat(workflow, ' / ', step) AS name,
    retried / greatest(1, completed + failed + timed_out) AS retry_share
FROM step_latency
WHERE window_s = multiIf(dateDiff('second', $__fromTime, $__toTime) <= 21600, 60, dateDiff('second', $__fromTime, $__toTime) <= 1209600, 3600, 86400)
    AND $__timeFilter(window_start) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
ORDER BY time
