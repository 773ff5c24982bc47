-- How long completed executions of each version took in the last days, without what they waited or were suspended.
WITH
    dateDiff('microsecond', x.ended_at, x.ended_received_at) / 1e6 AS late_s,
    -- A batch is numbered by the microsecond in which it came.
    2 * (toUnixTimestamp64Micro(x.ended_received_at) - toInt64(x.first_batch)) >= dateDiff('microsecond', x.started_at, x.ended_at) AS is_told_live,
    arraySort(groupArraySampleIf({sample:UInt32}, 2)(late_s, NOT x.historical AND (late_s <= 60 OR is_told_live))) AS late
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.workflow_version AS workflow_version,
    {is_recent:Bool} AS is_recent,
    count() AS n,
    groupArraySample({sample:UInt32}, 1)(greatest(0, dateDiff('microsecond', x.started_at, x.ended_at) / 1e6 - x.waited_s)) AS durations_s,
    ifNull(maxIf(greatest(0, dateDiff('microsecond', x.started_at, x.ended_at) / 1e6 - x.waited_s), NOT x.historical), 0) AS longest_live_s,
    if(empty(late), 0, greatest(0, late[greatest(1, toUInt32(floor(0.999 * length(late))))])) AS lateness_s,
    min(x.ended_at) AS first_at,
    max(x.ended_at) AS last_at
FROM execution_fold AS x FINAL
WHERE x.folded >= {folded_from:UInt64}
    AND (execution_key <= {upto_key:UInt64} OR (namespace, engine, workflow) IN (SELECT one.1, one.2, one.3 FROM (SELECT arrayJoin({rare:Array(Tuple(String, String, String))}) AS one)))
    AND x.status = 'completed'
    AND x.workflow != ''
    AND x.ended_at > {from:DateTime64(6, 'UTC')}
    AND x.ended_at <= {until:DateTime64(6, 'UTC')}
GROUP BY namespace, engine, workflow, workflow_version
SETTINGS use_skip_indexes_if_final = 1
