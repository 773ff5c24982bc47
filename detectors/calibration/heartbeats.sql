-- How long steps are silent after a heartbeat, until the next one or their completion: of the executions that told any,
-- so many as are enough to know. The same event delivered twice makes a gap of nothing.
WITH
    dateDiff('microsecond', time, received_at) / 1e6 AS late_s,
    arraySort(groupArraySampleIf({sample:UInt32}, 2)(late_s, NOT historical AND (late_s <= 60 OR 2 * received_gap_s >= gap_s))) AS late
SELECT
    namespace, engine, workflow, step,
    count() AS n,
    groupArraySample({sample:UInt32}, 1)(gap_s) AS durations_s,
    ifNull(maxIf(gap_s, NOT historical), 0) AS longest_live_s,
    if(empty(late), 0, greatest(0, late[greatest(1, toUInt32(floor(0.999 * length(late))))])) AS lateness_s,
    min(time) AS first_at,
    max(time) AS last_at
FROM
(
    SELECT
        namespace, engine, workflow, step, event, time, received_at, historical,
        lagInFrame(toString(event)) OVER attempts AS event_before,
        dateDiff('microsecond', lagInFrame(time) OVER attempts, time) / 1e6 AS gap_s,
        dateDiff('microsecond', lagInFrame(received_at) OVER attempts, received_at) / 1e6 AS received_gap_s
    FROM step_event_log
    WHERE execution_key IN
        (
            SELECT DISTINCT execution_key
            FROM step_event_log
            WHERE event = 'step.heartbeat' AND time > {from:DateTime64(6, 'UTC')} AND time <= {until:DateTime64(6, 'UTC')}
            LIMIT {executions:UInt64}
        )
        AND event IN ('step.started', 'step.heartbeat', 'step.waiting', 'step.completed')
        AND time > {from:DateTime64(6, 'UTC')}
        AND time <= {until:DateTime64(6, 'UTC')}
        AND workflow != ''
        AND NOT is_replay
    WINDOW attempts AS (PARTITION BY execution_key, run_id, step, branch, step_run_id, attempt ORDER BY time ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE event_before = 'step.heartbeat' AND event IN ('step.heartbeat', 'step.completed') AND gap_s > 0
GROUP BY namespace, engine, workflow, step
HAVING n >= {least:UInt64}
