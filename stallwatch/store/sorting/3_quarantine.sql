INSERT INTO quarantine
SELECT
    received_at, sender, namespace, batch, reason,
    toJSONString(map('trace_id', trace_id, 'span_id', span_id, 'name', toString(name), 'scope', toString(scope), 'service', toString(service), 'start_at', toString(start_at), 'end_at', toString(end_at))) AS item
FROM fold_span
WHERE reason != ''
    -- What a fold that was cut short had noted already is not noted again.
    AND batch NOT IN (SELECT batch FROM quarantine WHERE batch > {after:UInt64} AND batch <= {upto:UInt64})
