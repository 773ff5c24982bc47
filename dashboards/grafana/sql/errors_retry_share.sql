WITH
    multiIf(
        dateDiff('second', $__fromTime, $__toTime) <= 21600 AND dateDiff('second', $__fromTime, now()) <= 172800, 60,
        dateDiff('second', $__fromTime, $__toTime) <= 1209600 AND dateDiff('second', $__fromTime, now()) <= 3024000, 3600,
        86400) AS width_s
SELECT
    greatest(toDateTime(window_start), $__fromTime) AS time,
    concat(
        if(uniqExact(namespace) OVER () > 1, concat(namespace, ' / '), ''),
        if(uniqExact(engine) OVER () > 1, concat(engine, ' / '), ''),
        workflow, ' / ', step) AS name,
    retried / greatest(1, completed + failed + timed_out) AS retry_share
FROM step_latency
WHERE window_s = width_s AND window_start >= toStartOfInterval($__fromTime, toIntervalSecond(width_s)) AND window_start <= $__toTime
    AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow) AND $__conditionalAll(step IN (${step:singlequote}), $step)
ORDER BY time
