-- What passes while one waits or pauses passes once, however many branches do so. The wait that is still on counts from its beginning, so
-- that the others count up to it.
INSERT INTO execution_fold
WITH
    spans -> arrayReduce('intervalLengthSum', spans.1, spans.2) / 1e6 AS length_s,
    ifNull(toUnixTimestamp64Micro(a.waiting_since), toInt64(9e18)) AS waits_from,
    spans -> arrayMap(span -> (least(span.1, waits_from), least(span.2, waits_from)), spans) AS until_wait,
    until_wait(arrayConcat(x.suspended_spans, a.waits)) AS waited_spans,
    arrayMap(p -> (toUnixTimestamp64Micro(p.1), toUnixTimestamp64Micro(p.1) + toInt64(1e6 * p.2)), a.pauses) AS pause_spans,
    arrayFilter(span -> span.2 <= toUnixTimestamp64Micro(last_progress_at), pause_spans) AS paused_spans
SELECT
    x.execution_key, namespace, engine, workflow, workflow_version, execution_id, x.run_id, parent_execution_id, status, started_at,
    ended_at, suspended_at, suspended_s,
    length_s(waited_spans) AS waited_s,
    length_s(arrayConcat(waited_spans, until_wait(paused_spans))) - waited_s AS paused_s,
    arrayFilter(p -> p.1 + toIntervalMicrosecond(toInt64(1e6 * p.2)) > last_progress_at AND status IN ('running', 'suspended'), a.pauses) AS pauses,
    a.waiting_since, a.retry_due_at,
    last_progress_at, last_step, a.open_steps, a.attempts, timeout_s,
    -- A failure that does not say why is its last failed step's.
    if(status = 'failed' AND x.error_type = '', a.failed_with.1, toString(x.error_type)) AS error_type,
    if(status = 'failed' AND x.error_type = '' AND x.error_message = '', a.failed_with.2, x.error_message) AS error_message,
    trace_id, sequence_max, sequences,
    sequence_received_at, last_received_at, ended_received_at, road, sender, historical, version, 0, first_batch, {mark:UInt64}
FROM fold_execution AS x
LEFT JOIN
(
    SELECT
        execution_key, run_id, count() AS attempts,
        countIf(status IN ('scheduled', 'running', 'waiting', 'backing_off')) AS open_steps,
        groupArrayIf((toUnixTimestamp64Micro(assumeNotNull(waiting_at)), toUnixTimestamp64Micro(assumeNotNull(waiting_at)) + toInt64(round(1e6 * waited_s))), waited_s > 0) AS waits,
        argMaxIf((toString(error_type), error_message), (ended_at, step, branch, step_run_id, attempt), status IN ('failed', 'timed_out')) AS failed_with,
        groupArrayIf((assumeNotNull(ifNull(ended_at, retrying_at)), pause_s), pause_s > 0) AS pauses,
        minOrNullIf(waiting_at, status = 'waiting') AS waiting_since,
        maxOrNullIf(ended_at + toIntervalMicrosecond(toInt64(1e6 * pause_s)), pause_s > 0 AND is_last_attempt AND status != 'backing_off') AS retry_due_at
    FROM fold_attempt
    GROUP BY execution_key, run_id
) AS a ON x.execution_key = a.execution_key AND x.run_id = a.run_id
