-- Executions that failed lately, of workflows that undo what they did: their completed steps that undo nothing, and the steps that began
-- (with what they undo). `declared`: what steps of the workflow say that they undo, of late: the calibration may not know of it yet.
WITH declaring AS
(
    SELECT namespace, engine, workflow, groupUniqArray((toString(step), toString(compensates))) AS declared
    FROM recent_attempt
    WHERE folded >= {folded_from:UInt64} AND compensates != '' AND workflow != ''
    GROUP BY namespace, engine, workflow
)
SELECT
    x.namespace AS namespace, x.engine AS engine, x.workflow AS workflow, x.execution_id AS execution_id,
    x.ended_at AS ended_at, x.received_at AS received_at, x.error_type AS error_type, x.sender AS sender,
    a.done AS done, a.begun AS begun, declaring.declared AS declared
FROM
(
    SELECT
        execution_key, run_id,
        groupArrayIf((toString(step), assumeNotNull(ended_at)), status = 'completed' AND compensates = '') AS done,
        groupArrayIf(
            (toString(step), toString(compensates), ifNull(ifNull(started_at, scheduled_at), assumeNotNull(ended_at))),
            started_at IS NOT NULL OR status IN ('completed', 'failed', 'timed_out') OR (road = 'span' AND scheduled_at IS NOT NULL)) AS begun
    FROM attempts_since(folded_from = {folded_from:UInt64})
    WHERE execution_key IN
    (
        SELECT execution_key
        FROM executions_since(folded_from = {folded_from:UInt64})
        WHERE status IN ('failed', 'timed_out') AND NOT historical
            AND (workflow IN {workflows:Array(String)} OR workflow IN (SELECT workflow FROM declaring))
            AND ended_received_at > {from:DateTime64(6, 'UTC')}
    )
    GROUP BY execution_key, run_id
) AS a
INNER JOIN
(
    SELECT execution_key, run_id, namespace, engine, workflow, execution_id, error_type, sender, assumeNotNull(e.ended_at) AS ended_at, assumeNotNull(ended_received_at) AS received_at
    FROM executions_since(folded_from = {folded_from:UInt64}) AS e
    WHERE status IN ('failed', 'timed_out') AND NOT historical
        AND (workflow IN {workflows:Array(String)} OR workflow IN (SELECT workflow FROM declaring))
        AND e.ended_at >= {epoch:DateTime64(6, 'UTC')} AND ended_received_at > {from:DateTime64(6, 'UTC')} AND ended_received_at <= {until:DateTime64(6, 'UTC')}
) AS x ON x.execution_key = a.execution_key AND x.run_id = a.run_id
LEFT JOIN declaring ON declaring.namespace = x.namespace AND declaring.engine = x.engine AND declaring.workflow = x.workflow
ORDER BY ended_at, execution_id
LIMIT 10000
