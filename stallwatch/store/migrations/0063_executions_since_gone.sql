-- As attempts_since.
DROP VIEW IF EXISTS executions_since
