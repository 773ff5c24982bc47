SELECT count() AS open FROM incidents AS i
WHERE closed_at IS NULL
    AND hasAny(i.findings, (SELECT groupArray(fingerprint) FROM findings
        WHERE $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
            AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow)))
