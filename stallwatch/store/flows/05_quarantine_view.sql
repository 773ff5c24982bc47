CREATE MATERIALIZED VIEW quarantine_view TO quarantine AS
SELECT
    received_at, sender, namespace, batch, reason,
    toJSONString(map('trace_id', trace_id, 'span_id', span_id, 'name', toString(name), 'scope', toString(scope), 'service', toString(service), 'start_at', toString(start_at), 'end_at', toString(end_at))) AS item
FROM span_flow
WHERE reason != ''
