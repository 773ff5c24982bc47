-- The spans of these traces, as far as they came: read once, used twice. Those that name their step themselves have their own convention.
CREATE OR REPLACE TEMPORARY TABLE fold_node ENGINE = Memory AS
SELECT
    *,
    stallwatch_is_pending(attributes) AS is_pending,
    if(is_pending, parent_span_id, span_id) AS node_id,
    if(is_pending, lower(leftPad(attributes['logfire.pending_parent_id'], 16, '0')), parent_span_id) AS told_parent_id,
    if(told_parent_id = '0000000000000000', '', told_parent_id) AS parent_id,
    replaceRegexpOne(toString(name), '^(.*) \\(pending\\)$', if(is_pending, '\\1', '\\0')) AS node_name,
    parent_id = '' AS is_root
FROM
(
    SELECT
        received_at, sender, historical, namespace, name, service, start_at, duration_s, status, status_message, attributes, events,
        trace_id, span_id, parent_span_id
    FROM fold_span
    WHERE reason = '' AND trace_id IN (SELECT its_id FROM fold_trace WHERE NOT is_longer)
    UNION ALL
    SELECT
        received_at, sender, historical, namespace, name, service, start_at, duration_s, status, status_message, attributes, events,
        lower(hex(trace_id)), lower(hex(span_id)), lower(hex(parent_span_id))
    FROM span_log FINAL
    WHERE trace_id IN (SELECT toFixedString(unhex(its_id), 16) FROM fold_trace WHERE is_longer)
)
WHERE NOT stallwatch_is_marked(attributes)
