-- A first look, which decides what is asked for whole. By queue, downstream, worker and step: what ended in the last minutes (`closes`:
-- how many behind which of the edges, seconds ago, falling); and how much is open that is old enough to end (`ripe`: `ripe_s`, the least of
-- all steps of that name, and of that workflow), of that how much still waits for its start, and how much is `overdue`, older
-- than almost all that ended (`overdue_s`, by step in `places`: namespace, engine, workflow and name), or was not yet older than all of
-- them (`longest_s`) when the time began that is replayed (`fresh`).
WITH {until:DateTime64(6, 'UTC')} AS now
SELECT group.1 AS dimension, namespace, engine, if(dimension = 'step', workflow, '') AS place, group.2 AS value,
    max(last_at) AS closed_at, sumMap(ended) AS closes, sum(n_ripe) AS ripe, sum(n_waiting) AS waiting, sum(n_overdue) AS overdue, sum(n_fresh) AS fresh
FROM
(
    SELECT
        namespace, engine, workflow, [('queue', toString(queue)), ('downstream', toString(downstream)), ('worker', toString(worker)), ('step', toString(step))] AS groups,
        max(ended_at) AS last_at, map(edge, uniq(execution_key, run_id, branch, step_run_id, attempt)) AS ended, 0 AS n_ripe, 0 AS n_waiting, 0 AS n_overdue, 0 AS n_fresh
    FROM
    (
        SELECT
            namespace, engine, workflow, step, queue, downstream, worker, execution_key, run_id, branch, step_run_id, attempt, assumeNotNull(ended_at) AS ended_at,
            toUInt8(arrayCount(edge_s -> edge_s > dateDiff('microsecond', ended_at, now) / 1e6, {edges_s:Array(Float64)})) AS edge
        FROM recent_attempt
        PREWHERE folded >= {looked_from:UInt64} AND recent_attempt.ended_at > now - toIntervalSecond({looked_s:UInt32}) AND recent_attempt.ended_at <= now
        WHERE closed_by = 'event'
            AND (status IN ('completed', 'failed') OR (status = 'timed_out' AND road != 'history'))
            AND NOT historical
            AND waiting_on = ''
            AND workflow != ''
    )
    GROUP BY namespace, engine, workflow, step, queue, downstream, worker, edge
    UNION ALL
    SELECT
        namespace, engine, workflow, [('queue', toString(queue)), ('downstream', toString(downstream)), ('worker', toString(worker)), ('step', toString(step))],
        toDateTime64(0, 6, 'UTC'), map(), count(), countIf(status = 'scheduled'),
        countIf(dateDiff('microsecond', ifNull(started_at, scheduled_at), now) / 1e6 - waited_s > transform(concat(namespace, '\n', engine, '\n', workflow, '\n', step) AS name, {places:Array(String)}, {overdue_s:Array(Float64)}, inf)),
        countIf(dateDiff('microsecond', ifNull(started_at, scheduled_at), now) / 1e6 - waited_s < transform(name, {places:Array(String)}, {longest_s:Array(Float64)}, inf) + {replayed_s:Float64})
    FROM open_attempt
    PREWHERE dateDiff('microsecond', ifNull(started_at, scheduled_at), now) / 1e6 > transform(step, {steps:Array(String)}, {step_ripe_s:Array(Float64)}, inf)
        AND dateDiff('microsecond', ifNull(started_at, scheduled_at), now) / 1e6 > transform(workflow, {workflows:Array(String)}, {workflow_ripe_s:Array(Float64)}, inf)
    WHERE status IN ('scheduled', 'running') AND is_last_attempt AND NOT historical AND waiting_on = ''
        -- What has closed since leaves a deleted row; both stand there until a merge takes them.
        AND cityHash64(execution_key, run_id, step, branch, step_run_id, attempt) NOT IN
            (SELECT cityHash64(execution_key, run_id, step, branch, step_run_id, attempt) FROM open_attempt WHERE is_deleted)
    GROUP BY namespace, engine, workflow, step, queue, downstream, worker
)
ARRAY JOIN groups AS group
WHERE group.2 != ''
GROUP BY dimension, namespace, engine, place, value
