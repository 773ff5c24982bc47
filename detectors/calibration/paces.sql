-- How much ends in each queue, on each worker, in each step and downstream: in all, and in its fastest minute since `minutes_from`; and
-- how many attempts were seen running at once (at the beginnings of minutes, of those that ended within one).
SELECT
    dimension, namespace, engine, place, value,
    sum(n) AS closes, maxIf(n, is_apart) AS peak_60s, maxIf(n_running, is_apart) AS ceiling, min(first_at) AS first_at, max(last_at) AS last_at
FROM
(
    SELECT
        group.1 AS dimension, namespace, engine, if(dimension = 'step', workflow, '') AS place, group.2 AS value,
        toStartOfMinute(greatest(assumeNotNull(a.ended_at), {minutes_from:DateTime64(6, 'UTC')})) AS minute, minute > {minutes_from:DateTime64(6, 'UTC')} AS is_apart,
        count() AS n, countIf(ifNull(started_at, scheduled_at) < toStartOfMinute(assumeNotNull(a.ended_at))) AS n_running, min(a.ended_at) AS first_at, max(a.ended_at) AS last_at
    FROM attempt_fold AS a FINAL
    ARRAY JOIN [('queue', toString(queue)), ('downstream', toString(downstream)), ('worker', toString(worker)), ('step', toString(step))] AS group
    WHERE a.folded >= {folded_from:UInt64}
        AND a.ended_at > {from:DateTime64(6, 'UTC')}
        AND a.ended_at <= {until:DateTime64(6, 'UTC')}
        AND closed_by = 'event'
        AND (status IN ('completed', 'failed') OR (status = 'timed_out' AND road != 'history'))
        AND waiting_on = ''
        AND workflow != ''
        AND group.2 != ''
    GROUP BY dimension, namespace, engine, place, value, minute
)
GROUP BY dimension, namespace, engine, place, value
HAVING closes >= {least:UInt64}
SETTINGS use_skip_indexes_if_final = 1
