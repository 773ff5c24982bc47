SELECT opened_at, closed_at, severity, cause, executions, length(i.findings) AS findings
FROM incidents AS i
WHERE opened_at <= $__toTime AND (closed_at IS NULL OR closed_at >= $__fromTime)
ORDER BY opened_at DESC
LIMIT 100
