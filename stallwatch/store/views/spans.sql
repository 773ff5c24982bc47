CREATE VIEW spans AS
SELECT
    lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS parent_span_id,
    name, scope, service, kind, start_at, duration_s, status, status_message, attributes,
    JSONExtract(resource_text, 'Map(String, String)') AS resource, events, namespace, sender, received_at
FROM span_log FINAL
