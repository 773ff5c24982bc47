-- The courses (as in calibration/flows.sql) of executions without sequence numbers that were heard of lately, with up to three that took
-- each; of these the times of each point and when each was received. Their end is a point behind the last. `whole`: they began when the
-- watch had begun. Of workflows that have branches (`branched`) also the whole of an execution, under the depth `whole`: what failed, and
-- the steps that ran once in it, in no order; `inside`: other steps began before all that only run in branches (`inner`), and ended after them.
WITH candidates AS
(
    -- Before rows are deduplicated; where nothing has ended there is no way to look at.
    SELECT execution_key, workflow IN {branched:Array(String)} AS is_branched
    FROM recent_execution
    WHERE folded >= {folded_from:UInt64} AND sequence_max < 0 AND NOT historical AND workflow != ''
        AND status IN ('running', 'completed') AND (attempts > open_steps OR status = 'completed') AND last_received_at > {from:DateTime64(6, 'UTC')}
)
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.workflow_version AS workflow_version,
    t.depth AS depth, t.course AS course, t.inside AS inside, x.status = 'completed' AS completed, x.started_at >= {epoch:DateTime64(6, 'UTC')} AS whole,
    count() AS n,
    arraySort(groupArraySorted(3)((x.last_received_at, x.execution_id, arrayPushBack(t.times, ifNull(x.ended_at, x.last_progress_at)), arrayPushBack(t.received, ifNull(x.ended_received_at, x.last_received_at))))) AS seen
FROM
(
    SELECT
        execution_key, run_id,
        multiIf(part.2, {whole:UInt8}, part.1 = '', 0, toUInt8(countSubstrings(part.1, '.') + 1)) AS depth,
        arraySort(groupArrayArray(points)) AS sorted,
        arrayMap(point -> point.3, sorted) AS texts,
        if(part.2, arraySort(arrayFilter(text -> startsWith(text, '!') OR (substring(text, 1, 1) IN ('+', '*') AND countEqual(texts, text) = 1), texts)), texts) AS course,
        if(part.2, [], arrayMap(point -> assumeNotNull(point.1), sorted)) AS times,
        if(part.2, [], arrayMap(point -> assumeNotNull(point.4), sorted)) AS received,
        part.2 AND ifNull(minIf(begun_at, NOT is_inner) < minIf(begun_at, is_inner) AND maxIf(last_at, NOT is_inner) > maxIf(last_at, is_inner), false) AS inside
    FROM
    (
        SELECT
            execution_key, run_id, branch, step IN {inner:Array(String)} AS is_inner,
            ifNull(min(ifNull(scheduled_at, ifNull(started_at, waiting_at))), max(ended_at)) AS begun_at,
            max(ended_at) AS last_at,
            transform(argMax(toString(status), attempt), ['completed', 'failed', 'timed_out', 'cancelled', 'skipped'], ['-', '!', '!', '/', '/'], '') AS mark,
            arrayFilter(
                point -> point.1 IS NOT NULL AND point.3 != step,
                [
                    (begun_at, 1, concat(if(max(compensates) = '', '+', '*'), step), toNullable(min(first_received_at))),
                    (last_at, if(last_at <= begun_at, 2, 0), concat(mark, step), ifNull(max(ended_received_at), max(first_received_at)))
                ]) AS points
        FROM attempts_since(folded_from = {folded_from:UInt64})
        WHERE execution_key IN (SELECT execution_key FROM candidates)
        GROUP BY execution_key, run_id, branch, step, step_run_id
        UNION ALL
        SELECT execution_key, run_id, '' AS branch, 0 AS is_inner, NULL AS begun_at, NULL AS last_at, '' AS mark, [] AS points
        FROM executions_since(folded_from = {folded_from:UInt64})
        WHERE execution_key IN (SELECT execution_key FROM candidates)
            AND sequence_max < 0 AND NOT historical AND workflow != '' AND status = 'completed' AND last_received_at > {from:DateTime64(6, 'UTC')}
    )
    ARRAY JOIN if(execution_key IN (SELECT execution_key FROM candidates WHERE is_branched), [(branch, false), ('', true)], [(branch, false)]) AS part
    GROUP BY execution_key, run_id, part
    HAVING length(sorted) <= {longest:UInt32}
) AS t
INNER JOIN
(
    SELECT execution_key, run_id, namespace, engine, workflow, workflow_version, execution_id, status, started_at, ended_at, ended_received_at, last_received_at, last_progress_at
    FROM executions_since(folded_from = {folded_from:UInt64})
    WHERE execution_key IN (SELECT execution_key FROM candidates)
        AND sequence_max < 0 AND NOT historical AND workflow != '' AND status IN ('running', 'completed') AND last_received_at > {from:DateTime64(6, 'UTC')}
) AS x ON x.execution_key = t.execution_key AND x.run_id = t.run_id
GROUP BY namespace, engine, workflow, workflow_version, depth, course, inside, completed, whole
ORDER BY n
LIMIT {courses:UInt32}
