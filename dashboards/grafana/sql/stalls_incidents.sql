SELECT opened_at, closed_at, severity, cause, executions, length(i.findings) AS findings
FROM incidents AS i
WHERE opened_at <= $__toTime AND (closed_at IS NULL OR closed_at >= $__fromTime)
    AND hasAny(i.findings, (SELECT groupArray(fingerprint) FROM findings
        WHERE $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
            AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow)))
ORDER BY opened_at DESC
LIMIT 100
