-- What had completed (in the order of its ends) and what had begun in executions that failed in the last days or undid something, how
-- many of them went so, and how long after its execution's end each of a sample of steps began (0: before it).
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.failed AS failed, d.done AS done, d.begun AS begun,
    count() AS n,
    groupArraySample(200, 1)(arrayMap(one -> (one.1, one.2, greatest(0, dateDiff('microsecond', x.ended_at, one.3) / 1e6)), d.begins)) AS delays
FROM
(
    SELECT
        execution_key, run_id,
        arrayDistinct(arrayMap(one -> one.2, arraySort(groupArrayIf((assumeNotNull(ended_at), toString(step)), status = 'completed' AND compensates = '')))) AS done,
        groupArrayIf((toString(step), toString(compensates), assumeNotNull(begun_at)), begun_at IS NOT NULL AND attempt <= 1) AS begins,
        arraySort(arrayDistinct(arrayMap(one -> (one.1, one.2), begins))) AS begun
    FROM
    (
        SELECT *, ifNull(started_at, if(status IN ('completed', 'failed', 'timed_out'), ended_at, NULL)) AS begun_at
        FROM attempt_fold FINAL
        WHERE folded >= {folded_from:UInt64}
            AND execution_key IN
            (
                SELECT execution_key
                FROM execution_fold FINAL
                WHERE folded >= {folded_from:UInt64} AND status IN ('failed', 'timed_out') AND workflow != ''
                    AND ended_at > {from:DateTime64(6, 'UTC')} AND ended_at <= {until:DateTime64(6, 'UTC')}
                ORDER BY ended_at DESC LIMIT {most:UInt32} BY namespace, engine, workflow LIMIT {most_of_all:UInt32}
                UNION DISTINCT
                SELECT execution_key FROM attempt_fold WHERE folded >= {folded_from:UInt64} AND compensates != '' LIMIT {most_of_all:UInt32}
            )
    )
    GROUP BY execution_key, run_id
) AS d
INNER JOIN
(
    SELECT execution_key, run_id, namespace, engine, workflow, status IN ('failed', 'timed_out') AS failed, ifNull(execution_fold.ended_at, last_progress_at) AS ended_at
    FROM execution_fold FINAL
    WHERE folded >= {folded_from:UInt64} AND workflow != ''
) AS x ON x.execution_key = d.execution_key AND x.run_id = d.run_id
GROUP BY namespace, engine, workflow, failed, done, begun
ORDER BY n DESC
LIMIT 1000 BY namespace, engine, workflow
LIMIT 20000
SETTINGS use_skip_indexes_if_final = 1
