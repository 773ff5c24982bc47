-- Spans that a convention cannot read. They are stored; what they tell of steps is not known.
INSERT INTO quarantine
SELECT
    received_at, sender, namespace, batch, 'its convention cannot read it',
    toJSONString(map('trace_id', trace_id, 'span_id', span_id, 'name', toString(name), 'scope', toString(scope), 'service', toString(service), 'start_at', toString(start_at), 'end_at', toString(end_at))) AS item
FROM fold_span
WHERE claimed_by != ''
