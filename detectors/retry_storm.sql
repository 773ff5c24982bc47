-- First attempts and retries of each step per 10 s, counted back from the end of the tick (bin 0 is the newest), for steps with any
-- retry in that time.
SELECT
    namespace, engine, workflow, step,
    intDiv(dateDiff('microsecond', started_at, {until:DateTime64(6, 'UTC')}), {bin_us:UInt64}) AS bin,
    countIf(attempt <= 1) AS firsts,
    countIf(attempt > 1) AS retries,
    groupUniqArrayIf(1000)(execution_id, attempt > 1) AS executions,
    topKIf(1)(downstream, attempt > 1) AS downstreams,
    topKIf(1)(queue, attempt > 1) AS queues,
    topKIf(1)(error_type, error_type != '') AS error_types
FROM attempt_fold FINAL
WHERE started_at >= {from:DateTime64(6, 'UTC')}
    AND started_at < {until:DateTime64(6, 'UTC')}
    AND NOT historical
    AND workflow != ''
GROUP BY namespace, engine, workflow, step, bin
HAVING firsts + retries > 0
ORDER BY namespace, engine, workflow, step, bin DESC
