SELECT DISTINCT engine FROM executions ORDER BY engine
