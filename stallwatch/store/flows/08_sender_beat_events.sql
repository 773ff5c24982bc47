-- One row per sender, batch and second, however many requests that were.
CREATE MATERIALIZED VIEW sender_beat_events TO sender_beat AS
SELECT
    sender, namespace, max(event.received_at) AS received_at,
    count() AS accepted,
    toUInt64(0) AS rejected,
    toUInt64(0) AS quarantined,
    dateDiff('millisecond', max(time), max(event.received_at)) / 1000 AS lag_s,
    min(event.historical OR event.received_at > time + INTERVAL 1 DAY) AS historical
FROM event_inbox AS event
GROUP BY sender, namespace, toStartOfSecond(event.received_at)
