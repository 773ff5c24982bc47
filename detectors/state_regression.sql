-- Two ways in which an execution may have gone back, a row each:
-- reentry: the courses (as in calibration/flows.sql, and ^ where the execution began anew) in which a step of a branch ran more than once,
-- with executions that took them, the times of each point and when each was received;
-- sequence: per execution the first event that happened, and arrived, after a later-numbered step had completed.
WITH again AS
(
    {{state_regression_again}}
),
disordered AS
(
    {{state_regression_disordered}}
),
anew AS
(
    SELECT execution_key, arraySort(groupArray(time)) AS times
    FROM step_event_log
    WHERE batch >= {folded_from:UInt64} AND event IN ('workflow.started', 'workflow.resumed') AND NOT is_replay
    GROUP BY execution_key
)
SELECT
    'reentry' AS kind, x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.workflow_version AS workflow_version,
    t.depth AS depth, t.course AS course,
    arraySort(groupArraySorted(100)((x.execution_id, t.times, t.received))) AS seen,
    '' AS step, '' AS later
FROM
(
    SELECT
        execution_key, run_id,
        if(branch = '', 0, toUInt8(countSubstrings(branch, '.') + 1)) AS depth,
        arraySort(arrayConcat(groupArrayArray(points), arrayMap(time -> (toNullable(time), toUInt8(0), '^', toNullable(time)), any(anew.times)))) AS sorted,
        arrayMap(point -> point.3, sorted) AS course,
        arrayMap(point -> assumeNotNull(point.1), sorted) AS times,
        arrayMap(point -> assumeNotNull(point.4), sorted) AS received
    FROM
    (
        SELECT
            execution_key, run_id, branch, step,
            ifNull(min(ifNull(scheduled_at, ifNull(started_at, waiting_at))), max(ended_at)) AS begun_at,
            max(ended_at) AS last_at,
            transform(argMax(toString(status), attempt), ['completed', 'failed', 'timed_out', 'cancelled', 'skipped'], ['-', '!', '!', '/', '/'], '') AS mark,
            arrayFilter(
                point -> point.1 IS NOT NULL AND point.3 != step,
                [
                    (begun_at, toUInt8(1), concat(if(max(compensates) = '', '+', '*'), step), toNullable(min(first_received_at))),
                    (last_at, toUInt8(if(last_at <= begun_at, 2, 0)), concat(mark, step), ifNull(max(ended_received_at), max(first_received_at)))
                ]) AS points
        FROM attempts_since(folded_from = {folded_from:UInt64})
        WHERE execution_key IN (SELECT execution_key FROM again)
        GROUP BY execution_key, run_id, branch, step, step_run_id
    ) AS r
    LEFT JOIN anew ON anew.execution_key = r.execution_key
    GROUP BY execution_key, run_id, branch
    HAVING count() > uniqExact(step) AND length(sorted) <= {longest:UInt32}
) AS t
INNER JOIN
(
    SELECT execution_key, run_id, namespace, engine, workflow, workflow_version, execution_id
    FROM executions_since(folded_from = {folded_from:UInt64})
    WHERE execution_key IN (SELECT execution_key FROM again)
        AND NOT historical AND workflow != '' AND last_received_at > {from:DateTime64(6, 'UTC')}
) AS x ON x.execution_key = t.execution_key AND x.run_id = t.run_id
GROUP BY namespace, engine, workflow, workflow_version, depth, course
ORDER BY count()
LIMIT {courses:UInt32}
UNION ALL
SELECT
    'sequence' AS kind, x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.workflow_version AS workflow_version,
    0 AS depth, [] AS course,
    [(x.execution_id, [min(e.time)], [argMin(e.received_at, e.time)])] AS seen,
    argMin(toString(e.step), e.time) AS step, argMin(e.later.1, e.time) AS later
FROM
(
    SELECT
        execution_key, run_id, event, step, sequence, time, received_at,
        max(if(event = 'step.completed', sequence, -1)) OVER before AS later_sequence,
        argMax((toString(step), time, received_at), if(event = 'step.completed', sequence, -1)) OVER before AS later
    FROM step_event_log FINAL
    WHERE execution_key IN (SELECT execution_key FROM disordered)
        AND batch >= {folded_from:UInt64} AND sequence >= 0 AND NOT is_replay AND NOT historical
    WINDOW before AS (PARTITION BY execution_key, run_id ORDER BY received_at, sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) AS e
INNER JOIN
(
    SELECT execution_key, namespace, engine, workflow, workflow_version, execution_id
    FROM executions_since(folded_from = {folded_from:UInt64})
    WHERE execution_key IN (SELECT execution_key FROM disordered)
        AND sequence_max >= 0 AND NOT historical AND workflow != '' AND last_received_at > {from:DateTime64(6, 'UTC')}
) AS x ON x.execution_key = e.execution_key
LEFT JOIN anew ON anew.execution_key = e.execution_key
WHERE e.later_sequence > e.sequence AND e.step != '' AND e.later.1 != e.step AND e.later.2 < e.time AND e.later.3 < e.received_at
    AND NOT arrayExists(time -> time > e.later.2 AND time <= e.time, anew.times)
GROUP BY namespace, engine, workflow, workflow_version, x.execution_id, e.run_id
LIMIT 1000
