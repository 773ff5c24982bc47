-- What a fold writes of executions is recent for a while.
CREATE MATERIALIZED VIEW recent_execution_view TO recent_execution AS
SELECT *
FROM execution_fold
