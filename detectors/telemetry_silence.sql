-- Who was heard since the last calibration (which knows who was heard before), and when last: at all, with something, and with
-- something that was as fresh as usual.
SELECT
    sender,
    max(received_at) AS last_at,
    maxIf(received_at, accepted > 0) AS told_at,
    maxIf(received_at, accepted > 0 AND beat.lag_s <= transform(sender, {late_senders:Array(String)}, {late_s:Array(Float64)}, {fresh_s:Float64})) AS fresh_at,
    argMaxIf(beat.lag_s, received_at, accepted > 0) AS lag_s
FROM sender_beat AS beat
WHERE NOT historical
    AND received_at > {from:DateTime64(6, 'UTC')}
    AND received_at <= {until:DateTime64(6, 'UTC')}
GROUP BY sender
