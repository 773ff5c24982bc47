-- Running executions whose history may be half full, and what is known of it: how many events were told, by each road; how many
-- there are by their sequence numbers; the highest number that the engine itself gave one of them; how many bytes of payload; and by
-- when half of them had happened.
-- A history has more events than there are step events of it (workflow tasks, states entered and left), so of what is known
-- from histories less is asked for. `known`: what calibration found to have large payloads.
SELECT
    any(e.namespace) AS namespace, any(e.engine) AS engine, argMaxIf(e.workflow, time, e.workflow != '') AS workflow,
    any(e.execution_id) AS execution_id, min(time) AS started_at, argMax(e.sender, received_at) AS sender,
    arrayMax([countIf(road = 'event'), countIf(road = 'span'), countIf(road = 'history')]) AS received_events,
    toUInt64(max(sequence) + 1) AS numbered_events,
    maxIf(
        toUInt64OrZero(extract(if(e.engine = 'temporal', substring(event_id, length(run_id) + 11), event_id), '^\\d+')),
        road = 'history') AS engine_events,
    arrayMax([sumIf(payload_bytes, road = 'event'), sumIf(payload_bytes, road = 'span'), sumIf(payload_bytes, road = 'history')]) AS bytes,
    quantileExact(0.5)(time) AS half_at
FROM step_event_log AS e FINAL
WHERE execution_key IN
    (
        SELECT execution_key
        FROM open_execution FINAL
        WHERE engine IN {engines:Array(String)}
            AND NOT historical
            AND workflow != ''
            AND (greatest(version, toUInt64(sequence_max + 1)) >= {near:Float64} * transform(engine, {engines:Array(String)}, {limits:Array(Float64)}, inf) / if(road = 'history', {untold:Float64}, 1)
                OR execution_key IN {known:Array(UInt64)})
        ORDER BY greatest(version, toUInt64(sequence_max + 1)) DESC
        LIMIT {most:UInt32}
    )
    AND time <= {until:DateTime64(6, 'UTC')}
GROUP BY execution_key, run_id
-- The run that is open is the last.
ORDER BY execution_key, run_id != '' DESC, started_at DESC
LIMIT 1 BY execution_key
