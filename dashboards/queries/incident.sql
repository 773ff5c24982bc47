SELECT id, cause, findings, executions, opened_at, closed_at, severity, dimension, value, merged_into, split_from
FROM incidents
WHERE id = {id:String}
