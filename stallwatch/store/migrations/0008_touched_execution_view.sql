CREATE MATERIALIZED VIEW touched_execution_view TO touched_execution AS
SELECT DISTINCT batch, execution_key
FROM step_event_log
