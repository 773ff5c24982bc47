-- Which traces hold an engine's spans: they yield no generic events, and those they gave before are taken back.
INSERT INTO engine_trace
SELECT DISTINCT batch, toFixedString(unhex(trace_id), 16)
FROM fold_span
WHERE claimed_by NOT IN ('', 'stallwatch')
