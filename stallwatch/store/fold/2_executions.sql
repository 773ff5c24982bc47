-- The executions of the touched keys. Steps:
-- 1. gather per run who, when and how it ended;
-- 2. judge: a start after the end opens it again (a redrive), if it is not the only start, and so does a resumption.
INSERT INTO fold_execution
SELECT * EXCEPT (reopened, suspended, followed_at, wakings)
FROM
(
    WITH gathered AS
    (
        SELECT
            r.execution_key AS execution_key, r.run AS run,
                any(r.namespace) AS namespace, any(r.engine) AS engine, any(r.execution_id) AS execution_id,
                argMaxIf(r.workflow, (is_workflow, time, event_id), r.workflow != '') AS workflow,
                argMaxIf(r.workflow_version, (is_workflow, time, event_id), r.workflow_version != '') AS workflow_version,
                argMaxIf(r.parent_execution_id, (time, event_id), r.parent_execution_id != '') AS parent_execution_id,
                maxOrNullIf(time, is_closing) AS closed_at,
                substring(argMaxIf(event, (time, event_id), is_closing), 10) AS closing_kind,
                ifNull(minOrNullIf(time, event = 'workflow.started'), min(time)) AS started_at,
                maxOrNullIf(time, event = 'workflow.started') AS started_last,
                countIf(event = 'workflow.started') AS starts,
                arraySort(groupArrayIf(time, event = 'workflow.suspended')) AS suspensions,
                arraySort(groupArrayIf(time, event = 'workflow.resumed')) AS resumptions,
                maxIf(time, event != 'step.heartbeat') AS last_progress_at,
                argMaxIf(step, (time, event_id), event IN ('step.completed', 'step.failed', 'step.timed_out', 'step.skipped', 'step.cancelled')) AS last_step,
                argMaxIf(r.timeout_s, (time, event_id), is_workflow AND r.timeout_s IS NOT NULL) AS timeout_s,
                argMaxIf(r.error_type, (time, event_id), is_closing) AS error_type,
                argMaxIf(r.error_message, (time, event_id), is_closing) AS error_message,
                argMinIf(r.trace_id, (time, event_id), r.trace_id != '') AS trace_id,
                max(sequence) AS sequence_max, min(sequence) AS sequence_min,
                uniqExactIf(sequence, sequence >= 0) AS sequences,
                argMax(r.received_at, sequence) AS sequence_received_at,
                max(r.received_at) AS last_received_at,
                maxOrNullIf(r.received_at, is_closing) AS ended_received_at,
                groupUniqArray(toString(road)) AS roads,
                argMax(r.sender, (r.received_at, event_id)) AS sender,
                min(r.historical) AS historical,
                count() AS events_seen
        FROM
        (
            SELECT
                *,
                event IN ('workflow.completed', 'workflow.failed', 'workflow.timed_out', 'workflow.cancelled', 'workflow.terminated', 'workflow.continued') AS is_closing,
                startsWith(event, 'workflow.') AS is_workflow
            FROM fold_event
        ) AS r
        GROUP BY r.execution_key, r.run
    )
    SELECT
        execution_key, namespace, engine, workflow, workflow_version, execution_id, run AS run_id, parent_execution_id,
        multiIf(
            closed_at IS NOT NULL AND NOT reopened, closing_kind,
            followed_at IS NOT NULL, 'continued',
            suspended, 'suspended',
            'running') AS status,
        started_at,
        if(closed_at IS NULL OR reopened, followed_at, closed_at) AS ended_at,
        if(suspended, suspensions[-1], NULL) AS suspended_at,
        -- Each suspension lasted until the next resumption or the end; the one still open is not counted here.
        arraySum(s -> ifNull(dateDiff('microsecond', s, arrayFirstOrNull(r -> r > s, wakings)) / 1e6, 0), suspensions) AS suspended_s,
        last_progress_at, last_step, timeout_s, error_type, error_message, trace_id,
        sequence_max, sequences, sequence_received_at, sequence_min >= 0 AS all_sequenced,
        last_received_at, ifNull(ended_received_at, if(followed_at IS NULL, NULL, last_received_at)) AS ended_received_at,
        multiIf(has(roads, 'history'), 'history', has(roads, 'event'), 'event', 'span') AS road,
        sender, historical,
        -- The events of the whole execution: an event that moves between runs must not make a version fall.
        sum(events_seen) OVER (PARTITION BY execution_key) AS version,
        (closed_at IS NOT NULL) AND ((starts > 1 AND started_last > closed_at) OR (notEmpty(resumptions) AND resumptions[-1] > closed_at)) AS reopened,
        notEmpty(suspensions) AND (empty(resumptions) OR suspensions[-1] > resumptions[-1]) AND (closed_at IS NULL OR suspensions[-1] > closed_at) AS suspended,
        -- Temporal has one open run per workflow id: where the next one began, this one had ended, though its spans never say so.
        if(engine = 'temporal', minOrNull(started_at) OVER (PARTITION BY execution_key ORDER BY started_at, run ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), NULL) AS followed_at,
        arraySort(arrayConcat(resumptions, if(closed_at IS NULL, [], [assumeNotNull(closed_at)]))) AS wakings
    FROM gathered
)
