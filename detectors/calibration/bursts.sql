-- How often attempts of each step failed, timed out and were throttled (the three kinds, in this order) over the trailing day, in windows of some
-- minutes: the sums that a rate and its dispersion need, and the windows (errors, attempts) far above the rate.
-- The last `lag_min` minutes, which may hold the burst that is to be told, do not count; of a shorter past its second half;
-- where hardly anything is left, everything counts.
WITH
    minutes AS
    (
        SELECT
            namespace, engine, workflow, step,
            toUInt32(intDiv(toUnixTimestamp(assumeNotNull(ended_at)), 60)) AS minute,
            count() AS n,
            [countIf(status = 'failed'), countIf(status = 'timed_out'), countIf(status = 'failed' AND match(error_type, {throttles:String}))] AS errors
        FROM recent_attempt FINAL
        WHERE folded >= {folded_from:UInt64}
            AND status IN ('completed', 'failed', 'timed_out')
            AND ended_at > {from:DateTime64(6, 'UTC')}
            AND ended_at <= {until:DateTime64(6, 'UTC')}
            AND workflow != ''
        GROUP BY namespace, engine, workflow, step, minute
    ),
    steps AS
    (
        SELECT
            namespace, engine, workflow, step,
            groupArray((minute, n, errors)) AS all_of_them,
            least({lag_min:UInt32}, intDiv({until_min:UInt32} - min(minute), 2)) AS lag,
            arrayFilter(m -> m.1 + lag <= {until_min:UInt32}, all_of_them) AS old,
            if(arraySum(m -> m.2, old) >= {enough:UInt32}, old, all_of_them) AS kept,
            arrayMap(kind -> arraySum(m -> m.3[kind], kept) / arraySum(m -> m.2, kept), [1, 2, 3]) AS rates
        FROM minutes
        GROUP BY namespace, engine, workflow, step
    ),
    windows AS
    (
        SELECT
            namespace, engine, workflow, step, pair.1 AS kind, pair.2 AS window_min, any(rates[kind]) AS rate,
            toFloat64(sum(m.2)) AS attempts,
            toFloat64(sum(m.3[kind])) AS failures,
            failures >= {errors_min:UInt8} AND failures - attempts * rate > {screen_z:Float64} * sqrt(greatest(attempts * rate * (1 - rate), 1e-9)) AS is_high
        FROM steps
        -- What never happens has no dispersion: there one length of window is enough.
        ARRAY JOIN arrayFilter(pair -> pair.2 = 1 OR rates[pair.1] > 0, {pairs:Array(Tuple(UInt8, UInt8))}) AS pair
        ARRAY JOIN kept AS m
        GROUP BY namespace, engine, workflow, step, kind, window_min, intDiv(m.1, window_min)
    )
SELECT
    namespace, engine, workflow, step, kind, window_min,
    count() AS windows,
    sum(attempts) AS sum_n,
    sum(failures) AS sum_e,
    sum(attempts * attempts) AS sum_nn,
    sum(attempts * (attempts - 1)) AS sum_pairs,
    sum(failures * attempts) AS sum_en,
    sum(failures * failures) AS sum_ee,
    groupArrayIf({highs_max:UInt32})((failures, attempts), is_high) AS highs
FROM windows
GROUP BY namespace, engine, workflow, step, kind, window_min
