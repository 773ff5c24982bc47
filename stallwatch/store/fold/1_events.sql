-- All events of the touched keys that are not plain, each once, each with its run: an empty run id belongs to the run open at its time, else
-- to the latest. A start without a run id that precedes every run began the run that followed.
-- Of what is young, parts of the log that are older than it are not read.
-- Beside each event stand numbers that stand for texts in what follows (comparing texts is most of a fold's cost):
-- event_key, run_key and step_key (of run, step and branch; 0 for an event of the workflow); and place, which puts events in
-- order: by time, among equals by what they mean, among those by a hash of their id. trust says whose word counts where roads disagree:
-- an engine's history knows best, and its times are those of one clock.
INSERT INTO fold_event
WITH
    event_rows AS
    (
        SELECT * EXCEPT (attributes, is_replay)
        FROM step_event_log FINAL
        WHERE batch > {floor:UInt64}
            AND execution_key IN (SELECT execution_key FROM fold_touched WHERE (NOT is_plain OR {all:UInt8}) AND is_young = {young:UInt8})
            AND NOT is_replay
    ),
    -- Only where some events name their run and others do not.
    runs AS
    (
        SELECT execution_key, arrayReverseSort(r -> (r.2, r.1), groupArray((run_id, first_at, closed_at))) AS known
        FROM
        (
            SELECT
                execution_key, run_id, min(time) AS first_at,
                maxIf(time, event IN ('workflow.completed', 'workflow.failed', 'workflow.timed_out', 'workflow.cancelled', 'workflow.terminated', 'workflow.continued')) AS closed_at
            FROM event_rows
            GROUP BY execution_key, run_id
        )
        GROUP BY execution_key
        HAVING min(run_id) = '' AND max(run_id) != ''
    )
SELECT
    e.*,
    if(
        e.run_id != '' OR empty(runs.known), e.run_id,
        multiIf(
            arrayExists(r -> r.1 != '' AND r.2 <= e.time AND (r.3 < r.2 OR r.3 >= e.time), runs.known),
                arrayFirst(r -> r.1 != '' AND r.2 <= e.time AND (r.3 < r.2 OR r.3 >= e.time), runs.known).1,
            e.event = 'workflow.started' AND arrayExists(r -> r.1 != '' AND r.2 > e.time, runs.known),
                arrayLast(r -> r.1 != '' AND r.2 > e.time, runs.known).1,
            arrayFirst(r -> r.1 != '', runs.known).1)) AS run,
    substring(event, position(event, '.') + 1) AS kind,
    sipHash64(execution_key, event_id) AS event_key,
    sipHash64(execution_key, run) AS run_key,
    if(startsWith(event, 'step.'), sipHash64(run_key, step, branch), 0) AS step_key,
    bitOr(
        bitShiftLeft(toUInt64(toUnixTimestamp64Micro(time)), 12),
        bitOr(
            bitShiftLeft(toUInt64(transform(kind, ['scheduled', 'started', 'heartbeat', 'waiting', 'failed', 'timed_out', 'retrying'], [0, 1, 2, 3, 4, 5, 6], 7)), 8),
            bitAnd(xxh3(event_id), 255))) AS place,
    kind IN ('heartbeat', 'waiting', 'retrying')
        OR timeout_s IS NOT NULL OR heartbeat_timeout_s IS NOT NULL OR schedule_to_start_timeout_s IS NOT NULL OR schedule_to_close_timeout_s IS NOT NULL
        OR max_attempts IS NOT NULL OR backoff_s IS NOT NULL OR backoff_rate IS NOT NULL OR backoff_max_s IS NOT NULL
        OR due IS NOT NULL OR payload_bytes IS NOT NULL OR waiting_on != '' OR region != '' OR idempotency_key != '' OR compensates != '' AS says_more,
    transform(road, ['history', 'event'], [2, 1], 0) AS trust
FROM event_rows AS e
LEFT ANY JOIN runs ON e.execution_key = runs.execution_key
-- An event that came again in an old part lost against the delivery that the execution began with or a later one.
SETTINGS use_skip_indexes_if_final = 1, use_skip_indexes_if_final_exact_mode = 0
