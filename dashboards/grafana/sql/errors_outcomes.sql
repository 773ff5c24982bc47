SELECT
    toDateTime(window_start) AS time, sum(l.completed) AS completed, sum(l.failed) AS failed, sum(l.timed_out) AS timed_out, sum(l.retried) AS retried
FROM step_latency AS l
WHERE window_s = multiIf(dateDiff('second', $__fromTime, $__toTime) <= 21600, 60, dateDiff('second', $__fromTime, $__toTime) <= 1209600, 3600, 86400)
    AND $__timeFilter(window_start) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
GROUP BY time
ORDER BY time
