-- DBOS, in both dialects of its attributes: one span per workflow and per step, at its end. The failures of a step that was
-- tried again are span events, "Step attempt N failed" from N = 0, with the pause that followed. Operations without a type
-- (sleep, recv, getEvent, …) are DBOS's own steps; those that wait are waits, under the names that the system database has for them.
INSERT INTO step_event_log
    (received_at, sender, road, batch, historical, namespace, engine, workflow, workflow_version,
    execution_id, run_id, event, time, step, step_run_id, attempt, event_id, sequence, queue, worker,
    downstream, idempotency_key, waiting_on, timeout_s, error_type, error_message, trace_id, span_id)
SELECT
    received_at, sender, 'span' AS road, batch, historical, namespace, 'dbos' AS engine,
    stallwatch_said(attributes, 'workflow', if(said.event LIKE 'workflow.%', toString(name), '')) AS workflow,
    if(attributes['applicationVersion'] != '', attributes['applicationVersion'], attributes['dbos.application.version']) AS workflow_version,
    stallwatch_said(attributes, 'execution_id', operation_id) AS execution_id,
    attributes['stallwatch.run_id'] AS run_id,
    said.event AS event,
    said.time AS time,
    if(event LIKE 'step.%', stallwatch_said(attributes, 'step', if(operation_type = '' AND waits_for != '', if(name = 'get_event', 'DBOS.getEvent', if(name LIKE 'DBOS.%', toString(name), concat('DBOS.', toString(name)))), toString(name))), '') AS step,
    if(event LIKE 'step.%', stallwatch_said(attributes, 'step_run_id', span_id), '') AS step_run_id,
    if(said.attempt = 0, 0, said.attempt + greatest(1, toUInt32OrZero(attributes['stallwatch.attempt'])) - 1) AS attempt,
    concat('dbos:', trace_id, span_id, ':', if(said.ends, 'ended', event), if(said.attempt > 0, toString(said.attempt), '')) AS event_id,
    toInt64OrDefault(attributes['stallwatch.sequence'], toInt64(-1)) AS sequence,
    stallwatch_said(attributes, 'queue', if(attributes['queueName'] != '', attributes['queueName'], attributes['dbos.queue.name'])) AS queue,
    if(event LIKE 'step.%', if(attributes['executorID'] != '', attributes['executorID'], attributes['dbos.executor.id']), '') AS worker,
    attributes['stallwatch.downstream'] AS downstream,
    attributes['stallwatch.idempotency_key'] AS idempotency_key,
    stallwatch_waiting_on(attributes, if(event = 'step.waiting', waits_for, '')) AS waiting_on,
    toFloat64OrNull(attributes['stallwatch.timeout_s']) AS timeout_s,
    if(said.ends, stallwatch_exception(events, 'exception.type'), '') AS error_type,
    if(said.error != '', said.error, if(said.ends AND outcome = 'failed', status_message, '')) AS error_message,
    trace_id, span_id
FROM
(
    SELECT
        *,
        if(status = 'error', 'failed', 'completed') AS outcome,
        transform(name, ['sleep', 'DBOS.sleep', 'recv', 'DBOS.recv', 'getEvent', 'get_event', 'DBOS.getEvent', 'getResult', 'DBOS.getResult'], ['timer', 'timer', 'signal', 'signal', 'signal', 'signal', 'signal', 'child', 'child'], '') AS waits_for,
        -- A failure after which the step was not tried again is the end of the span.
        arrayFilter(
            e -> e.name LIKE 'Step attempt % failed' AND e.at + toIntervalMicrosecond(toInt64(toFloat64OrZero(e.attributes['retryIntervalSeconds']) * 1e6)) < end_at,
            -- An event outside of its span has a wrong clock.
            arraySort(e -> e.1, arrayMap(e -> CAST((least(greatest(e.at, start_at), end_at), e.name, e.attributes), 'Tuple(at DateTime64(9, \'UTC\'), name String, attributes Map(String, String))'), events))) AS failures,
        toUInt32(length(failures) + 1) AS last_attempt,
        CAST(arrayJoin(multiIf(
            operation_type = 'workflow', [('workflow.started', start_at, 0, false, ''), (concat('workflow.', outcome), end_at, 0, true, '')],
            operation_type = '' AND waits_for != '', [('step.waiting', start_at, 0, false, ''), (concat('step.', outcome), end_at, 0, true, '')],
            arrayConcat(
                [('step.started', start_at, 1, false, '')],
                arrayMap((e, i) -> ('step.failed', e.at, i, false, e.attributes['error']), failures, arrayEnumerate(failures)),
                arrayMap((e, i) -> ('step.started', e.at + toIntervalMicrosecond(toInt64(toFloat64OrZero(e.attributes['retryIntervalSeconds']) * 1e6)), i + 1, false, ''), failures, arrayEnumerate(failures)),
                [(concat('step.', outcome), end_at, last_attempt, true, '')]))),
            'Tuple(event String, time DateTime64(6, \'UTC\'), attempt UInt32, ends Bool, error String)') AS said
    FROM
    (
        SELECT
            *,
            arrayFirst(v -> v != '', [attributes['operationUUID'], attributes['dbos.operation.uuid'], attributes['dbos.operation.workflow_id']]) AS operation_id,
            if(attributes['operationType'] != '', attributes['operationType'], attributes['dbos.operation.type']) AS operation_type
        FROM fold_span
        WHERE claimed_by = 'dbos' AND NOT stallwatch_is_pending(attributes)
    )
    WHERE operation_id != '' OR attributes['stallwatch.execution_id'] != ''
)
