-- Attempts that are open or ended lately, counted by everything that may be why some of them are in trouble. Executions in
-- which nothing is open stand for the step that ended last. Those of the `named` executions are counted one by one. Of the
-- others some `background` of either kind is read and stands for the rest, by a hash of the execution's id: an id never
-- changes, so rows can be left out before they are merged. What is imported is no background, and must not thin it out.
WITH
    toUInt64(1 + intDiv((SELECT count() FROM open_attempt), {background:UInt64})) AS open_of,
    toUInt64(1 + intDiv((SELECT count() FROM recent_attempt WHERE folded >= {folded_from:UInt64} AND NOT historical AND ended_at > {from:DateTime64(6, 'UTC')}), {background:UInt64})) AS ended_of
SELECT
    namespace, engine, workflow, workflow_version, step, queue, worker, downstream, region, is_open, has_failed,
    if(is_named, execution_id, '') AS execution,
    sum(if(is_named, 1, one_of)) AS attempts
FROM
(
    SELECT
        namespace, engine, workflow, workflow_version, step, queue, worker, downstream, region, execution_id,
        execution_id IN {named:Array(String)} AS is_named, true AS is_open, false AS has_failed, open_of AS one_of
    FROM open_attempt FINAL
    PREWHERE execution_id IN {named:Array(String)} OR CRC32(execution_id) % open_of = 0
    WHERE NOT historical AND workflow != '' AND (status != 'waiting' OR is_named)
    UNION ALL
    SELECT
        namespace, engine, workflow, workflow_version, last_step, '', '', '', '', execution_id,
        execution_id IN {named:Array(String)} AS is_named, true, false, open_of
    FROM open_execution FINAL
    PREWHERE execution_id IN {named:Array(String)} OR CRC32(execution_id) % open_of = 0
    WHERE NOT historical AND workflow != '' AND status = 'running' AND open_steps = 0
    UNION ALL
    SELECT
        namespace, engine, workflow, workflow_version, step, queue, worker, downstream, region, execution_id,
        execution_id IN {named:Array(String)} AS is_named, false, status IN ('failed', 'timed_out'), ended_of
    FROM attempts_since(folded_from = {folded_from:UInt64})
    WHERE (execution_id IN {named:Array(String)} OR CRC32(execution_id) % ended_of = 0)
        AND ended_at > {from:DateTime64(6, 'UTC')} AND ended_at <= {until:DateTime64(6, 'UTC')}
        AND status IN ('completed', 'failed', 'timed_out')
        AND NOT historical AND workflow != ''
)
GROUP BY ALL
