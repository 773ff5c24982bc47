-- Temporal, all SDKs: `Verb:Type` spans. Seen from spans alone, a RunWorkflow without a close and a StartActivity without a
-- RunActivity are open. An activity's step run is its StartActivity span, each RunActivity under it is one attempt.
-- The tracing interceptor's RunWorkflow lasts no time and only says that the run began (again and again while the
-- workflow's code is broken: hence one event id per run); CompleteWorkflow, whose status is never an error, closes the run.
-- The plugin's RunWorkflow, and that of the other SDKs, lasts as long as the run.
-- No span tells of timers and signals. A workflow can: a span of its own (Python: `completed_span`) with `stallwatch.step` and
-- `stallwatch.waiting_on` begins a wait, one with the same `stallwatch.step` alone ends it.
INSERT INTO step_event_log
    (received_at, sender, road, batch, historical, namespace, engine, workflow, execution_id, run_id, event,
    time, step, step_run_id, attempt, event_id, sequence, queue, downstream, idempotency_key, waiting_on,
    timeout_s, error_type, error_message, trace_id, span_id)
SELECT
    received_at, sender, 'span' AS road, batch, historical, namespace, 'temporal' AS engine,
    stallwatch_said(attributes, 'workflow', if(said.event LIKE 'workflow.%', target, '')) AS workflow,
    stallwatch_said(attributes, 'execution_id', workflow_id) AS execution_id,
    stallwatch_said(attributes, 'run_id', temporal_run_id) AS run_id,
    said.event AS event,
    said.time AS time,
    if(event LIKE 'step.%', stallwatch_said(attributes, 'step', target), '') AS step,
    if(event LIKE 'step.%', stallwatch_said(attributes, 'step_run_id', step_span_id), '') AS step_run_id,
    toUInt32OrZero(attributes['stallwatch.attempt']) AS attempt,
    said.event_id AS event_id,
    toInt64OrDefault(attributes['stallwatch.sequence'], toInt64(-1)) AS sequence,
    attributes['stallwatch.queue'] AS queue,
    attributes['stallwatch.downstream'] AS downstream,
    attributes['stallwatch.idempotency_key'] AS idempotency_key,
    stallwatch_waiting_on(attributes, '') AS waiting_on,
    toFloat64OrNull(attributes['stallwatch.timeout_s']) AS timeout_s,
    if(said.ends, thrown_type, '') AS error_type,
    if(said.ends, thrown_message, '') AS error_message,
    trace_id, span_id
FROM
(
    SELECT
        *,
        multiIf(
            exception_type LIKE '%ContinueAsNew%' OR status_message = 'continue as new', 'continued',
            -- What was cancelled may say so itself, or hand on that the activity or child that it waited for was.
            match(exception_type, 'Cancell?ed(Error|Exception|Failure)?$') OR match(exception_message, '(?i)^(activity|child workflow execution) cancell?ed$'), 'cancelled',
            status = 'error' OR exception_type != '', 'failed',
            'completed') AS outcome,
        -- An ApplicationError carries the type that its thrower gave it in front of the message.
        if(exception_type LIKE '%ApplicationError' AND exception_message LIKE '%: %', splitByString(': ', exception_message)[1], exception_type) AS thrown_type,
        if(exception_message != '', exception_message, status_message) AS thrown_message,
        concat('temporal:', if(temporal_run_id != '', temporal_run_id, concat(trace_id, span_id))) AS run_key,
        multiIf(verb = 'RunActivity', parent_span_id, verb IN ('StartActivity', 'StartLocalActivity'), span_id, '') AS step_span_id,
        CAST(arrayJoin(multiIf(
            verb LIKE '%StartWorkflow' AND status != 'error', [('workflow.started', start_at, false, concat('temporal:', trace_id, span_id, ':started'))],
            verb = 'RunWorkflow' AND duration_s = 0, [('workflow.started', start_at, false, concat(run_key, ':started'))],
            verb = 'RunWorkflow', [('workflow.started', start_at, false, concat(run_key, ':started')), (concat('workflow.', outcome), end_at, true, concat(run_key, ':closed'))],
            verb = 'CompleteWorkflow', [(concat('workflow.', outcome), end_at, true, concat(run_key, ':closed'))],
            verb IN ('StartActivity', 'StartLocalActivity'), [('step.scheduled', start_at, false, concat('temporal:', trace_id, span_id, ':scheduled'))],
            verb = 'RunActivity', [('step.started', start_at, false, concat('temporal:', trace_id, span_id, ':started')), (concat('step.', outcome), end_at, true, concat('temporal:', trace_id, span_id, ':ended'))],
            target = '' AND attributes['stallwatch.step'] != '' AND stallwatch_waiting_on(attributes, '') != '', [('step.waiting', start_at, false, concat('temporal:', trace_id, span_id, ':waiting'))],
            target = '' AND attributes['stallwatch.step'] != '', [('step.completed', end_at, true, concat('temporal:', trace_id, span_id, ':waited'))],
            [])), 'Tuple(event String, time DateTime64(6, \'UTC\'), ends Bool, event_id String)') AS said
    FROM
    (
        SELECT
            *,
            splitByChar(':', toString(name))[1] AS verb,
            substring(name, length(verb) + 2) AS target,
            -- Python, Go, .NET and Ruby; TypeScript; Java.
            arrayFirst(v -> v != '', [attributes['temporalWorkflowID'], attributes['workflow_id'], attributes['workflowId']]) AS workflow_id,
            arrayFirst(v -> v != '', [attributes['temporalRunID'], attributes['run_id'], attributes['runId']]) AS temporal_run_id,
            stallwatch_exception(events, 'exception.type') AS exception_type,
            stallwatch_exception(events, 'exception.message') AS exception_message
        FROM fold_span
        WHERE claimed_by = 'temporal' AND NOT stallwatch_is_pending(attributes)
    )
    WHERE workflow_id != '' OR attributes['stallwatch.execution_id'] != ''
)
