WITH
    multiIf(
        dateDiff('second', $__fromTime, $__toTime) <= 21600 AND dateDiff('second', $__fromTime, now()) <= 172800, 60,
        dateDiff('second', $__fromTime, $__toTime) <= 1209600 AND dateDiff('second', $__fromTime, now()) <= 3024000, 3600,
        86400) AS width_s
SELECT
    greatest(toDateTime(window_start), $__fromTime) AS time,
    sum(l.completed) AS completed, sum(l.failed) AS failed, sum(l.timed_out) AS timed_out, sum(l.retried) AS retried
FROM step_latency AS l
WHERE window_s = width_s AND window_start >= toStartOfInterval($__fromTime, toIntervalSecond(width_s)) AND window_start <= $__toTime
    AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
GROUP BY time
ORDER BY time
