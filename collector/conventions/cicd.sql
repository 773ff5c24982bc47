-- OpenTelemetry's semantic conventions for CI/CD: a span per pipeline run and per task run that names its pipeline's run (on
-- the span or on the resource).
INSERT INTO step_event_log
    (received_at, sender, road, batch, historical, namespace, engine, workflow, execution_id, run_id, event,
    time, step, step_run_id, attempt, event_id, sequence, queue, worker, downstream, idempotency_key,
    waiting_on, timeout_s, error_type, error_message, trace_id, span_id)
SELECT
    received_at, sender, 'span' AS road, batch, historical, namespace, 'cicd' AS engine,
    stallwatch_said(attributes, 'workflow', if(attributes['cicd.pipeline.name'] != '', attributes['cicd.pipeline.name'], JSONExtractString(resource_text, 'cicd.pipeline.name'))) AS workflow,
    stallwatch_said(attributes, 'execution_id', run) AS execution_id,
    attributes['stallwatch.run_id'] AS run_id,
    said.event AS event,
    said.time AS time,
    if(task = '', '', stallwatch_said(attributes, 'step', task)) AS step,
    if(task = '', '', stallwatch_said(attributes, 'step_run_id', if(attributes['cicd.pipeline.task.run.id'] != '', attributes['cicd.pipeline.task.run.id'], span_id))) AS step_run_id,
    toUInt32OrZero(attributes['stallwatch.attempt']) AS attempt,
    concat('cicd:', trace_id, span_id, ':', if(said.ends, 'ended', 'started')) AS event_id,
    toInt64OrDefault(attributes['stallwatch.sequence'], toInt64(-1)) AS sequence,
    attributes['stallwatch.queue'] AS queue,
    if(task = '', '', attributes['cicd.worker.name']) AS worker,
    attributes['stallwatch.downstream'] AS downstream,
    attributes['stallwatch.idempotency_key'] AS idempotency_key,
    stallwatch_waiting_on(attributes, '') AS waiting_on,
    toFloat64OrNull(attributes['stallwatch.timeout_s']) AS timeout_s,
    if(said.ends, if(attributes['error.type'] != '', attributes['error.type'], stallwatch_exception(events, 'exception.type')), '') AS error_type,
    if(said.ends, status_message, '') AS error_message,
    trace_id, span_id
FROM
(
    SELECT
        *,
        attributes['cicd.pipeline.task.name'] AS task,
        arrayFirst(v -> v != '', [attributes['cicd.pipeline.run.id'], JSONExtractString(resource_text, 'cicd.pipeline.run.id')]) AS run,
        if(task = '', attributes['cicd.pipeline.result'], attributes['cicd.pipeline.task.run.result']) AS result,
        multiIf(
            result IN ('failure', 'error'), 'failed',
            result = 'timeout', 'timed_out',
            result IN ('skip', 'skipped'), if(task != '', 'skipped', 'cancelled'),
            result IN ('cancellation', 'cancelled'), 'cancelled',
            -- None, or a word of the sender's own.
            result != 'success' AND status = 'error', 'failed',
            'completed') AS outcome,
        if(task = '', 'workflow.', 'step.') AS level,
        CAST(arrayJoin([(concat(level, 'started'), start_at, false), (concat(level, outcome), end_at, true)]), 'Tuple(event String, time DateTime64(6, \'UTC\'), ends Bool)') AS said
    FROM fold_span
    WHERE claimed_by = 'cicd' AND NOT stallwatch_is_pending(attributes)
)
WHERE run != '' OR attributes['stallwatch.execution_id'] != ''
