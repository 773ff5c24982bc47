-- The roots of traces, as far as they came.
CREATE MATERIALIZED VIEW trace_root_view TO trace_root AS
SELECT DISTINCT batch, toFixedString(unhex(trace_id), 16) AS trace_id, service, attributes['stallwatch.workflow'] != '' AS is_named
FROM span_flow
WHERE reason = ''
    AND (parent_span_id = '' OR (stallwatch_is_pending(attributes) AND replaceAll(attributes['logfire.pending_parent_id'], '0', '') = ''))
    AND stallwatch_engine_of_span(scope, attributes) = ''
