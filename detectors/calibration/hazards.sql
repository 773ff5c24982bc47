-- Of each step the ages at which attempts ended (`closed`) or were last seen without an end of their own (`censored`), in bins of
-- floor(32 * log2(seconds)): since they were scheduled (`wholes`), and since they were started (`runs`), of what tells both; and the
-- queues and downstreams that they name.
SELECT
    namespace, engine, workflow, step,
    groupArray(bin) AS bins, groupArray(n_closed) AS closed, groupArray(n_censored) AS censored,
    groupArray(is_whole) AS wholes, groupArray(is_run) AS runs,
    sumMap(queues) AS queues, sumMap(downstreams) AS downstreams
FROM
(
    SELECT
        namespace, engine, workflow, step,
        begun.1 AS is_whole, begun.2 AS is_run,
        toInt16(floor(32 * log2(greatest(1e-3, dateDiff('microsecond', begun.3, ended_at) / 1e6 - waited_s)))) AS bin,
        countIf(closed_by = 'event' AND (status IN ('completed', 'failed') OR (status = 'timed_out' AND road != 'history'))) AS n_closed,
        count() - n_closed AS n_censored,
        sumMapIf(map(queue, toUInt64(1)), is_whole) AS queues,
        sumMapIf(map(downstream, toUInt64(1)), is_whole) AS downstreams
    FROM attempt_fold FINAL
    -- Where only one of both is told, it stands for both.
    ARRAY JOIN if(started_at != scheduled_at, [(true, false, assumeNotNull(scheduled_at)), (false, true, assumeNotNull(started_at))],
        [(true, true, assumeNotNull(ifNull(started_at, scheduled_at)))]) AS begun
    WHERE folded >= {folded_from:UInt64}
        AND (execution_key <= {upto_key:UInt64} OR execution_key IN (SELECT execution_key FROM execution_fold WHERE folded >= {folded_from:UInt64} AND (namespace, engine, workflow) IN (SELECT one.1, one.2, one.3 FROM (SELECT arrayJoin({rare:Array(Tuple(String, String, String))}) AS one))))
        AND ended_at > {from:DateTime64(6, 'UTC')}
        AND ended_at <= {until:DateTime64(6, 'UTC')}
        AND ifNull(scheduled_at, started_at) IS NOT NULL
        AND status != 'skipped'
        AND waiting_on = ''
        AND workflow != ''
    GROUP BY namespace, engine, workflow, step, is_whole, is_run, bin
    ORDER BY bin
)
GROUP BY namespace, engine, workflow, step
HAVING sumIf(n_closed, is_whole) >= {least:UInt64}
SETTINGS use_skip_indexes_if_final = 1
