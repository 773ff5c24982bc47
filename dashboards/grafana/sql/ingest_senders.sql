SELECT
    sender, namespace, last_received_at, dateDiff('second', last_received_at, $__toTime) AS silent_s, lag_s, skew_s, accepted, rejected,
    quarantined, spool_bytes
FROM ingest_health
WHERE $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
ORDER BY silent_s DESC
LIMIT 200
