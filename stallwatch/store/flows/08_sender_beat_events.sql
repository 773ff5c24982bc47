CREATE MATERIALIZED VIEW sender_beat_events TO sender_beat AS
SELECT
    sender, namespace, received_at,
    count() AS accepted,
    toUInt64(0) AS rejected,
    toUInt64(0) AS quarantined,
    dateDiff('millisecond', max(time), any(received_at)) / 1000 AS lag_s,
    min(historical OR received_at > time + INTERVAL 1 DAY) AS historical
FROM event_inbox
GROUP BY sender, namespace, received_at
