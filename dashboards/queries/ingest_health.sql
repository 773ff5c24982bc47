SELECT sender, namespace, last_received_at, lag_s, skew_s, accepted, rejected, quarantined, spool_bytes
FROM ingest_health
ORDER BY last_received_at DESC
LIMIT 200
