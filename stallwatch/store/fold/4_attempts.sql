-- The attempts of the touched keys: each gathered from its events, then judged beside its siblings and its execution.
INSERT INTO fold_attempt
WITH
    gathered AS
    (
        SELECT
            g.execution_key AS execution_key, run, step, branch, call_id, call_number, number,
            any(g.namespace) AS namespace, any(g.engine) AS engine, any(g.execution_id) AS execution_id,
            minOrNullIf(time, kind = 'scheduled') AS scheduled_at,
            minOrNullIf(time, kind = 'started') AS started_at,
            maxOrNullIf(time, kind = 'heartbeat') AS last_heartbeat_at,
            maxOrNullIf(time, kind = 'waiting') AS waiting_at,
            -- A wait is over when the step starts (again) behind it.
            maxOrNullIf(time, kind = 'started') AS started_last,
            argMaxIf(kind, (position, rank, event_id), kind IN ('completed', 'cancelled', 'skipped', 'failed', 'timed_out')) AS end_kind,
            minOrNullIf(time, kind = 'completed') AS completed_at,
            minOrNullIf(time, kind IN ('cancelled', 'skipped')) AS dropped_at,
            minOrNullIf(time, kind IN ('failed', 'timed_out')) AS failed_at,
            minOrNullIf(g.received_at, kind IN ('completed', 'cancelled', 'skipped', 'failed', 'timed_out')) AS ended_received_at,
            maxOrNullIf(time, kind = 'retrying') AS retrying_at,
            argMaxIf(g.waiting_on, (position, event_id), g.waiting_on != '') AS waiting_on,
            argMaxIf(g.due, (position, event_id), g.due IS NOT NULL) AS due,
            argMaxIf(g.timeout_s, (position, event_id), g.timeout_s IS NOT NULL) AS timeout_s,
            argMaxIf(g.heartbeat_timeout_s, (position, event_id), g.heartbeat_timeout_s IS NOT NULL) AS heartbeat_timeout_s,
            argMaxIf(g.schedule_to_start_timeout_s, (position, event_id), g.schedule_to_start_timeout_s IS NOT NULL) AS schedule_to_start_timeout_s,
            argMaxIf(g.schedule_to_close_timeout_s, (position, event_id), g.schedule_to_close_timeout_s IS NOT NULL) AS schedule_to_close_timeout_s,
            argMaxIf(g.max_attempts, (position, event_id), g.max_attempts IS NOT NULL) AS max_attempts,
            argMaxIf(g.backoff_s, (position, event_id), g.backoff_s IS NOT NULL) AS backoff_s,
            argMaxIf(g.backoff_rate, (position, event_id), g.backoff_rate IS NOT NULL) AS backoff_rate,
            argMaxIf(g.backoff_max_s, (position, event_id), g.backoff_max_s IS NOT NULL) AS backoff_max_s,
            argMaxIf(g.queue, (position, event_id), g.queue != '') AS queue,
            argMaxIf(g.worker, (position, event_id), g.worker != '') AS worker,
            argMaxIf(g.downstream, (position, event_id), g.downstream != '') AS downstream,
            argMaxIf(g.region, (position, event_id), g.region != '') AS region,
            argMaxIf(g.error_type, (position, event_id), g.error_type != '') AS error_type,
            argMaxIf(g.error_message, (position, event_id), g.error_message != '') AS error_message,
            multiIf(countIf(g.road = 'history') > 0, 'history', countIf(g.road = 'event') > 0, 'event', 'span') AS road,
            argMaxIf(g.trace_id, (position, event_id), g.trace_id != '') AS trace_id,
            argMaxIf(g.span_id, (position, event_id), g.span_id != '') AS span_id,
            argMaxIf(g.idempotency_key, (position, event_id), g.idempotency_key != '') AS idempotency_key,
            argMaxIf(g.compensates, (position, event_id), g.compensates != '') AS compensates,
            max(g.payload_bytes) AS payload_bytes,
            arraySort(s -> (s.2, s.1), groupArrayIf((event_id, time, toString(g.road), g.received_at), kind = 'started')) AS starts,
            argMax(g.sender, (g.received_at, event_id)) AS sender,
            min(g.historical) AS historical,
            min(g.received_at) AS first_received_at,
            max(time) AS last_event_at
        FROM fold_event AS g
        INNER JOIN fold_number AS n ON g.execution_key = n.execution_key AND g.event_id = n.event_id
        GROUP BY g.execution_key, run, step, branch, call_id, call_number, number
    ),
    beside AS
    (
        SELECT
            a.*, x.workflow, x.workflow_version, x.status AS execution_status, x.ended_at AS execution_ended_at, x.version,
            number = max(number) OVER call AS is_last_attempt,
            -- What ended the whole step run: a completion of any attempt, or the final failure of the last.
            minOrNull(multiIf(end_kind = 'completed', completed_at, end_kind IN ('cancelled', 'skipped'), dropped_at, NULL)) OVER call AS call_finished_at,
            argMax(if(end_kind IN ('failed', 'timed_out') AND retrying_at IS NULL, failed_at, NULL), number) OVER call AS call_failed_at,
            ifNull(call_finished_at, call_failed_at) AS call_ended_at
        FROM gathered AS a
        INNER JOIN fold_execution AS x ON a.execution_key = x.execution_key AND a.run = x.run_id
        WINDOW call AS (PARTITION BY a.execution_key, a.run, step, branch, call_id, call_number)
    ),
    judged AS
    (
        SELECT
            *,
            multiIf(
                end_kind = 'completed', completed_at,
                end_kind IN ('cancelled', 'skipped'), dropped_at,
                end_kind IN ('failed', 'timed_out'), failed_at,
                retrying_at) AS own_end,
            execution_status NOT IN ('running', 'suspended') AS execution_closed,
            multiIf(
                end_kind IN ('completed', 'cancelled', 'skipped'), end_kind,
                (end_kind != '' OR retrying_at IS NOT NULL) AND retrying_at IS NOT NULL AND is_last_attempt AND NOT execution_closed, 'backing_off',
                end_kind != '', end_kind,
                retrying_at IS NOT NULL, 'failed',
                call_ended_at IS NOT NULL OR execution_closed, 'cancelled',
                waiting_at IS NOT NULL AND (started_last IS NULL OR waiting_at >= started_last), 'waiting',
                started_at IS NOT NULL OR last_heartbeat_at IS NOT NULL, 'running',
                'scheduled') AS status
        FROM beside
    )
