-- Plain traces as executions, where the root says so (`stallwatch.workflow`) or its service is one of those configured: the root
-- is the execution, everything below it a step, its parent's span id beside it. Nothing is made of a trace before its root has
-- come, nor ever of one that holds an engine's span. Spans that name their step themselves have their own convention.
-- Logfire's pending span stands in for the real one, whose id is its parent id, until that one ends.
INSERT INTO step_event_log
    (received_at, sender, road, batch, historical, namespace, engine, workflow, execution_id, run_id, event, time, step, step_run_id, attempt, event_id,
    sequence, queue, downstream, idempotency_key, waiting_on, timeout_s, error_type, error_message, trace_id, span_id, attributes)
WITH
    root AS
    (
        SELECT
            trace_id,
            argMin(
                (node_id, namespace, stallwatch_said(attributes, 'engine', 'opentelemetry'), stallwatch_said(attributes, 'workflow', node_name),
                stallwatch_said(attributes, 'execution_id', trace_id), attributes['stallwatch.run_id'], received_at),
                (start_at, node_id, is_pending)) AS it
        FROM fold_node AS node
        WHERE is_root AND (attributes['stallwatch.workflow'] != '' OR arrayExists(
            glob -> service LIKE replaceAll(replaceAll(replaceRegexpAll(glob, '[\\\\%_]', '\\\\\\0'), '*', '%'), '?', '_'),
            {generic_services:Array(String)}))
        GROUP BY trace_id
    )
SELECT
    greatest(node.received_at, it.7), sender, 'span', {upto:UInt64}, historical, it.2, it.3, it.4, it.5, it.6,
    said.1, said.2,
    if(is_execution, '', stallwatch_said(attributes, 'step', node_name)),
    if(is_execution, '', stallwatch_call_of(attributes, node_id)),
    toUInt32OrZero(attributes['stallwatch.attempt']),
    concat('generic:', node.trace_id, node_id, ':', if(said.3, 'ended', 'started')),
    toInt64OrDefault(attributes['stallwatch.sequence'], toInt64(-1)),
    attributes['stallwatch.queue'], attributes['stallwatch.downstream'], attributes['stallwatch.idempotency_key'], stallwatch_waiting_on(attributes, ''),
    toFloat64OrNull(attributes['stallwatch.timeout_s']),
    if(said.3 AND status = 'error', if(attributes['error.type'] != '', attributes['error.type'], stallwatch_exception(events, 'exception.type')), ''),
    multiIf(NOT said.3 OR status != 'error', '', stallwatch_exception(events, 'exception.message') != '', stallwatch_exception(events, 'exception.message'), status_message),
    node.trace_id, node_id,
    if(is_execution OR is_root, map(), map('parent_span_id', parent_id))
FROM
(
    SELECT
        *,
        node_id = it.1 AS is_execution,
        if(is_execution, 'workflow.', 'step.') AS level,
        if(is_execution OR stallwatch_waiting_on(attributes, '') = '', concat(level, 'started'), 'step.waiting') AS opening,
        arrayJoin(if(
            is_pending,
            [(opening, start_at, false)],
            [(opening, start_at, false), (concat(level, if(status = 'error', 'failed', 'completed')), start_at + toIntervalNanosecond(toInt64(round(duration_s * 1e9))), true)])) AS said
    FROM fold_node AS node
    INNER JOIN root ON node.trace_id = root.trace_id
) AS node
