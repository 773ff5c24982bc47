-- Of each step the ages, since they were scheduled, at which attempts ended (`closed`) or were last seen without an end of their own
-- (`censored`), in bins of floor(32 * log2(seconds)); and the queues and downstreams that they name.
SELECT
    namespace, engine, workflow, step,
    groupArray(bin) AS bins, groupArray(n_closed) AS closed, groupArray(n_censored) AS censored,
    sumMap(queues) AS queues, sumMap(downstreams) AS downstreams
FROM
(
    SELECT
        namespace, engine, workflow, step,
        toInt16(floor(32 * log2(greatest(1e-3, dateDiff('microsecond', ifNull(scheduled_at, started_at), ended_at) / 1e6 - waited_s)))) AS bin,
        countIf(closed_by = 'event' AND (status IN ('completed', 'failed') OR (status = 'timed_out' AND road != 'history'))) AS n_closed,
        count() - n_closed AS n_censored,
        sumMap(map(queue, toUInt64(1))) AS queues,
        sumMap(map(downstream, toUInt64(1))) AS downstreams
    FROM attempt_fold FINAL
    WHERE ended_at > {from:DateTime64(6, 'UTC')}
        AND ended_at <= {until:DateTime64(6, 'UTC')}
        AND ifNull(scheduled_at, started_at) IS NOT NULL
        AND status != 'skipped'
        AND waiting_on = ''
        AND workflow != ''
    GROUP BY namespace, engine, workflow, step, bin
    ORDER BY bin
)
GROUP BY namespace, engine, workflow, step
HAVING sum(n_closed) >= {least:UInt64}
