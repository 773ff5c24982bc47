-- First attempts (F) and retries (R) per 10 s of each step over the trailing day, as the sums that their ratio and
-- their dispersion need.
SELECT
    namespace, engine, workflow, step,
    toFloat64(sum(firsts)) AS sum_f,
    toFloat64(sum(retries)) AS sum_r,
    toFloat64(sum(firsts * firsts)) AS sum_ff,
    toFloat64(sum(firsts * retries)) AS sum_fr,
    toFloat64(sum(retries * retries)) AS sum_rr
FROM
(
    SELECT
        namespace, engine, workflow, step,
        toUInt64(countIf(attempt <= 1)) AS firsts,
        toUInt64(countIf(attempt > 1)) AS retries
    FROM attempt_fold FINAL
    WHERE started_at > {from:DateTime64(6, 'UTC')}
        AND started_at <= {until:DateTime64(6, 'UTC')}
        AND workflow != ''
    GROUP BY namespace, engine, workflow, step, intDiv(toUnixTimestamp(assumeNotNull(started_at)), 10)
)
GROUP BY namespace, engine, workflow, step
