-- Minute or hour rows of the windows that hold a dirty minute, computed from all attempts that ended in them.
INSERT INTO step_histogram
SELECT
    {window_s:UInt32},
    toStartOfInterval(assumeNotNull(ended_at), toIntervalSecond({window_s:UInt32})) AS start,
    namespace, engine, workflow, workflow_version, step, queue,
    countIf(status = 'completed'), countIf(status = 'failed'), countIf(status = 'timed_out'), countIf(status = 'cancelled'), countIf(attempt > 1),
    sumMapIf(map(bin, toUInt64(1)), status = 'completed' AND is_timed),
    sumMapIf(map(bin, toUInt64(1)), status = 'failed' AND is_timed),
    sumMapIf(map(bin, toUInt64(1)), status IN ('timed_out', 'cancelled') AND is_timed),
    {version:UInt64}, 0
FROM
(
    SELECT
        *,
        -- Without a beginning an attempt counts and has no duration.
        coalesce(started_at, scheduled_at, waiting_at) AS began_at,
        began_at IS NOT NULL AS is_timed,
        toInt16(floor(32 * log2(greatest(dateDiff('microsecond', ifNull(began_at, assumeNotNull(ended_at)), assumeNotNull(ended_at)) / 1e6, 1e-3)))) AS nullable_bin,
        assumeNotNull(nullable_bin) AS bin
    FROM attempt_fold FINAL
    WHERE ended_at IS NOT NULL
        AND status IN ('completed', 'failed', 'timed_out', 'cancelled')
        AND toStartOfInterval(assumeNotNull(ended_at), toIntervalSecond({window_s:UInt32})) IN
            (SELECT toStartOfInterval(minute, toIntervalSecond({window_s:UInt32})) FROM dirty_window WHERE if({is_shared:UInt8}, noted_us, batch) > {after:UInt64} AND if({is_shared:UInt8}, noted_us, batch) <= {upto:UInt64})
)
GROUP BY start, namespace, engine, workflow, workflow_version, step, queue
