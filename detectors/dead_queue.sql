-- What is open and what ended lately under the names that are asked for, by step, queue, worker, downstream and sender, as counts: ages in
-- bins of floor(32 * log2(seconds)), since the start or, where it still waits for one (`is_wait`), since the scheduling; and behind which of the
-- edges something ended (seconds ago, falling; 0: before all of them). Waits for something else are not judged, nor what is suspended,
-- waits for a child of its own or has told a heartbeat lately. Where much is open, executions are named only if less ended lately.
-- The newest version of each row is taken here: FINAL would read all that is stored. Workers, where none is asked for, are left out:
-- of a large fleet there would be as many rows as attempts.
WITH {until:DateTime64(6, 'UTC')} AS now, {workers:Array(String)} != [] AS by_worker
SELECT
    namespace, engine, workflow, step, queue, worker, downstream, sender,
    queue IN {queues:Array(String)} OR (queue = '' AND step IN {queue_steps:Array(String)}) AS asks_queue,
    downstream IN {downstreams:Array(String)} OR (downstream = '' AND step IN {downstream_steps:Array(String)}) AS asks_downstream,
    worker IN {workers:Array(String)} AS asks_worker,
    step IN {steps:Array(String)} AND workflow IN {workflows:Array(String)} AS asks_step,
    max(close_at) AS closed_at,
    greatest(sumIf(n, is_close AND edge > {edge_310s:UInt8}) / 310, sumIf(n, is_close AND edge > 0) / 1800) AS usual_per_s,
    sumIf(n, is_close AND edge > {edge_5s:UInt8}) AS in_5s, sumIf(n, is_close AND edge > {edge_16s:UInt8}) AS in_16s, sumIf(n, is_close AND edge > {edge_95s:UInt8}) AS in_95s,
    sumIf(n, is_open) <= {few:UInt32} OR arrayExists((ends, s) -> ends <= usual_per_s * s - 1.5 * sqrt(usual_per_s * s), [in_5s, in_16s, in_95s], [5, 16, 95]) AS is_named,
    groupArrayIf(age, is_open) AS open_ages, groupArrayIf(n, is_open) AS open_counts, groupArrayIf(is_wait, is_open) AS open_waits,
    if(is_named, groupArrayIf(ids, is_open), []) AS executions,
    groupArrayIf(edge, edge > 0) AS end_edges, groupArrayIf(age, edge > 0) AS end_ages, groupArrayIf(n, edge > 0) AS end_counts,
    groupArrayIf(is_close, edge > 0) AS end_closes
FROM
(
    SELECT
        namespace, engine, workflow, step, queue, worker, downstream, sender, is_open, is_wait, is_close,
        if(is_open, 0, toUInt8(arrayCount(edge_s -> edge_s > dateDiff('microsecond', end_at, now) / 1e6, {edges_s:Array(Float64)}))) AS edge,
        toInt16(floor(32 * log2(greatest(1e-3, dateDiff('microsecond', begin_at, end_at) / 1e6 - waited_s)))) AS age,
        count() AS n,
        maxIf(end_at, is_close) AS close_at,
        groupArrayIf(execution_id, is_open) AS ids
    FROM
    (
        SELECT
            namespace, engine, workflow, step, queue, if(by_worker, worker, '') AS worker, downstream, sender, execution_id, waited_s,
            status != 'backing_off' AS is_open, status = 'scheduled' AS is_wait, status = 'backing_off' AS is_close,
            assumeNotNull(ifNull(started_at, scheduled_at)) AS begin_at,
            if(is_open, now, assumeNotNull(retrying_at)) AS end_at
        FROM
        (
            SELECT
                namespace, engine, workflow, step, queue, worker, downstream, sender, execution_id, waited_s, status, scheduled_at, started_at, retrying_at,
                execution_status, is_last_attempt, historical, waiting_on, last_heartbeat_at, is_deleted
            FROM open_attempt
            PREWHERE is_deleted OR queue IN {queues:Array(String)} OR downstream IN {downstreams:Array(String)} OR worker IN {workers:Array(String)}
                    OR (step IN {steps:Array(String)} AND workflow IN {workflows:Array(String)})
                    OR (queue = '' AND step IN {queue_steps:Array(String)}) OR (downstream = '' AND step IN {downstream_steps:Array(String)})
            ORDER BY version DESC, folded DESC
            LIMIT 1 BY execution_key, run_id, step, branch, step_run_id, attempt
        )
        WHERE NOT is_deleted
            AND status IN ('scheduled', 'running', 'backing_off')
            AND execution_status != 'suspended'
            AND is_last_attempt
            AND NOT historical
            AND workflow != ''
            AND waiting_on = ''
            AND (scheduled_at IS NOT NULL OR started_at IS NOT NULL)
            AND (last_heartbeat_at IS NULL OR last_heartbeat_at < now - toIntervalSecond({beat_s:UInt32}))
            AND (namespace, execution_id) NOT IN
            (
                SELECT namespace, parent_execution_id
                FROM open_execution FINAL
                WHERE parent_execution_id != '' AND execution_key IN (SELECT execution_key FROM open_execution WHERE parent_execution_id != '')
            )
        UNION ALL
        SELECT
            namespace, engine, workflow, step, queue, if(by_worker, worker, '') AS worker, downstream, sender, '' AS execution_id, waited_s,
            false AS is_open, false AS is_wait,
            closed_by = 'event' AND (status IN ('completed', 'failed') OR (status = 'timed_out' AND road != 'history')) AS is_close,
            assumeNotNull(ifNull(started_at, scheduled_at)) AS begin_at,
            assumeNotNull(ended_at) AS end_at
        FROM
        (
            SELECT namespace, engine, workflow, step, queue, worker, downstream, sender, waited_s, status, closed_by, road, scheduled_at, started_at, ended_at
            FROM recent_attempt
            PREWHERE folded >= {folded_from:UInt64} AND ended_at > {from:DateTime64(6, 'UTC')} AND ended_at <= now
                AND (queue IN {queues:Array(String)} OR downstream IN {downstreams:Array(String)} OR worker IN {workers:Array(String)}
                    OR (step IN {steps:Array(String)} AND workflow IN {workflows:Array(String)})
                    OR (queue = '' AND step IN {queue_steps:Array(String)}) OR (downstream = '' AND step IN {downstream_steps:Array(String)}))
            WHERE status != 'skipped'
                AND NOT historical
                AND workflow != ''
                AND waiting_on = ''
                AND (scheduled_at IS NOT NULL OR started_at IS NOT NULL)
            ORDER BY version DESC, folded DESC
            LIMIT 1 BY execution_key, run_id, step, branch, step_run_id, attempt
        )
    )
    GROUP BY namespace, engine, workflow, step, queue, worker, downstream, sender, is_open, is_wait, is_close, edge, age
)
GROUP BY namespace, engine, workflow, step, queue, worker, downstream, sender
