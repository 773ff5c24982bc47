-- Airflow 3. A DAG run's span comes when the run ends and begins when it was queued; a task has a `worker.` span per try (the
-- work) and, in newer versions, a `task_run.` span (from queued to decided). A run id is unique in its DAG only. Spans that
-- operators write inside of a task carry the task's attributes too: only the name tells the task's own.
INSERT INTO step_event_log
    (received_at, sender, road, batch, historical, namespace, engine, workflow, execution_id, run_id, event,
    time, step, step_run_id, attempt, branch, event_id, sequence, queue, downstream, idempotency_key,
    waiting_on, timeout_s, error_type, error_message, trace_id, span_id)
SELECT
    received_at, sender, 'span' AS road, batch, historical, namespace, 'airflow' AS engine,
    stallwatch_said(attributes, 'workflow', attributes['airflow.dag_id']) AS workflow,
    stallwatch_said(attributes, 'execution_id', concat(attributes['airflow.dag_id'], '/', run)) AS execution_id,
    attributes['stallwatch.run_id'] AS run_id,
    said.event AS event,
    said.time AS time,
    if(event LIKE 'step.%', stallwatch_said(attributes, 'step', attributes['airflow.task_id']), '') AS step,
    if(event LIKE 'step.%', attributes['stallwatch.step_run_id'], '') AS step_run_id,
    if(event LIKE 'step.%', toUInt32OrZero(stallwatch_said(attributes, 'attempt', attributes['airflow.task_instance.try_number'])), 0) AS attempt,
    if(event LIKE 'step.%' AND toInt32OrDefault(attributes['airflow.task_instance.map_index'], toInt32(-1)) >= 0, attributes['airflow.task_instance.map_index'], '') AS branch,
    concat('airflow:', trace_id, span_id, ':', if(said.ends, 'ended', event)) AS event_id,
    toInt64OrDefault(attributes['stallwatch.sequence'], toInt64(-1)) AS sequence,
    attributes['stallwatch.queue'] AS queue,
    attributes['stallwatch.downstream'] AS downstream,
    attributes['stallwatch.idempotency_key'] AS idempotency_key,
    stallwatch_waiting_on(attributes, '') AS waiting_on,
    toFloat64OrNull(attributes['stallwatch.timeout_s']) AS timeout_s,
    if(said.ends, stallwatch_exception(events, 'exception.type'), '') AS error_type,
    if(NOT said.ends, '', if(stallwatch_exception(events, 'exception.message') != '', stallwatch_exception(events, 'exception.message'), status_message)) AS error_message,
    trace_id, span_id
FROM
(
    SELECT
        *,
        arrayFirst(v -> v != '', [attributes['airflow.dag_run.run_id'], attributes['airflow.run_id']]) AS run,
        attributes['airflow.task_instance.state'] AS state,
        if(status = 'error', 'failed', 'completed') AS outcome,
        CAST(arrayJoin(multiIf(
            name LIKE 'dag\\_run.%', [('workflow.started', start_at, false), (concat('workflow.', outcome), end_at, true)],
            name LIKE 'worker.%', [('step.started', start_at, false), (concat('step.', outcome), end_at, true)],
            name LIKE 'task\\_run.%' AND state IN ('skipped', 'upstream_failed', 'removed'), [('step.skipped', end_at, true)],
            name LIKE 'task\\_run.%', [('step.scheduled', start_at, false)],
            [])), 'Tuple(event String, time DateTime64(6, \'UTC\'), ends Bool)') AS said
    FROM fold_span
    WHERE claimed_by = 'airflow' AND NOT stallwatch_is_pending(attributes)
)
WHERE run != '' OR attributes['stallwatch.execution_id'] != ''
