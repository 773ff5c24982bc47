-- What ran in the whole of executions, whatever the branch, of the workflows in `only`: the names of the steps that ran once in an
-- execution that completed lately without a step that failed for good. What runs more often (a loop, a fan-out) may as well not run at all.
SELECT
    namespace, engine, workflow, workflow_version, {whole:UInt8} AS depth, course, true AS completed,
    count() AS n,
    min(ended_at) AS first_at,
    arrayMap(seen -> seen.2, groupArraySorted(3)((ended_at, execution_id))) AS executions
FROM
(
    SELECT
        execution_key, run_id,
        groupArray(step) AS steps,
        arrayMap(name -> concat('+', name), arraySort(arrayFilter(name -> countEqual(steps, name) = 1, steps))) AS course
    FROM
    (
        SELECT execution_key, run_id, step, argMax(status, attempt) IN ('failed', 'timed_out') AS failed
        FROM attempt_fold FINAL
        WHERE folded >= {folded_from:UInt64}
            AND execution_key IN (SELECT execution_key FROM execution_fold FINAL WHERE folded >= {folded_from:UInt64} AND ended_at > {from:DateTime64(6, 'UTC')} AND ended_at <= {until:DateTime64(6, 'UTC')} AND workflow IN {only:Array(String)} AND status = 'completed' ORDER BY ended_at DESC LIMIT {most:UInt32} BY namespace, engine, workflow LIMIT {most_of_all:UInt32})
        GROUP BY execution_key, run_id, branch, step, step_run_id
    )
    GROUP BY execution_key, run_id
    HAVING max(failed) = 0 AND length(steps) <= {longest:UInt32}
) AS t
INNER JOIN
(
    SELECT execution_key, run_id, namespace, engine, workflow, workflow_version, execution_id, assumeNotNull(execution_fold.ended_at) AS ended_at
    FROM execution_fold FINAL
    WHERE folded >= {folded_from:UInt64} AND execution_fold.ended_at > {from:DateTime64(6, 'UTC')} AND execution_fold.ended_at <= {until:DateTime64(6, 'UTC')} AND workflow IN {only:Array(String)} AND status = 'completed'
) AS x ON x.execution_key = t.execution_key AND x.run_id = t.run_id
GROUP BY namespace, engine, workflow, workflow_version, course
ORDER BY n DESC
LIMIT {courses:UInt32} BY namespace, engine, workflow
LIMIT {courses_of_all:UInt32}
SETTINGS use_skip_indexes_if_final = 1
