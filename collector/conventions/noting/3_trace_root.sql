-- The roots of traces that may be executions: they name their workflow, or their service is one of those configured. One that names its
-- step itself is that step: of its execution there may be others like it, and when it ends the execution goes on.
INSERT INTO trace_root
SELECT DISTINCT batch, toFixedString(unhex(trace_id), 16), service, attributes['stallwatch.workflow'] != ''
FROM fold_span
WHERE reason = '' AND claimed_by = ''
    AND (parent_span_id = '' OR (stallwatch_is_pending(attributes) AND replaceAll(attributes['logfire.pending_parent_id'], '0', '') = ''))
    AND (attributes['stallwatch.workflow'] != '' OR arrayExists(
        glob -> service LIKE replaceAll(replaceAll(replaceRegexpAll(glob, '[\\\\%_]', '\\\\\\0'), '*', '%'), '?', '_'),
        {generic_services:Array(String)}))
