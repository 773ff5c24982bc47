-- Completed executions of the last days, a sample of each workflow, with their attempts: how its steps follow each other.
-- Workflows that declare a timeout come first: nothing else needs it. `timeout_s` is what the latest execution declared:
-- of all workflows, to be watched, the latest live one, for what is imported never alerts; of one, to be reported, any.
-- `limits`: what the latest ones declared of their steps.
WITH
    workflows AS
    (
        WITH NOT historical OR notEmpty({only:Array(String)}) AS is_heeded
        SELECT
            namespace, engine, workflow,
            argMaxIf(tuple(timeout_s), started_at, is_heeded).1 AS latest_timeout_s,
            maxIf(started_at, is_heeded) AS latest_at,
            groupArraySampleIf({sample:UInt32}, 1)((execution_key, run_id, started_at, assumeNotNull(ended_at)), status = 'completed') AS picked
        FROM executions
        WHERE ended_at > {from:DateTime64(6, 'UTC')}
            AND ended_at <= {until:DateTime64(6, 'UTC')}
            AND workflow != ''
            AND (empty({only:Array(String)}) OR (namespace = {only:Array(String)}[1] AND engine = {only:Array(String)}[2] AND workflow = {only:Array(String)}[3]))
        GROUP BY namespace, engine, workflow
    ),
    chosen AS
    (
        SELECT
            namespace, engine, workflow, latest_timeout_s, latest_at,
            one.1 AS picked_key, one.2 AS picked_run, one.3 AS began_at, one.4 AS ended_at
        FROM workflows
        ARRAY JOIN picked AS one
        ORDER BY latest_timeout_s > 0 DESC NULLS LAST, namespace, engine, workflow
        LIMIT {most:UInt32}
    )
SELECT
    namespace, engine, workflow,
    any(latest_timeout_s) AS timeout_s,
    any(latest_at) AS declared_at,
    groupArray((
        dateDiff('microsecond', began_at, ended_at) / 1e6,
        arrayMap(a -> (a.1, a.2, a.3, a.4, a.5, (a.6 - toUnixTimestamp64Micro(began_at)) / 1e6, (a.7 - toUnixTimestamp64Micro(began_at)) / 1e6), tries))) AS runs,
    arraySlice(arrayReverseSort(one -> one.1, groupArray((began_at, declared))), 1, {latest:UInt32}).2 AS limits
FROM chosen
INNER JOIN
(
    SELECT
        execution_key, run_id,
        groupArray((
            step, branch, step_run_id, attempt, status = 'completed',
            toUnixTimestamp64Micro(ifNull(ifNull(started_at, waiting_at), scheduled_at)), toUnixTimestamp64Micro(ended_at))) AS tries,
        groupUniqArray(100)((step, timeout_s, schedule_to_close_timeout_s, max_attempts, backoff_s, backoff_rate, backoff_max_s)) AS declared
    FROM attempts
    WHERE (execution_key, run_id) IN (SELECT picked_key, picked_run FROM chosen)
        AND ended_at IS NOT NULL
        AND coalesce(started_at, waiting_at, scheduled_at) IS NOT NULL
    GROUP BY execution_key, run_id
) AS seen ON seen.execution_key = picked_key AND seen.run_id = picked_run
GROUP BY namespace, engine, workflow
