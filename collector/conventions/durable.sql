-- Durable Functions and the Durable Task SDKs. An activity has a CLIENT span (the orchestrator: when it was scheduled) and a
-- SERVER span of the same name (the worker: one attempt); both come at its end. The task id is the step run: retries keep it.
-- A timer's span comes when it fires. A sub-orchestration's CLIENT span names the child only, so nothing is made of it.
INSERT INTO step_event_log
    (received_at, sender, road, batch, historical, namespace, engine, workflow, workflow_version,
    execution_id, run_id, event, time, step, step_run_id, attempt, event_id, sequence, queue, downstream,
    idempotency_key, waiting_on, due, timeout_s, error_type, error_message, trace_id, span_id)
SELECT
    received_at, sender, 'span' AS road, batch, historical, namespace, 'durable' AS engine,
    stallwatch_said(attributes, 'workflow', if(type = 'orchestration', attributes['durabletask.task.name'], '')) AS workflow,
    attributes['durabletask.task.version'] AS workflow_version,
    stallwatch_said(attributes, 'execution_id', attributes['durabletask.task.instance_id']) AS execution_id,
    attributes['stallwatch.run_id'] AS run_id,
    said.event AS event,
    said.time AS time,
    if(event LIKE 'step.%', stallwatch_said(attributes, 'step', if(type = 'timer', 'timer', attributes['durabletask.task.name'])), '') AS step,
    if(event LIKE 'step.%', stallwatch_said(attributes, 'step_run_id', attributes['durabletask.task.task_id']), '') AS step_run_id,
    toUInt32OrZero(attributes['stallwatch.attempt']) AS attempt,
    concat('durable:', trace_id, span_id, ':', if(said.ends, 'ended', event)) AS event_id,
    toInt64OrDefault(attributes['stallwatch.sequence'], toInt64(-1)) AS sequence,
    attributes['stallwatch.queue'] AS queue,
    attributes['stallwatch.downstream'] AS downstream,
    attributes['stallwatch.idempotency_key'] AS idempotency_key,
    stallwatch_waiting_on(attributes, if(event = 'step.waiting', 'timer', '')) AS waiting_on,
    if(event = 'step.waiting', parseDateTime64BestEffortOrNull(attributes['durabletask.fire_at'], 6, 'UTC'), NULL) AS due,
    toFloat64OrNull(attributes['stallwatch.timeout_s']) AS timeout_s,
    if(said.ends, stallwatch_exception(events, 'exception.type'), '') AS error_type,
    if(said.ends, if(stallwatch_exception(events, 'exception.message') != '', stallwatch_exception(events, 'exception.message'), status_message), '') AS error_message,
    trace_id, span_id
FROM
(
    SELECT
        *,
        attributes['durabletask.type'] AS type,
        multiIf(
            attributes['durabletask.task.status'] = 'ContinuedAsNew', 'continued',
            attributes['durabletask.task.status'] = 'Terminated', 'terminated',
            attributes['durabletask.task.status'] = 'Canceled', 'cancelled',
            status = 'error' OR attributes['durabletask.task.status'] = 'Failed', 'failed',
            'completed') AS outcome,
        CAST(arrayJoin(multiIf(
            type = 'orchestration' AND kind = 'producer' AND status != 'error', [('workflow.started', start_at, false)],
            type = 'orchestration' AND kind = 'server', [('workflow.started', start_at, false), (concat('workflow.', outcome), end_at, true)],
            type = 'activity' AND kind = 'client', [('step.scheduled', start_at, false)],
            type = 'activity' AND kind = 'server', [('step.started', start_at, false), (concat('step.', outcome), end_at, true)],
            type = 'timer', [('step.waiting', start_at, false), ('step.completed', end_at, true)],
            [])), 'Tuple(event String, time DateTime64(6, \'UTC\'), ends Bool)') AS said
    FROM fold_span
    WHERE claimed_by = 'durable' AND NOT stallwatch_is_pending(attributes)
        AND (attributes['durabletask.task.instance_id'] != '' OR attributes['stallwatch.execution_id'] != '')
)
