CREATE MATERIALIZED VIEW sender_beat_spans TO sender_beat AS
SELECT
    sender, namespace, received_at,
    countIf(reason = '') AS accepted,
    toUInt64(0) AS rejected,
    countIf(reason != '') AS quarantined,
    if(accepted = 0, 0, dateDiff('millisecond', maxIf(end_at, reason = ''), any(received_at)) / 1000) AS lag_s,
    min(historical) AS historical
FROM span_flow
GROUP BY sender, namespace, received_at
