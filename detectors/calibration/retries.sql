-- First attempts (F) and retries (R) of each step over the trailing day, as the sums that their ratio and their dispersion
-- need: per 10 s, and (`long_`) per 10 min, which shows how long a swing lasts. Those of the last hour, which may hold the storm
-- that is to be told, apart from the others. `loud`: (F, R) of the bins of the ten minutes with the most retries in 10 s.
SELECT
    namespace, engine, workflow, step, is_young,
    toFloat64(sum(f)) AS sum_f,
    toFloat64(sum(r)) AS sum_r,
    toFloat64(sum(ff)) AS sum_ff,
    toFloat64(sum(fr)) AS sum_fr,
    toFloat64(sum(rr)) AS sum_rr,
    toFloat64(sum(failed)) AS sum_failed,
    toFloat64(count()) AS windows,
    toFloat64(sum(f * f)) AS long_ff,
    toFloat64(sum(f * r)) AS long_fr,
    toFloat64(sum(r * r)) AS long_rr,
    arrayMap(window -> arrayMap(bin -> (bin.2, bin.3), window.2), groupArraySortedIf({loud_windows:UInt32})((-toInt64(loudest), bins), notEmpty(bins))) AS loud
FROM
(
    SELECT
        namespace, engine, workflow, step, is_young,
        sum(firsts) AS f, sum(retries) AS r, sum(failed_firsts) AS failed,
        sum(firsts * firsts) AS ff, sum(firsts * retries) AS fr, sum(retries * retries) AS rr,
        max(retries) AS loudest,
        if(loudest >= {loud_retries_min:UInt32}, arraySort(groupArray((bin, firsts, retries))), []) AS bins
    FROM
    (
        SELECT
            namespace, engine, workflow, step,
            started_at > {young_from:DateTime64(6, 'UTC')} AS is_young,
            intDiv(toUnixTimestamp(assumeNotNull(started_at)), 10) AS bin,
            toUInt64(countIf(attempt <= 1)) AS firsts,
            toUInt64(countIf(attempt > 1)) AS retries,
            toUInt64(countIf(attempt <= 1 AND status IN ('failed', 'timed_out', 'backing_off'))) AS failed_firsts
        FROM recent_attempt FINAL
        WHERE folded >= {folded_from:UInt64}
            AND started_at > {from:DateTime64(6, 'UTC')}
            AND started_at <= {until:DateTime64(6, 'UTC')}
            AND workflow != ''
        GROUP BY namespace, engine, workflow, step, is_young, bin
    )
    GROUP BY namespace, engine, workflow, step, is_young, intDiv(bin, 60)
)
GROUP BY namespace, engine, workflow, step, is_young
