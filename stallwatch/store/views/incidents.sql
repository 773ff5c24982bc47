CREATE VIEW incidents AS
SELECT id, cause, findings, executions, opened_at, closed_at, severity, dimension, value, merged_into, split_from
FROM incident_log FINAL
