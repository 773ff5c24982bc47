-- Which traces hold an engine's spans: they yield no generic events, and those they gave before are taken back.
INSERT INTO engine_trace
SELECT DISTINCT batch, toFixedString(unhex(trace_id), 16) AS trace_id
FROM claimed_span
WHERE batch > {after:UInt64} AND batch <= {upto:UInt64} AND claimed_by != 'stallwatch'
