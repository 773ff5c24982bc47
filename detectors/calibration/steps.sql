-- How long completed attempts took in the last days, without their waits, by step and version;
-- and how late the news of an end usually arrives.
SELECT
    a.namespace AS namespace, a.engine AS engine, a.workflow AS workflow, a.step AS step, a.workflow_version AS workflow_version,
    count() AS n,
    groupArraySample({sample:UInt32}, 1)(greatest(0, dateDiff('microsecond', ifNull(a.started_at, a.scheduled_at), a.ended_at) / 1e6 - a.waited_s)) AS durations_s,
    ifNull(maxIf(greatest(0, dateDiff('microsecond', ifNull(a.started_at, a.scheduled_at), a.ended_at) / 1e6 - a.waited_s), NOT a.historical), 0) AS longest_live_s,
    -- The order statistic below p99.9, so that one straggler among a thousand does not count.
    arraySort(groupArraySampleIf({sample:UInt32}, 2)(dateDiff('microsecond', a.ended_at, a.ended_received_at) / 1e6, NOT a.historical AND a.ended_received_at IS NOT NULL)) AS late,
    if(empty(late), 0, greatest(0, late[greatest(1, toUInt32(floor(0.999 * length(late))))])) AS lateness_s,
    min(a.ended_at) AS first_at,
    max(a.ended_at) AS last_at
FROM attempt_fold AS a FINAL
WHERE a.status = 'completed'
    AND a.closed_by = 'event'
    AND a.workflow != ''
    AND ifNull(a.started_at, a.scheduled_at) IS NOT NULL
    AND a.ended_at > {from:DateTime64(6, 'UTC')}
    AND a.ended_at <= {until:DateTime64(6, 'UTC')}
GROUP BY namespace, engine, workflow, step, workflow_version
