-- The latest live executions of each workflow that declare a timeout of the whole, those that run and those that ended lately,
-- each with the attempts of its own, or of the execution that started it, and what these declare.
WITH
    declaring AS
    (
        SELECT
            namespace, engine, workflow, workflow_version, execution_id, parent_execution_id, started_at, timeout_s,
            arrayDistinct([execution_key, if(parent_execution_id = '', execution_key, sipHash64(namespace, engine, parent_execution_id))]) AS keys
        FROM
        (
            SELECT * FROM open_execution FINAL
            WHERE execution_key IN (SELECT execution_key FROM open_execution WHERE timeout_s > 0) AND timeout_s > 0 AND NOT historical AND workflow != ''
            UNION ALL
            SELECT * FROM executions_since(folded_from = {folded_from:UInt64})
            WHERE execution_key IN (SELECT execution_key FROM recent_execution WHERE folded >= {folded_from:UInt64} AND timeout_s > 0)
                AND ended_at IS NOT NULL AND timeout_s > 0 AND NOT historical AND workflow != ''
        )
        ORDER BY started_at DESC, execution_id
        LIMIT {each:UInt32} BY namespace, engine, workflow
        LIMIT {most:UInt32}
    )
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.workflow_version AS workflow_version,
    x.execution_id AS execution_id, x.started_at AS started_at, assumeNotNull(x.timeout_s) AS timeout_s,
    key != x.keys[1] AS is_parent, a.its_workflow AS its_workflow, a.its_execution AS its_execution, a.attempts AS attempts
FROM (SELECT *, arrayJoin(keys) AS key FROM declaring) AS x
LEFT JOIN
(
    SELECT
        execution_key, any(workflow) AS its_workflow, any(execution_id) AS its_execution,
        groupArray({attempts:UInt32})((
            step, branch, waiting_on, coalesce(scheduled_at, started_at, waiting_at), ended_at,
            timeout_s, schedule_to_close_timeout_s, max_attempts, backoff_s, backoff_rate, backoff_max_s)) AS attempts
    FROM attempt_fold FINAL
    WHERE execution_key IN (SELECT arrayJoin(keys) FROM declaring)
    GROUP BY execution_key
) AS a ON a.execution_key = key
ORDER BY started_at DESC, execution_id, is_parent
