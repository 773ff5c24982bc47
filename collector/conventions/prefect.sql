-- Prefect 3: one span per flow run and task run, at its end; the changes of its state are span events. A task's span does not
-- name its flow run, but shares its trace: the trace is the execution. A span has the name of its run: for a flow that is made
-- up anew for each (`sassy-chital`), so that the flow's id has to name the workflow until the API tells its name, and says so
-- behind this; for a task it is the task's name and a part of its key (`charge-4ed`). The span of a flow run inside another
-- tells nothing that can be named: its tasks do, and the API.
INSERT INTO step_event_log
    (received_at, sender, road, batch, historical, namespace, engine, workflow, execution_id, run_id, event,
    time, step, step_run_id, attempt, event_id, sequence, queue, downstream, idempotency_key, waiting_on,
    timeout_s, error_type, error_message, trace_id, span_id)
SELECT
    received_at, sender, 'span' AS road, batch, historical, namespace, 'prefect' AS engine,
    stallwatch_said(attributes, 'workflow', if(said.event = 'workflow.started', if(attributes['prefect.flow.id'] != '', attributes['prefect.flow.id'], toString(name)), '')) AS workflow,
    stallwatch_said(attributes, 'execution_id', trace_id) AS execution_id,
    attributes['stallwatch.run_id'] AS run_id,
    said.event AS event,
    said.time AS time,
    if(event LIKE 'step.%', stallwatch_said(attributes, 'step', replaceRegexpOne(toString(name), '-([0-9a-f]{3}|[0-9]+)$', '')), '') AS step,
    if(event LIKE 'step.%', stallwatch_said(attributes, 'step_run_id', attributes['prefect.run.id']), '') AS step_run_id,
    if(event LIKE 'step.%', said.attempt, 0) AS attempt,
    concat('prefect:', trace_id, span_id, ':', if(said.ends, 'ended', concat(event, toString(said.attempt), toString(toUnixTimestamp64Micro(said.time))))) AS event_id,
    toInt64OrDefault(attributes['stallwatch.sequence'], toInt64(-1)) AS sequence,
    attributes['stallwatch.queue'] AS queue,
    attributes['stallwatch.downstream'] AS downstream,
    attributes['stallwatch.idempotency_key'] AS idempotency_key,
    stallwatch_waiting_on(attributes, '') AS waiting_on,
    toFloat64OrNull(attributes['stallwatch.timeout_s']) AS timeout_s,
    if(event LIKE '%.failed', stallwatch_exception(events, 'exception.type'), '') AS error_type,
    if(event LIKE '%.failed', if(stallwatch_exception(events, 'exception.message') != '', stallwatch_exception(events, 'exception.message'), status_message), '') AS error_message,
    trace_id, span_id
FROM
(
    SELECT
        *,
        -- An event outside of its span has a wrong clock.
        arraySort(e -> e.1, arrayMap(e -> CAST((least(greatest(e.at, start_at), end_at), e.name, e.attributes), 'Tuple(at DateTime64(9, \'UTC\'), name String, attributes Map(String, String))'), events)) AS states,
        arrayFilter(e -> e.attributes['prefect.state.name'] = 'AwaitingRetry', states) AS failures,
        arrayFilter(e -> e.attributes['prefect.state.name'] = 'Retrying', states) AS retries,
        multiIf(
            arrayExists(e -> e.attributes['prefect.state.type'] = 'CANCELLED', states), 'cancelled',
            arrayExists(e -> e.attributes['prefect.state.name'] = 'TimedOut', states), 'timed_out',
            status = 'error' OR arrayExists(e -> e.attributes['prefect.state.type'] = 'CRASHED', states), 'failed',
            'completed') AS outcome,
        CAST(arrayJoin(multiIf(
            attributes['prefect.run.type'] = 'flow' AND parent_span_id != '', [],
            attributes['prefect.run.type'] = 'flow',
            arrayConcat(
                [('workflow.started', start_at, 0, false)],
                arrayMap(e -> ('workflow.suspended', e.at, 0, false), arrayFilter(e -> e.attributes['prefect.state.type'] = 'PAUSED', states)),
                arrayMap(e -> ('workflow.resumed', e.at, 0, false), arrayFilter(e -> e.attributes['prefect.state.name'] = 'Resuming', states)),
                [(concat('workflow.', outcome), end_at, 0, true)]),
            arrayConcat(
                [('step.started', start_at, 1, false)],
                arrayMap((e, i) -> ('step.retrying', e.at, i, false), failures, arrayEnumerate(failures)),
                arrayMap((e, i) -> ('step.started', e.at, i + 1, false), retries, arrayEnumerate(retries)),
                [(concat('step.', outcome), end_at, length(retries) + 1, true)]))),
            'Tuple(event String, time DateTime64(6, \'UTC\'), attempt UInt32, ends Bool)') AS said
    FROM fold_span
    WHERE claimed_by = 'prefect' AND NOT stallwatch_is_pending(attributes)
        AND attributes['prefect.run.type'] IN ('flow', 'task')
)
