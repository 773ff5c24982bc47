-- How long completed attempts took in the last days, without their waits, by step and version, and how old others were
-- when they were seen for the last time: timed out, cancelled, or open now; and how late the news of an end usually arrives. Where
-- that is more than a minute, and beginning and end arrived together although they were apart, a past was told afterwards
-- (here and in the statements beside): how late that is says nothing of what runs.
WITH
    -- The order statistic below p99.9, so that one straggler among a thousand does not count.
    arraySort(groupArraySampleIf({sample:UInt32}, 2)(late_s, is_completed AND NOT historical AND late_s IS NOT NULL)) AS late
SELECT
    namespace, engine, workflow, step, workflow_version,
    {is_recent:Bool} AS is_recent,
    countIf(is_completed) AS n,
    groupArraySampleIf({sample:UInt32}, 1)(duration_s, is_completed) AS durations_s,
    countIf(NOT is_completed) AS censored,
    groupArraySampleIf({censored:UInt32}, 3)(duration_s, NOT is_completed) AS censored_s,
    -- Several runs in one execution (loops, maps) may be alike. Where executions are many, that does no harm.
    uniqIf((execution_key, run_id), is_completed) AS executions,
    if(executions <= {alike:UInt32} AND n >= 2 * executions, groupArraySampleIf(2000, 4)((execution_key, duration_s), is_completed), []) AS by_execution,
    ifNull(maxIf(duration_s, is_completed AND NOT historical), 0) AS longest_live_s,
    if(empty(late), 0, greatest(0, late[greatest(1, toUInt32(floor(0.999 * length(late))))])) AS lateness_s,
    if(n > 0, minIf(seen_at, is_completed), min(seen_at)) AS first_at,
    if(n > 0, maxIf(seen_at, is_completed), max(seen_at)) AS last_at
FROM
(
    SELECT
        namespace, engine, workflow, step, workflow_version, execution_key, run_id, historical,
        status = 'completed' AS is_completed,
        ifNull(ended_at, {until:DateTime64(6, 'UTC')}) AS seen_at,
        greatest(0, dateDiff('microsecond', assumeNotNull(ifNull(started_at, scheduled_at)), seen_at) / 1e6 - waited_s) AS duration_s,
        dateDiff('microsecond', ended_at, ended_received_at) / 1e6 AS told_after_s,
        2 * dateDiff('microsecond', first_received_at, ended_received_at) >= dateDiff('microsecond', ifNull(started_at, scheduled_at), ended_at) AS is_told_live,
        if(told_after_s <= 60 OR is_told_live, told_after_s, NULL) AS late_s
    FROM attempt_fold FINAL
    WHERE folded >= {folded_from:UInt64}
        AND (execution_key <= {upto_key:UInt64} OR execution_key IN (SELECT execution_key FROM execution_fold WHERE folded >= {folded_from:UInt64} AND (namespace, engine, workflow) IN (SELECT one.1, one.2, one.3 FROM (SELECT arrayJoin({rare:Array(Tuple(String, String, String))}) AS one))))
        AND workflow != ''
        AND ((status = 'completed' AND closed_by = 'event' AND ifNull(started_at, scheduled_at) IS NOT NULL)
            OR (status IN ('timed_out', 'cancelled') AND started_at IS NOT NULL)
            OR ({is_recent:Bool} AND status = 'running' AND NOT historical AND started_at > {from:DateTime64(6, 'UTC')}))
        AND seen_at > {from:DateTime64(6, 'UTC')}
        AND seen_at <= {until:DateTime64(6, 'UTC')}
)
GROUP BY namespace, engine, workflow, step, workflow_version
HAVING n + censored > 0
SETTINGS use_skip_indexes_if_final = 1
