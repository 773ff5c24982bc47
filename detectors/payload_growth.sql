-- How large the payloads of steps were lately: those since the calibration are counted (the ones before, it knows), those of
-- the last hour named.
WITH last_event_at > {learned_at:DateTime64(6, 'UTC')} AS is_new
SELECT
    namespace, engine, workflow, step,
    transform(engine, {engines:Array(String)}, {near:Array(Float64)}, inf) AS near_bytes,
    countIf(is_new) AS n,
    countIf(is_new AND payload_bytes > near_bytes) AS near,
    quantilesTDigestIf(0.98, 0.99, 0.999)(payload_bytes, is_new) AS sizes,
    minIf(last_event_at, is_new) AS first_at,
    max(last_event_at) AS last_at,
    groupArraySorted(100)((-toInt64(assumeNotNull(payload_bytes)), execution_id)) AS largest
FROM attempts_since(folded_from = {folded_from:UInt64})
WHERE execution_key IN (SELECT execution_key FROM recent_attempt WHERE folded >= {folded_from:UInt64} AND payload_bytes > 0)
    AND payload_bytes > 0
    AND NOT historical
    AND workflow != ''
    AND last_event_at > {from:DateTime64(6, 'UTC')}
    AND last_event_at <= {until:DateTime64(6, 'UTC')}
GROUP BY namespace, engine, workflow, step
