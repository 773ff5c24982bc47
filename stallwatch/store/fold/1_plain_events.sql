-- The events of the touched keys that are plain: they are read as they came, and each names its run or none does. The numbers
-- beside them are those of 1_events.
INSERT INTO fold_event
SELECT
    * EXCEPT (attributes, is_replay), run_id AS run,
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
FROM step_event_log
WHERE batch > {after:UInt64} AND execution_key IN (SELECT execution_key FROM fold_touched WHERE is_plain)
