SELECT id, cause, findings, executions, opened_at, closed_at, severity
FROM incidents
WHERE id = {id:String}
