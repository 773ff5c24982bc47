-- Which traces the conventions that need a whole trace have to look at again.
INSERT INTO touched_trace
SELECT DISTINCT batch, toFixedString(unhex(trace_id), 16)
FROM fold_span
WHERE reason = '' AND claimed_by IN ('', 'stallwatch')
