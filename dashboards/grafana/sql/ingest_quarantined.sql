SELECT sum(h.quarantined) AS quarantined FROM ingest_health AS h WHERE $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
