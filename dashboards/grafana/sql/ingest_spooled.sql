SELECT sum(h.spool_bytes) AS spooled FROM ingest_health AS h WHERE $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
