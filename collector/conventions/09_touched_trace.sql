-- Which traces the conventions that need a whole trace have to look at again.
CREATE MATERIALIZED VIEW touched_trace_view TO touched_trace AS
SELECT DISTINCT batch, toFixedString(unhex(trace_id), 16) AS trace_id
FROM claimed_span_flow
WHERE claimed_by IN ('', 'stallwatch')
