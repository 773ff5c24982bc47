-- The executions of the touched keys. Steps:
-- 1. gather per run who, when and how it ended, as the most trusted road that tells of it has it;
-- 2. judge: a start after the end opens it again (a redrive), if it is not the only start, and so does a resumption;
-- 3. leave out those of which retention took events since: what is left of them must not take the place of what was folded then.
INSERT INTO fold_execution
SELECT * EXCEPT (reopened, suspended, followed_at, wakings, known_version)
FROM
(
    WITH
        gathered AS
        (
            SELECT
                any(r.execution_key) AS execution_key, r.run_key AS run_key, any(r.run) AS run,
                any(r.namespace) AS namespace, any(r.engine) AS engine, any(r.execution_id) AS execution_id,
                argMaxIf(r.workflow, place_of_workflow, r.workflow != '') AS workflow,
                argMaxIf(r.workflow_version, place_of_workflow, r.workflow_version != '') AS workflow_version,
                argMaxIf(r.parent_execution_id, place, r.parent_execution_id != '') AS parent_execution_id,
                argMaxOrNullIf(time, trusted_last, is_closing) AS closed_at,
                argMaxIf(kind, word, is_closing) AS closing_kind,
                ifNull(argMinOrNullIf(time, trusted_first, event = 'workflow.started'), min(time)) AS started_at,
                argMaxOrNullIf(time, trusted_last, event = 'workflow.started') AS started_last,
                arraySort(groupArrayIf(time, event = 'workflow.suspended')) AS suspensions,
                arraySort(groupArrayIf(time, event = 'workflow.resumed')) AS resumptions,
                maxIf(time, event != 'step.heartbeat') AS last_progress_at,
                argMaxIf(step, place, event IN ('step.completed', 'step.failed', 'step.timed_out', 'step.skipped', 'step.cancelled')) AS last_step,
                argMaxIf(r.timeout_s, place, is_workflow AND r.timeout_s IS NOT NULL) AS timeout_s,
                argMaxIf(r.error_type, word, is_closing) AS error_type,
                argMaxIf(r.error_message, word, is_closing) AS error_message,
                -- The trace is what spans know best.
                argMinIf(r.trace_id, bitOr(bitShiftLeft(toUInt64(trust > 0), 63), place), r.trace_id != '') AS trace_id,
                max(sequence) AS sequence_max, min(sequence) AS sequence_min,
                uniqExactIf(sequence, sequence >= 0) AS sequences,
                argMax(r.received_at, sequence) AS sequence_received_at,
                max(r.received_at) AS last_received_at,
                maxOrNullIf(r.received_at, is_closing) AS ended_received_at,
                transform(max(trust), [2, 1], ['history', 'event'], 'span') AS road,
                argMax(r.sender, received_last) AS sender,
                min(r.historical) AS historical,
                min(r.batch) AS first_batch
            FROM
            (
                SELECT
                    *,
                    event IN ('workflow.completed', 'workflow.failed', 'workflow.timed_out', 'workflow.cancelled', 'workflow.terminated', 'workflow.continued') AS is_closing,
                    step_key = 0 AS is_workflow,
                    -- What the workflow's own events say comes before what its steps' do.
                    bitOr(bitShiftLeft(toUInt64(is_workflow), 63), place) AS place_of_workflow,
                    -- Of two ends at the same time always the same one counts: of some ids place has the same hash.
                    if(is_closing, (trust, time, kind, event_id), (0, time, '', '')) AS word,
                    bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Micro(received_at)), 12), bitAnd(event_key, 4095)) AS received_last,
                    -- The most trusted come last, and first.
                    bitOr(bitShiftLeft(toUInt64(trust), 62), bitShiftRight(place, 2)) AS trusted_last,
                    bitOr(bitShiftLeft(toUInt64(3 - trust), 62), bitShiftRight(place, 2)) AS trusted_first
                FROM fold_event
            ) AS r
            GROUP BY r.run_key
        ),
        counted AS
        (
            SELECT execution_key AS counted_key, count() AS events_seen
            FROM fold_event
            GROUP BY execution_key
        ),
        -- Temporal has one open run per workflow id, Durable one generation per instance: where the next one began, this one had
        -- ended, though nothing that came ever said so.
        followed AS
        (
            SELECT execution_key AS followed_key, arraySort(groupArray((started_at, run))) AS starts_of_runs
            FROM
            (
                SELECT execution_key, run, ifNull(minOrNullIf(time, event = 'workflow.started'), min(time)) AS started_at
                FROM fold_event
                WHERE engine IN ('temporal', 'durable')
                GROUP BY execution_key, run
            )
            GROUP BY execution_key
            HAVING count() > 1
        )
    SELECT
        gathered.execution_key AS execution_key, namespace, engine, workflow, workflow_version, execution_id, run AS run_id, parent_execution_id,
        multiIf(
            closed_at IS NOT NULL AND NOT reopened, closing_kind,
            followed_at IS NOT NULL, 'continued',
            suspended, 'suspended',
            'running') AS status,
        started_at,
        if(closed_at IS NULL OR reopened, followed_at, closed_at) AS ended_at,
        if(suspended, suspensions[-1], NULL) AS suspended_at,
        arrayReduce('intervalLengthSum', suspended_spans.1, suspended_spans.2) / 1e6 AS suspended_s,
        -- Each suspension lasted until the next resumption or the end; the one still open is not counted here.
        arrayFilter(span -> span.2 > 0, arrayMap(s -> (toUnixTimestamp64Micro(s), toUnixTimestamp64Micro(arrayFirst(r -> r > s, wakings))), suspensions)) AS suspended_spans,
        last_progress_at, last_step, timeout_s, error_type, error_message, trace_id,
        sequence_max, sequences, sequence_received_at, run_key, sequence_min >= 0 AS all_sequenced,
        last_received_at, ifNull(ended_received_at, if(followed_at IS NULL, NULL, last_received_at)) AS ended_received_at,
        road, sender, historical,
        -- The events of the whole execution: an event that moves between runs must not make a version fall.
        counted.events_seen AS version,
        first_batch,
        touched.known_version AS known_version,
        (closed_at IS NOT NULL) AND (ifNull(started_last > started_at AND started_last > closed_at, false) OR (notEmpty(resumptions) AND resumptions[-1] > closed_at)) AS reopened,
        notEmpty(suspensions) AND (empty(resumptions) OR suspensions[-1] > resumptions[-1]) AND (closed_at IS NULL OR suspensions[-1] > closed_at) AS suspended,
        arrayFirstOrNull(s -> true, arrayMap(r -> r.1, arrayFilter(r -> r > (started_at, run), followed.starts_of_runs))) AS followed_at,
        arraySort(arrayConcat(resumptions, if(closed_at IS NULL, [], [assumeNotNull(closed_at)]))) AS wakings
    FROM gathered
    LEFT ANY JOIN counted ON gathered.execution_key = counted.counted_key
    LEFT ANY JOIN followed ON gathered.execution_key = followed.followed_key
    LEFT ANY JOIN fold_touched AS touched ON gathered.execution_key = touched.execution_key
)
WHERE version >= known_version
