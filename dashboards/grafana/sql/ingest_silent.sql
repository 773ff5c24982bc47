SELECT countIf(dateDiff('second', last_received_at, $__toTime) > 300) AS quiet FROM ingest_health
WHERE $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
