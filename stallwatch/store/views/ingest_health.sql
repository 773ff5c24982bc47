CREATE VIEW ingest_health AS
SELECT
    beats.sender AS sender, beats.namespace AS namespace, last_received_at, beats.lag_s AS lag_s, state.skew_s AS skew_s,
    accepted, rejected, quarantined, state.spool_bytes AS spool_bytes
FROM
(
    SELECT
        sender, namespace, max(received_at) AS last_received_at, argMax(lag_s, received_at) AS lag_s,
        sum(accepted) AS accepted, sum(rejected) AS rejected, sum(quarantined) AS quarantined
    FROM sender_beat
    GROUP BY sender, namespace
) AS beats
LEFT JOIN (SELECT * FROM sender_state FINAL) AS state ON beats.sender = state.sender AND beats.namespace = state.namespace
