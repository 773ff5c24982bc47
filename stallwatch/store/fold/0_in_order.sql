-- What 5_gathered reads besides, where steps had their events put in order.
UNION ALL
SELECT
    -- What a more trusted road tells as well is not heard from this one, but for the trace.
    e.* REPLACE (
        if(n.is_outranked, '', e.kind) AS kind,
        if(n.is_outranked, '', e.error_type) AS error_type,
        if(n.is_outranked, '', e.error_message) AS error_message),
    n.call_id AS call_id, n.call_number AS call_number, n.number AS number, n.place AS ordinal, n.span_place AS span_ordinal,
    sipHash64(step_key, call_id, call_number) AS call_key,
    sipHash64(call_key, number) AS attempt_key
FROM fold_event AS e
INNER JOIN fold_number AS n ON e.event_key = n.event_key
