-- lag_s: how old the newest item of the last delivery was. skew_s: how far the sender's clock is ahead of this one (negative: behind),
-- taken from its most punctual delivery of the last hour or two: nothing ends after it was received, and the best delivery takes
-- hardly any time. A sender that always delivers late looks like one whose clock is behind.
CREATE VIEW ingest_health AS
SELECT
    beats.sender AS sender, beats.namespace AS namespace, last_received_at, beats.lag_s AS lag_s, beats.skew_s AS skew_s,
    accepted, rejected, quarantined, state.spool_bytes AS spool_bytes
FROM
(
    SELECT
        sender, namespace, max(last_at) AS last_received_at, argMaxIf(hours.lag_s, last_at, hours.accepted > 0) AS lag_s,
        sum(hours.accepted) AS accepted, sum(hours.rejected) AS rejected, sum(hours.quarantined) AS quarantined,
        0 - arrayMin(arraySlice(arrayReverseSort(h -> h.1, groupArrayIf((hour, least_lag_s), punctual > 0)), 1, 2).2) AS skew_s
    FROM
    (
        SELECT
            sender, namespace, toStartOfHour(received_at) AS hour, max(received_at) AS last_at,
            argMaxIf(beat.lag_s, received_at, beat.accepted > 0) AS lag_s,
            sum(beat.accepted) AS accepted, sum(beat.rejected) AS rejected, sum(beat.quarantined) AS quarantined,
            countIf(beat.accepted > 0 AND NOT historical) AS punctual,
            minIf(beat.lag_s, beat.accepted > 0 AND NOT historical) AS least_lag_s
        FROM sender_beat AS beat
        GROUP BY sender, namespace, hour
    ) AS hours
    GROUP BY sender, namespace
) AS beats
LEFT JOIN (SELECT * FROM sender_state FINAL) AS state ON beats.sender = state.sender AND beats.namespace = state.namespace
