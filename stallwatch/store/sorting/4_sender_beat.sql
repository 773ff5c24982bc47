-- One row per sender, batch and second, however many requests that were.
INSERT INTO sender_beat
SELECT
    sender, namespace, max(span.received_at) AS received_at,
    countIf(reason = '') AS accepted,
    toUInt64(0) AS rejected,
    countIf(reason != '') AS quarantined,
    if(accepted = 0, 0, dateDiff('millisecond', maxIf(end_at, reason = ''), max(span.received_at)) / 1000) AS lag_s,
    min(span.historical) AS historical,
    batch,
    countIf(limited) AS limited
FROM fold_span AS span
-- What a fold that was cut short had counted already is not counted again.
WHERE batch NOT IN (SELECT batch FROM sender_beat WHERE batch > {after:UInt64} AND batch <= {upto:UInt64})
GROUP BY sender, namespace, batch, toStartOfSecond(span.received_at)
