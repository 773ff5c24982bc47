-- While some step is tried again much in the last minute: each step with attempts of late. `calls` are its first attempts and retries of the
-- last minute by downstream. For the steps that may be in a storm, `bins` are all attempts per 10 s, counted back from the end of the
-- tick (bin 0 is the newest): (bin, firsts, retries, firsts that failed, firsts that ended, completed, ended, executions, queue, error).
-- `samples` are what pauses are read from: of each bin the attempts of the calls with the lowest hashes, so that the
-- attempts of one call are in it together; `slots` how many retries began in each 250 ms. Both for the loudest steps only.
WITH retried AS
(
    -- Where no step has that many retries there is no storm, and nothing else to read. A row may be there several times.
    SELECT namespace, engine, workflow, step
    FROM recent_attempt
    WHERE folded >= {folded_from:UInt64} AND attempt > 1
        AND started_at > {until:DateTime64(6, 'UTC')} - toIntervalMicrosecond({minute_bins:UInt32} * {bin_us:UInt64})
    GROUP BY namespace, engine, workflow, step
    HAVING count() >= {retries_min:UInt32}
)
SELECT
    namespace, engine, workflow, step,
    sumIf(retries, bin < {minute_bins:UInt32}) AS retries_60s,
    sumIf(firsts, bin < {minute_bins:UInt32}) AS firsts_60s,
    sumIf(retries, bin < {half_minute_bins:UInt32}) AS retries_30s,
    sumIf(firsts, bin < {half_minute_bins:UInt32}) AS firsts_30s,
    (retries_60s >= {retries_min:UInt32} AND retries_60s > {share_min:Float64} * firsts_60s)
        OR (retries_30s >= {sudden_retries_min:UInt32} AND retries_30s > {share_min:Float64} * firsts_30s) AS raised,
    row_number() OVER (ORDER BY raised DESC, retries_60s DESC) <= {detailed:UInt32} AS is_detailed,
    groupArrayIf(calls, bin < {minute_bins:UInt32}) AS calls,
    if(raised, groupArray((bin, firsts, retries, failed_firsts, ended_firsts, completed, ended, queues, error_types)), []) AS bins,
    if(raised, if(is_detailed, groupArray((bin, executions)), groupArrayIf((bin, arraySlice(executions, 1, 10)), bin < {minute_bins:UInt32})), []) AS executions,
    if(raised AND is_detailed, groupArrayArray(samples), []) AS samples,
    if(raised AND is_detailed, groupArrayIf((bin, slots), bin < {pattern_bins:UInt32}), []) AS slots
FROM
(
    SELECT
        namespace, engine, workflow, step, intDiv(age_us, {bin_us:UInt64}) AS bin,
        countIf(NOT is_retry) AS firsts,
        countIf(is_retry) AS retries,
        countIf(NOT is_retry AND has_failed) AS failed_firsts,
        countIf(NOT is_retry AND (has_failed OR status = 'completed')) AS ended_firsts,
        countIf(status = 'completed') AS completed,
        countIf(has_failed OR status = 'completed') AS ended,
        groupUniqArrayIf(1000)(execution_id, is_retry) AS executions,
        topKIf(1)(queue, is_retry) AS queues,
        topKIf(1)(error_type, error_type != '') AS error_types,
        sumMapIf([downstream], [toUInt64(NOT is_retry)], [toUInt64(is_retry)], age_us < {minute_bins:UInt32} * {bin_us:UInt64}) AS calls,
        groupArraySortedIf({sample:UInt32})(
            (call, attempt, toUnixTimestamp64Micro(started), toUnixTimestamp64Micro(ifNull(ended_at, started))),
            (is_retry OR has_failed) AND age_us < {pattern_bins:UInt32} * {bin_us:UInt64}) AS samples,
        sumMapIf([intDiv(age_us, {slot_us:UInt64})], [toUInt64(1)], is_retry AND age_us < {pattern_bins:UInt32} * {bin_us:UInt64}) AS slots
    FROM
    (
        SELECT
            namespace, engine, workflow, step, execution_id, attempt, status, queue, downstream, error_type, ended_at,
            assumeNotNull(started_at) AS started,
            dateDiff('microsecond', started, {until:DateTime64(6, 'UTC')}) AS age_us,
            attempt > 1 AS is_retry,
            status IN ('failed', 'timed_out', 'backing_off') AS has_failed,
            sipHash64(execution_key, run_id, branch, step_run_id) AS call
        FROM attempts_since(folded_from = {folded_from:UInt64})
        WHERE started_at >= {from:DateTime64(6, 'UTC')}
            AND started_at < {until:DateTime64(6, 'UTC')}
            AND NOT historical
            AND workflow != ''
            AND (SELECT count() FROM retried) > 0
    )
    GROUP BY namespace, engine, workflow, step, bin
)
GROUP BY namespace, engine, workflow, step
QUALIFY max(raised) OVER ()
ORDER BY namespace, engine, workflow, step
