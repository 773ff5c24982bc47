-- Spans that say themselves which step of which execution they are. A pending span says that the real one has begun.
INSERT INTO step_event_log
    (received_at, sender, road, batch, historical, namespace, engine, workflow, execution_id, run_id, event,
    time, step, step_run_id, attempt, branch, event_id, sequence, queue, downstream, idempotency_key, waiting_on,
    timeout_s, error_type, error_message, trace_id, span_id)
SELECT
    received_at, sender, 'span' AS road, batch, historical, namespace,
    stallwatch_said(attributes, 'engine', 'opentelemetry') AS engine,
    attributes['stallwatch.workflow'] AS workflow,
    attributes['stallwatch.execution_id'] AS execution_id,
    attributes['stallwatch.run_id'] AS run_id,
    said.event AS event,
    said.time AS time,
    attributes['stallwatch.step'] AS step,
    stallwatch_call_of(attributes, real_span_id) AS step_run_id,
    toUInt32OrZero(attributes['stallwatch.attempt']) AS attempt,
    attributes['stallwatch.branch'] AS branch,
    concat('stallwatch:', trace_id, real_span_id, ':', if(said.ends, 'ended', 'started')) AS event_id,
    toInt64OrDefault(attributes['stallwatch.sequence'], toInt64(-1)) AS sequence,
    attributes['stallwatch.queue'] AS queue,
    attributes['stallwatch.downstream'] AS downstream,
    attributes['stallwatch.idempotency_key'] AS idempotency_key,
    stallwatch_waiting_on(attributes, '') AS waiting_on,
    toFloat64OrNull(attributes['stallwatch.timeout_s']) AS timeout_s,
    if(said.ends AND status = 'error', if(attributes['error.type'] != '', attributes['error.type'], stallwatch_exception(events, 'exception.type')), '') AS error_type,
    if(said.ends AND status = 'error', if(stallwatch_exception(events, 'exception.message') != '', stallwatch_exception(events, 'exception.message'), status_message), '') AS error_message,
    trace_id,
    real_span_id AS span_id
FROM
(
    SELECT
        *,
        if(stallwatch_is_pending(attributes), parent_span_id, span_id) AS real_span_id,
        if(stallwatch_waiting_on(attributes, '') = '', 'step.started', 'step.waiting') AS opening,
        CAST(arrayJoin(if(
            stallwatch_is_pending(attributes),
            [(opening, start_at, false)],
            [(opening, start_at, false), (if(status = 'error', 'step.failed', 'step.completed'), end_at, true)])),
            'Tuple(event String, time DateTime64(6, \'UTC\'), ends Bool)') AS said
    FROM fold_span
    WHERE claimed_by = 'stallwatch'
)
