-- Which traces the conventions that need a whole trace have to look at again. Spans that name their step themselves tell them
-- nothing.
INSERT INTO touched_trace
SELECT DISTINCT batch, toFixedString(unhex(trace_id), 16)
FROM fold_span
WHERE reason = '' AND claimed_by = ''
