-- Which traces hold an engine's spans: they yield no generic events, and those they gave before are taken back.
CREATE MATERIALIZED VIEW engine_trace_view TO engine_trace AS
SELECT DISTINCT batch, toFixedString(unhex(trace_id), 16) AS trace_id
FROM claimed_span_flow
WHERE claimed_by != ''
