-- Which executions the generic convention made of which trace: what has to be taken back when an engine's span comes.
CREATE MATERIALIZED VIEW generic_trace_view TO generic_trace AS
SELECT DISTINCT batch, toFixedString(unhex(trace_id), 16) AS trace_id, execution_key
FROM step_event_log
WHERE startsWith(event_id, 'generic:') AND NOT is_replay
