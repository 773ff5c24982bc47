-- How much ends in each queue, on each worker, in each step and downstream: in all, and in its fastest minute; and
-- how many attempts were seen running at once (at the beginnings of minutes, of those that ended within one).
SELECT
    dimension, namespace, engine, place, value,
    sum(n) AS closes, max(n) AS peak_60s, max(n_running) AS ceiling, min(first_at) AS first_at, max(last_at) AS last_at
FROM
(
    SELECT
        group.1 AS dimension, namespace, engine, if(dimension = 'step', workflow, '') AS place, group.2 AS value,
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
    GROUP BY dimension, namespace, engine, place, value, toStartOfMinute(assumeNotNull(a.ended_at))
)
GROUP BY dimension, namespace, engine, place, value
HAVING closes >= {least:UInt64}
SETTINGS use_skip_indexes_if_final = 1
