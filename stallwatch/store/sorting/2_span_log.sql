INSERT INTO span_log
    (received_at, sender, namespace, historical, trace_id, span_id, parent_span_id, name, scope, service, kind, start_at, duration_s,
    status, status_message, attributes, resource_text, events)
SELECT
    received_at, sender, namespace, historical, toFixedString(unhex(trace_id), 16), toFixedString(unhex(span_id), 8),
    toFixedString(unhex(parent_span_id), 8), name, scope, service, kind, start_at, duration_s,
    status, status_message, attributes, resource_text, events
FROM fold_span
WHERE reason = ''
