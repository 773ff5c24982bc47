-- The attempts of the touched keys: each judged beside its siblings and its execution.
INSERT INTO fold_attempt
WITH
    -- In place of NULL, which argMax would pass over.
    toDateTime64(0, 6, 'UTC') AS never,
    -- What ended the whole step run: a completion of any attempt, or the final failure of the last. Temporal tries again
    -- only what failed: an attempt that timed out goes on unawares, and its span, which comes late, says that it completed.
    calls AS
    (
        SELECT
            call_key AS its_call, max(number) AS last_number,
            minOrNull(multiIf(end_kind = 'completed', completed_at, end_kind IN ('cancelled', 'skipped'), dropped_at, NULL) AS ends_all_at) AS first_finished_at,
            if(any(engine = 'temporal'), nullIf(argMax(ifNull(ends_all_at, never), number), never), first_finished_at) AS finished_at,
            max(ifNull(started_at, scheduled_at)) AS last_begun_at,
            nullIf(argMax(if(end_kind IN ('failed', 'timed_out') AND retrying_at IS NULL, ifNull(failed_at, never), never), number), never) AS given_up_at,
            -- What a step declares, not each road says of each attempt.
            max(backoff_s) AS call_backoff_s, max(backoff_rate) AS call_backoff_rate, max(backoff_max_s) AS call_backoff_max_s, max(max_attempts) AS call_max_attempts
        FROM fold_gathered
        GROUP BY call_key
    ),
    executions AS
    (
        SELECT run_key AS its_run, workflow, workflow_version, status AS execution_status, suspended_s AS execution_suspended_s, ended_at AS execution_ended_at, version
        FROM fold_execution
    ),
    beside AS
    (
        SELECT
            *, number = last_number AS is_last_attempt,
            engine = 'temporal' AND NOT is_last_attempt AS was_tried_again,
            was_tried_again AND end_kind = 'completed' AS timed_out_unawares,
            -- Nobody told how it failed, and when is known only roughly: a history names the last attempt alone.
            was_tried_again AND end_kind = '' AND retrying_at IS NULL AND last_begun_at > ifNull(started_at, scheduled_at) AS failed_untold,
            ifNull(finished_at, given_up_at) AS call_ended_at
        FROM fold_gathered
        LEFT ANY JOIN executions ON run_key = its_run
        LEFT ANY JOIN calls ON call_key = its_call
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
                timed_out_unawares, 'timed_out',
                end_kind IN ('completed', 'cancelled', 'skipped'), end_kind,
                (end_kind != '' OR retrying_at IS NOT NULL) AND retrying_at IS NOT NULL AND is_last_attempt AND NOT execution_closed, 'backing_off',
                end_kind != '', end_kind,
                retrying_at IS NOT NULL OR failed_untold, 'failed',
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
    multiIf(own_end IS NOT NULL, own_end, failed_untold, last_begun_at, status != 'cancelled', NULL, ifNull(call_ended_at, execution_ended_at)) AS ended_at,
    last_heartbeat_at, waiting_at,
    if(waiting_at IS NULL, 0, greatest(0, dateDiff('microsecond', waiting_at, ifNull(if(started_last > waiting_at, started_last, ended_at), waiting_at)) / 1e6)) AS waited_s,
    retrying_at, waiting_on, due, timeout_s, heartbeat_timeout_s, schedule_to_start_timeout_s, schedule_to_close_timeout_s, max_attempts,
    backoff_s, backoff_rate, backoff_max_s, queue, worker, downstream, region, error_type, error_message, road, trace_id, span_id,
    idempotency_key, compensates, payload_bytes, starts, is_last_attempt,
    multiIf(own_end IS NOT NULL, 'event', ended_at IS NULL, '', failed_untold OR call_ended_at IS NOT NULL, 'step', 'execution') AS closed_by,
    sender, historical, first_received_at, ended_received_at, last_event_at, version,
    execution_status, execution_suspended_s,
    if(status IN ('failed', 'timed_out', 'backing_off') AND call_backoff_s > 0 AND (ifNull(call_max_attempts, 0) = 0 OR number < call_max_attempts),
        least(assumeNotNull(call_backoff_s) * pow(ifNull(call_backoff_rate, 1), least(number - 1, 64)), ifNull(call_backoff_max_s, 1e9), 1e9), 0) AS pause_s
FROM judged
-- Of an execution that was left out, nothing is written.
WHERE version > 0
