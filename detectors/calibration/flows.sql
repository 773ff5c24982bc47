-- The courses that executions closed lately took, each branch by itself, and how many took each: what began and ended in which order.
-- A text is a mark (+ began, * began and undoes another step, - completed, ! failed for good, / cancelled or skipped) and the step's
-- name. What ends goes before what begins at the same instant, unless it began then itself. Not `in_order`: only what began and what
-- failed, by name; of the workflows in `only`, if there are any.
SELECT
    namespace, engine, workflow, workflow_version, depth, course, completed,
    count() AS n,
    min(ended_at) AS first_at,
    arrayMap(seen -> seen.2, groupArraySorted(3)((ended_at, execution_id))) AS executions
FROM
(
    SELECT
        execution_key, run_id,
        if(branch = '', 0, toUInt8(countSubstrings(branch, '.') + 1)) AS depth,
        arrayMap(point -> point.3, arraySort(groupArrayArray(points))) AS ordered,
        if({in_order:Bool}, ordered, arraySort(arrayFilter(text -> substring(text, 1, 1) IN ('+', '*', '!'), ordered))) AS course
    FROM
    (
        SELECT
            execution_key, run_id, branch,
            ifNull(min(ifNull(scheduled_at, ifNull(started_at, waiting_at))), max(ended_at)) AS begun_at,
            max(ended_at) AS last_at,
            transform(argMax(toString(status), attempt), ['completed', 'failed', 'timed_out', 'cancelled', 'skipped'], ['-', '!', '!', '/', '/'], '') AS mark,
            arrayFilter(
                point -> point.1 IS NOT NULL AND point.3 != step,
                [(begun_at, 1, concat(if(max(compensates) = '', '+', '*'), step)), (last_at, if(last_at <= begun_at, 2, 0), concat(mark, step))]) AS points
        FROM attempt_fold FINAL
        WHERE folded >= {folded_from:UInt64}
            AND execution_key IN (SELECT execution_key FROM execution_fold FINAL WHERE folded >= {folded_from:UInt64} AND ended_at > {from:DateTime64(6, 'UTC')} AND ended_at <= {until:DateTime64(6, 'UTC')} AND workflow != '' AND (empty({only:Array(String)}) OR workflow IN {only:Array(String)}) ORDER BY ended_at DESC LIMIT {most:UInt32} BY namespace, engine, workflow LIMIT {most_of_all:UInt32})
        GROUP BY execution_key, run_id, branch, step, step_run_id
        UNION ALL
        SELECT execution_key, run_id, '' AS branch, NULL AS begun_at, NULL AS last_at, '' AS mark, [] AS points
        FROM execution_fold FINAL
        WHERE folded >= {folded_from:UInt64} AND ended_at > {from:DateTime64(6, 'UTC')} AND ended_at <= {until:DateTime64(6, 'UTC')} AND workflow != '' AND (empty({only:Array(String)}) OR workflow IN {only:Array(String)})
        ORDER BY ended_at DESC LIMIT {most:UInt32} BY namespace, engine, workflow LIMIT {most_of_all:UInt32}
    )
    GROUP BY execution_key, run_id, branch
    HAVING length(ordered) <= {longest:UInt32}
) AS t
INNER JOIN
(
    SELECT execution_key, run_id, namespace, engine, workflow, workflow_version, execution_id, status = 'completed' AS completed, assumeNotNull(execution_fold.ended_at) AS ended_at
    FROM execution_fold FINAL
    WHERE folded >= {folded_from:UInt64} AND execution_fold.ended_at > {from:DateTime64(6, 'UTC')} AND execution_fold.ended_at <= {until:DateTime64(6, 'UTC')} AND workflow != ''
        AND status IN ('completed', 'failed', 'timed_out', 'continued')
) AS x ON x.execution_key = t.execution_key AND x.run_id = t.run_id
GROUP BY namespace, engine, workflow, workflow_version, depth, course, completed
ORDER BY n DESC
LIMIT {courses:UInt32} BY namespace, engine, workflow
LIMIT {courses_of_all:UInt32}
SETTINGS use_skip_indexes_if_final = 1
