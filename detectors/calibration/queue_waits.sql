-- How long attempts waited to be started after they were scheduled (kind `queue`), and how long after they were due timers
-- fired (kind `timer`), by step.
WITH
    -- News of starts and of ends take equally long.
    arraySort(groupArraySampleIf({sample:UInt32}, 2)(late_s, NOT historical AND late_s IS NOT NULL)) AS late
SELECT
    kind, namespace, engine, workflow, step,
    {is_recent:Bool} AS is_recent,
    count() AS n,
    groupArraySample({sample:UInt32}, 1)(seconds) AS durations_s,
    ifNull(maxIf(seconds, NOT historical), 0) AS longest_live_s,
    if(empty(late), 0, greatest(0, late[greatest(1, toUInt32(floor(0.999 * length(late))))])) AS lateness_s,
    min(ended_at) AS first_at,
    max(ended_at) AS last_at
FROM
(
    SELECT
        namespace, engine, workflow, step, historical, assumeNotNull(ended_at) AS ended_at,
        dateDiff('microsecond', attempt_fold.ended_at, ended_received_at) / 1e6 AS told_after_s,
        2 * dateDiff('microsecond', first_received_at, ended_received_at) >= dateDiff('microsecond', ifNull(scheduled_at, started_at), attempt_fold.ended_at) AS is_told_live,
        if(told_after_s <= 60 OR is_told_live, told_after_s, NULL) AS late_s,
        dateDiff('microsecond', scheduled_at, started_at) / 1e6 AS queued_s,
        if(waiting_on = 'timer' AND waited_s > 0, dateDiff('microsecond', due, waiting_at) / 1e6 + waited_s, NULL) AS fired_s,
        arrayFilter(one -> one.2 >= 0, [('queue', ifNull(queued_s, -1)), ('timer', ifNull(fired_s, -1))]) AS waits
    FROM attempt_fold FINAL
    WHERE folded >= {folded_from:UInt64}
        AND (execution_key <= {upto_key:UInt64} OR execution_key IN (SELECT execution_key FROM execution_fold WHERE folded >= {folded_from:UInt64} AND (namespace, engine, workflow) IN (SELECT one.1, one.2, one.3 FROM (SELECT arrayJoin({rare:Array(Tuple(String, String, String))}) AS one))))
        AND ended_at > {from:DateTime64(6, 'UTC')}
        AND ended_at <= {until:DateTime64(6, 'UTC')}
        AND workflow != ''
        AND (started_at >= scheduled_at OR due IS NOT NULL)
)
ARRAY JOIN waits.1 AS kind, waits.2 AS seconds
GROUP BY kind, namespace, engine, workflow, step
SETTINGS use_skip_indexes_if_final = 1
