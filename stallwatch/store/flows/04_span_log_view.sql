CREATE MATERIALIZED VIEW span_log_view TO span_log AS
SELECT
    received_at, sender, namespace, historical,
    toFixedString(unhex(trace_id), 16) AS trace_id,
    toFixedString(unhex(span_id), 8) AS span_id,
    toFixedString(unhex(parent_span_id), 8) AS parent_span_id,
    name, scope, service, kind, start_at, duration_s, status, status_message, attributes, resource_text, events
FROM span_flow
WHERE reason = ''