SELECT
    execution_key, namespace, engine, workflow, workflow_version, execution_id, run AS run_id, step,
    if(call_number = 0, call_id, concat(call_id, '#', toString(call_number + 1))) AS step_run_id,
    branch, number AS attempt, status, scheduled_at,
    -- A step that never said it started but beats has been running at least since its first sign of life.
    if(started_at IS NULL AND status = 'running', last_heartbeat_at, started_at) AS started_at,
    multiIf(own_end IS NOT NULL, own_end, status != 'cancelled', NULL, ifNull(call_ended_at, execution_ended_at)) AS ended_at,
    last_heartbeat_at, waiting_at,
    if(waiting_at IS NULL, 0, greatest(0, dateDiff('microsecond', waiting_at, ifNull(if(started_last > waiting_at, started_last, ended_at), waiting_at)) / 1e6)) AS waited_s,
    retrying_at, waiting_on, due, timeout_s, heartbeat_timeout_s, schedule_to_start_timeout_s, schedule_to_close_timeout_s, max_attempts,
    backoff_s, backoff_rate, backoff_max_s, queue, worker, downstream, region, error_type, error_message, road, trace_id, span_id,
    idempotency_key, compensates, payload_bytes, starts, is_last_attempt,
    multiIf(own_end IS NOT NULL, 'event', ended_at IS NULL, '', call_ended_at IS NOT NULL, 'step', 'execution') AS closed_by,
    sender, historical, first_received_at, ended_received_at, last_event_at, version
FROM judged
