-- Three ways in which a step may have run twice, one row each:
-- started: the starts of an attempt that has several with different event ids, where attempt or call was said, by road, with what lies between;
-- overlap: an attempt that began before its predecessor had ended; effect: one idempotency key in several executions.
-- A fold writes all attempts of an execution, so those of an execution that was told of lately are all recent; those of a key need not be.
WITH
    several AS
    (
        SELECT execution_key, namespace, engine, workflow, execution_id, run_id, step, branch, step_run_id, attempt, starts
        FROM attempts_since(folded_from = {folded_from:UInt64})
        WHERE execution_key IN (SELECT execution_key FROM recent_attempt WHERE folded >= {folded_from:UInt64} AND length(starts) > 1)
            AND length(starts) > 1 AND NOT historical AND workflow != ''
            AND arrayExists(t -> t.4 > {from:DateTime64(6, 'UTC')}, starts)
        LIMIT {rows_max:UInt32}
    ),
    effects AS
    (
        SELECT idempotency_key
        FROM recent_attempt
        WHERE folded >= {folded_from:UInt64} AND idempotency_key != '' AND first_received_at > {from:DateTime64(6, 'UTC')}
    ),
    shared AS
    (
        SELECT idempotency_key
        FROM idempotency_key
        WHERE idempotency_key IN (SELECT idempotency_key FROM effects)
        GROUP BY idempotency_key
        HAVING uniqExact(execution_key) > 1
        LIMIT {rows_max:UInt32}
    )
SELECT
    'started' AS kind, c.namespace AS namespace, c.engine AS engine, c.workflow AS workflow, c.step AS step, [c.execution_id] AS executions,
    c.attempt AS attempt,
    arraySort(groupArray((e.time, e.received_at, e.worker, e.event_id))) AS starts,
    any(b.breaks) AS breaks,
    '' AS idempotency_key
FROM
(
    SELECT execution_key, namespace, engine, workflow, execution_id, run_id, step, branch, step_run_id, attempt, s.1 AS event_id
    FROM several
    ARRAY JOIN starts AS s
) AS c
INNER JOIN
(
    SELECT execution_key, event_id, time, received_at, worker, road
    FROM step_event_log FINAL
    WHERE event = 'step.started' AND (attempt > 0 OR step_run_id != '') AND NOT is_replay
        AND execution_key IN (SELECT execution_key FROM several)
) AS e ON e.execution_key = c.execution_key AND e.event_id = c.event_id
LEFT JOIN
(
    -- The same step began to wait, or the execution began anew: the next start is a resumption or a redrive.
    SELECT execution_key, arraySort(groupArray((time, toString(step)))) AS breaks
    FROM step_event_log FINAL
    WHERE event IN ('step.waiting', 'workflow.started', 'workflow.resumed') AND NOT is_replay
        AND execution_key IN (SELECT execution_key FROM several)
    GROUP BY execution_key
) AS b ON b.execution_key = c.execution_key
GROUP BY c.execution_key, namespace, engine, workflow, c.execution_id, c.run_id, step, c.branch, c.step_run_id, c.attempt, e.road
HAVING uniqExact(e.event_id) > 1
UNION ALL
SELECT
    'overlap' AS kind, namespace, engine, workflow, step, [execution_id] AS executions, attempt,
    [(assumeNotNull(previous_started_at), first_received_at, previous_worker, ''), (assumeNotNull(started_at), first_received_at, worker, '')] AS starts,
    [(assumeNotNull(previous_ended_at), '')] AS breaks,
    '' AS idempotency_key
FROM
(
    SELECT
        namespace, engine, workflow, step, execution_id, attempt, started_at, first_received_at, worker, historical,
        lagInFrame(attempt) OVER previous AS previous_attempt,
        lagInFrame(started_at) OVER previous AS previous_started_at,
        lagInFrame(ended_at) OVER previous AS previous_ended_at,
        lagInFrame(closed_by) OVER previous AS previous_closed_by,
        lagInFrame(worker) OVER previous AS previous_worker,
        lagInFrame(road) OVER previous = road AS same_road
    FROM attempts_since(folded_from = {folded_from:UInt64})
    WHERE started_at IS NOT NULL AND workflow != ''
        AND execution_key IN (SELECT execution_key FROM recent_attempt WHERE folded >= {folded_from:UInt64} AND attempt > 1 AND first_received_at > {from:DateTime64(6, 'UTC')})
    WINDOW previous AS (PARTITION BY execution_key, run_id, step, branch, step_run_id ORDER BY attempt ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE attempt = previous_attempt + 1 AND previous_closed_by = 'event' AND same_road AND previous_started_at IS NOT NULL
    AND started_at + toIntervalMillisecond({overlap_ms:UInt32}) < previous_ended_at
    AND first_received_at > {from:DateTime64(6, 'UTC')} AND first_received_at <= {until:DateTime64(6, 'UTC')}
    AND NOT historical
LIMIT {rows_max:UInt32}
UNION ALL
SELECT
    'effect' AS kind, a.namespace AS namespace, a.engine AS engine, a.workflow AS workflow, a.step AS step,
    groupUniqArray(1000)(a.execution_id) AS executions, toUInt32(0) AS attempt,
    arraySort(groupArray(1000)((assumeNotNull(a.started_at), a.first_received_at, toString(a.worker), a.execution_id))) AS starts,
    [] AS breaks,
    a.idempotency_key AS idempotency_key
FROM attempt_fold AS a FINAL
WHERE a.started_at IS NOT NULL AND NOT a.historical AND a.workflow != ''
    AND a.status NOT IN ('failed', 'cancelled', 'skipped')
    AND a.execution_key IN (SELECT execution_key FROM idempotency_key WHERE idempotency_key IN (SELECT idempotency_key FROM shared))
    AND a.idempotency_key IN (SELECT idempotency_key FROM shared)
GROUP BY namespace, engine, workflow, step, idempotency_key
HAVING uniqExact(a.execution_id) > 1
