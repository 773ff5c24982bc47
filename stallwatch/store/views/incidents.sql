CREATE VIEW incidents AS
SELECT id, cause, findings, executions, opened_at, closed_at, severity
FROM incident_log FINAL
