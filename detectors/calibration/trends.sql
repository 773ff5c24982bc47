-- Attempts that ended and those of them that failed, per hour (counted back from now, 0 the newest), of each step with failures.
SELECT
    namespace, engine, workflow, step,
    groupArray(hour) AS hours,
    groupArray(n) AS attempts,
    groupArray(e) AS errors
FROM
(
    SELECT
        namespace, engine, workflow, step,
        toUInt32(intDiv(dateDiff('second', window_start, {until:DateTime('UTC')}), 3600)) AS hour,
        sum(completed + failed + timed_out) AS n,
        sum(failed) AS e
    FROM step_histogram FINAL
    WHERE window_s = 3600
        AND window_start > {from:DateTime('UTC')}
        AND window_start <= {until:DateTime('UTC')}
        AND workflow != ''
    GROUP BY namespace, engine, workflow, step, hour
)
GROUP BY namespace, engine, workflow, step
HAVING sum(e) >= {errors_min:UInt8}
