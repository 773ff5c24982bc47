-- The events of each attempt, gathered. What an event hardly ever says is gathered apart, from the events that say it.
INSERT INTO fold_gathered
WITH
    numbered AS
    (
        SELECT
            *, step_run_id AS call_id, toUInt64(0) AS call_number, toUInt32(greatest(1, attempt)) AS number,
            -- Where every event of the run has a sequence number, that is their order.
            if(sequence < 0 OR run_key NOT IN (SELECT run_key FROM fold_execution WHERE all_sequenced), place,
                bitOr(bitShiftLeft(toUInt64(sequence), 12), bitAnd(place, 4095))) AS ordinal,
            ordinal AS span_ordinal,
            sipHash64(step_key, call_id, call_number) AS call_key,
            sipHash64(call_key, number) AS attempt_key
        FROM fold_event
        WHERE step_key != 0 AND step_key NOT IN (SELECT step_key FROM fold_complex)
        {{in_order}}
    ),
    gathered AS
    (
        SELECT
            attempt_key, any(g.execution_key) AS execution_key, any(g.run_key) AS run_key, any(g.run) AS run, any(g.step) AS step, any(g.branch) AS branch,
            any(g.call_id) AS call_id, any(g.call_number) AS call_number, any(g.call_key) AS call_key, any(g.number) AS number,
            any(g.namespace) AS namespace, any(g.engine) AS engine, any(g.execution_id) AS execution_id,
            minOrNullIf(time, kind = 'scheduled') AS scheduled_at,
            minOrNullIf(time, kind = 'started') AS started_at,
            -- A wait is over when the step starts (again) behind it.
            maxOrNullIf(time, kind = 'started') AS started_last,
            argMaxIf(kind, ordinal, kind IN ('completed', 'cancelled', 'skipped', 'failed', 'timed_out')) AS end_kind,
            minOrNullIf(time, kind = 'completed') AS completed_at,
            minOrNullIf(time, kind IN ('cancelled', 'skipped')) AS dropped_at,
            minOrNullIf(time, kind IN ('failed', 'timed_out')) AS failed_at,
            minOrNullIf(g.received_at, kind IN ('completed', 'cancelled', 'skipped', 'failed', 'timed_out')) AS ended_received_at,
            argMaxIf(g.queue, ordinal, g.queue != '') AS queue,
            argMaxIf(g.worker, ordinal, g.worker != '') AS worker,
            argMaxIf(g.downstream, ordinal, g.downstream != '') AS downstream,
            argMaxIf(g.error_type, ordinal, g.error_type != '') AS error_type,
            argMaxIf(g.error_message, ordinal, g.error_message != '') AS error_message,
            transform(max(trust), [2, 1], ['history', 'event'], 'span') AS road,
            argMaxIf(g.trace_id, span_ordinal, g.trace_id != '') AS trace_id,
            argMaxIf(g.span_id, span_ordinal, g.span_id != '') AS span_id,
            arraySort(
                s -> (s.2, s.1),
                arrayZip(
                    groupArrayIf(event_id, g.event = 'step.started'), groupArrayIf(time, g.event = 'step.started'),
                    groupArrayIf(toString(g.road), g.event = 'step.started'), groupArrayIf(g.received_at, g.event = 'step.started'))) AS starts,
            argMax(g.sender, g.received_at) AS sender,
            min(g.historical) AS historical,
            min(g.received_at) AS first_received_at,
            max(time) AS last_event_at
        FROM numbered AS g
        GROUP BY attempt_key
    ),
    said AS
    (
        SELECT
            attempt_key,
            maxOrNullIf(time, kind = 'heartbeat') AS last_heartbeat_at,
            maxOrNullIf(time, kind = 'waiting') AS waiting_at,
            maxOrNullIf(time, kind = 'retrying') AS retrying_at,
            argMaxIf(g.waiting_on, ordinal, g.waiting_on != '') AS waiting_on,
            argMaxIf(g.due, ordinal, g.due IS NOT NULL) AS due,
            argMaxIf(g.timeout_s, ordinal, g.timeout_s IS NOT NULL) AS timeout_s,
            argMaxIf(g.heartbeat_timeout_s, ordinal, g.heartbeat_timeout_s IS NOT NULL) AS heartbeat_timeout_s,
            argMaxIf(g.schedule_to_start_timeout_s, ordinal, g.schedule_to_start_timeout_s IS NOT NULL) AS schedule_to_start_timeout_s,
            argMaxIf(g.schedule_to_close_timeout_s, ordinal, g.schedule_to_close_timeout_s IS NOT NULL) AS schedule_to_close_timeout_s,
            argMaxIf(g.max_attempts, ordinal, g.max_attempts IS NOT NULL) AS max_attempts,
            argMaxIf(g.backoff_s, ordinal, g.backoff_s IS NOT NULL) AS backoff_s,
            argMaxIf(g.backoff_rate, ordinal, g.backoff_rate IS NOT NULL) AS backoff_rate,
            argMaxIf(g.backoff_max_s, ordinal, g.backoff_max_s IS NOT NULL) AS backoff_max_s,
            argMaxIf(g.region, ordinal, g.region != '') AS region,
            argMaxIf(g.idempotency_key, ordinal, g.idempotency_key != '') AS idempotency_key,
            argMaxIf(g.compensates, ordinal, g.compensates != '') AS compensates,
            max(g.payload_bytes) AS payload_bytes
        FROM numbered AS g
        WHERE says_more
        GROUP BY attempt_key
    )
SELECT gathered.* EXCEPT (attempt_key), said.* EXCEPT (attempt_key)
FROM gathered
LEFT ANY JOIN said ON gathered.attempt_key = said.attempt_key
