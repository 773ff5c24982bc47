-- The roots of traces that may be executions: they name their workflow, or their service is one of those configured.
CREATE MATERIALIZED VIEW trace_root_view TO trace_root AS
SELECT DISTINCT batch, toFixedString(unhex(trace_id), 16) AS trace_id, service, attributes['stallwatch.workflow'] != '' AS is_named
FROM claimed_span_flow
WHERE claimed_by IN ('', 'stallwatch')
    AND (parent_span_id = '' OR (stallwatch_is_pending(attributes) AND replaceAll(attributes['logfire.pending_parent_id'], '0', '') = ''))
    AND (attributes['stallwatch.workflow'] != '' OR arrayExists(
        glob -> service LIKE replaceAll(replaceAll(replaceRegexpAll(glob, '[\\\\%_]', '\\\\\\0'), '*', '%'), '?', '_'),
        {{generic_services}}))
