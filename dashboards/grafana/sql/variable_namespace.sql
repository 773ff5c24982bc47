SELECT DISTINCT namespace FROM executions ORDER BY namespace
