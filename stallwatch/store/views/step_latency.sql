CREATE VIEW step_latency AS
SELECT
    window_start, window_s, namespace, engine, workflow, step, completed, failed, timed_out, retried,
    if(timed = 0, NULL, exp2((quantiles[1] + 0.5) / 32)) AS p50_s,
    if(timed = 0, NULL, exp2((quantiles[2] + 0.5) / 32)) AS p95_s,
    if(timed = 0, NULL, exp2((quantiles[3] + 0.5) / 32)) AS p99_s
FROM
(
    SELECT
        window_start, window_s, namespace, engine, workflow, step,
        any(row_completed) AS completed, any(row_failed) AS failed, any(row_timed_out) AS timed_out, any(row_retried) AS retried,
        -- Completions whose beginning nobody told have no duration; without any that has, this is not a number.
        sum(weight) AS timed,
        quantilesExactWeightedIf(0.5, 0.95, 0.99)(bin, weight, weight > 0) AS quantiles
    FROM
    (
        SELECT
            window_start, window_s, namespace, engine, workflow, step, row_completed, row_failed, row_timed_out, row_retried,
            kv.1 AS bin, kv.2 AS weight
        FROM
        (
            SELECT
                window_start, window_s, namespace, engine, workflow, step,
                sum(completed) AS row_completed, sum(failed) AS row_failed, sum(timed_out) AS row_timed_out, sum(retried) AS row_retried,
                sumMap(completed_bins) AS bins
            FROM step_histogram FINAL
            GROUP BY window_start, window_s, namespace, engine, workflow, step
        )
        ARRAY JOIN if(empty(bins), [(toInt16(0), toUInt64(0))], CAST(bins, 'Array(Tuple(Int16, UInt64))')) AS kv
    )
    GROUP BY window_start, window_s, namespace, engine, workflow, step
)
