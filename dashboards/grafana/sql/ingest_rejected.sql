SELECT sum(h.rejected) AS rejected FROM ingest_health AS h WHERE $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
